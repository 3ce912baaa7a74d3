//! The terms of one watch, which its polls do not change.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::timing::Timing;

/// The outcome when the service certainly does not know the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotFoundMeans {
    /// The end of the job cannot be known.
    #[default]
    Lost,
    /// The job was a deletion, and it is done: the resource is gone.
    Succeeded,
}

/// The terms of one watch, which its polls do not change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms<'a> {
    /// The time at which the watch was accepted.
    pub submitted_at: Timestamp,
    /// The time at which the watch ends as `timed_out`.
    pub deadline: Timestamp,
    /// The timing of its service: how long it may refuse, or not know the job.
    pub timing: &'a Timing,
    /// The outcome when the service certainly does not know the job.
    pub not_found_means: NotFoundMeans,
    /// The name of the definition that reads the job.
    pub definition: &'a str,
    /// True if a job that succeeded hands over to another one.
    pub hands_over: bool,
}
