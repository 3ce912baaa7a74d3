//! The stages of a watch whose job hands over to another one, such as a queue item to its build.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::watch::Params;

/// The most stages of one watch. More are a circle of jobs that name each other.
pub const STAGES_MAX: usize = 16;

/// The present stage of a watch after a hand-over. A watch without one is at the job that was
/// submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// The number of hand-overs so far; the job that was submitted is stage 0.
    pub index: u32,
    /// The name of the definition that reads the job.
    pub definition: String,
    /// The id of the job at the service.
    pub job_id: String,
    /// Values for the placeholders of the definition; those of the watch count for the others.
    #[serde(default, skip_serializing_if = "Params::is_empty")]
    pub params: Params,
}

/// A stage that has handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedStage {
    /// The name of the definition that read the job.
    pub definition: String,
    /// The id of the job at the service.
    pub job_id: String,
    /// The state of the job; only a job that succeeded hands over.
    pub state: String,
    /// The last status in the words of the service.
    pub status: Option<String>,
    /// The time at which the job ended, or at which that was noticed.
    pub ended_at: Timestamp,
}
