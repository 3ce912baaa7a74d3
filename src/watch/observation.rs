//! What one poll showed: a sighting of the job, or the problem that hid it.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::watch::Outcome;

/// The longest reason, message or status kept, in bytes; longer ones are cut.
pub const TEXT_BYTES_MAX: usize = 4096;

/// What one poll showed.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one lives for the moment between a poll and its decision; boxing each sighting costs more"
)]
pub enum Observation {
    /// The job was seen.
    Sighting(Sighting),
    /// The job could not be seen. Never a verdict about the job (invariant 1).
    Problem(Problem),
}

impl Observation {
    /// The server's wish for the next poll, whatever else it said.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Sighting(sighting) => sighting.retry_after,
            Self::Problem(problem) => problem.retry_after,
        }
    }
}

/// The normalised state of a job, as the service tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Accepted by the service, not begun.
    Pending,
    /// Begun.
    Running,
    /// Waits for a person.
    Held,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Ended well as a whole, badly in part.
    Partial,
    /// Ended by somebody.
    Cancelled,
}

impl JobState {
    /// The outcome of a watch on a job in this state, if it is a final one.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Pending | Self::Running | Self::Held => None,
            Self::Succeeded => Some(Outcome::Succeeded),
            Self::Failed => Some(Outcome::Failed),
            Self::Partial => Some(Outcome::Partial),
            Self::Cancelled => Some(Outcome::Cancelled),
        }
    }

    /// The word used in definitions, `explain` and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Held => "held",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Partial => "partial",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The job as the service described it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// The status is not one the definition lists, and was read as running (invariant 9).
    pub unknown_status: bool,
    /// What was read of it.
    pub job: Job,
    /// Oddities that hide nothing, such as a time that cannot be read.
    pub warnings: Vec<String>,
    /// The server's wish for the next poll.
    pub retry_after: Option<Duration>,
}

/// A job in one shape, whichever API described it. Missing, `null` and `""` are `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its normalised state.
    pub state: JobState,
    /// The service's word for what kind of job it is.
    pub job_type: Option<String>,
    /// The service's own status, joined with `/` where it has several fields.
    pub status: Option<String>,
    /// The error code of a failed job; from the first failed child if the parent has none.
    pub code: Option<String>,
    /// Why it failed; from the first failed child if the parent does not say.
    pub reason: Option<String>,
    /// When the service began it.
    pub began_at: Option<Timestamp>,
    /// When the service ended it.
    pub ended_at: Option<Timestamp>,
    /// The service's own measure of progress, as text.
    pub progress: Option<String>,
    /// What the job made or touched, as the service wrote it.
    pub resources: Option<Value>,
    /// Its parts.
    pub children: Vec<Child>,
}

/// A part of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Child {
    /// The service's id of the part.
    pub job_id: Option<String>,
    /// The service's word for what kind of part it is.
    pub job_type: Option<String>,
    /// The service's own status of the part.
    pub status: Option<String>,
    /// The outcome, once the part has one.
    pub outcome: Option<Outcome>,
    /// Its error code.
    pub code: Option<String>,
    /// Why it failed.
    pub reason: Option<String>,
}

/// Why a poll did not show the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// Asked too often.
    Throttled,
    /// No answer: DNS, connect, TLS, timeout, broken body.
    Unreachable,
    /// The server failed: 5xx or 408.
    ServerError,
    /// An answer that does not describe this job.
    Unreadable,
    /// 401: the credential was not accepted.
    Unauthorized,
    /// 403: the credential was accepted, the question was not.
    Forbidden,
    /// The service does not know the job.
    NotFound,
    /// The request itself is wrong: path, endpoint, parameter.
    Misconfigured,
}

impl ProblemKind {
    /// Every kind, for error messages.
    pub const ALL: [Self; 8] = [
        Self::Throttled,
        Self::Unreachable,
        Self::ServerError,
        Self::Unreadable,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Misconfigured,
    ];

    /// The word used in definitions, API and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Unreachable => "unreachable",
            Self::ServerError => "server_error",
            Self::Unreadable => "unreadable",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Misconfigured => "misconfigured",
        }
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A poll that did not show the job.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// What kind of problem.
    pub kind: ProblemKind,
    /// The HTTP status, when there was an answer at all.
    pub http_status: Option<u16>,
    /// The service's error code.
    pub code: Option<String>,
    /// The service's words, or ours.
    pub message: String,
    /// The server's wish for the next poll.
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// A problem in our own words.
    pub fn new(kind: ProblemKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            http_status: None,
            code: None,
            message: message.into(),
            retry_after: None,
        }
    }

    /// True if the polled service itself asked for fewer requests. A throttled identity
    /// service did not: the service was not asked then, so there is no HTTP status.
    pub fn pauses_budget(&self) -> bool {
        self.kind == ProblemKind::Throttled && self.http_status.is_some()
    }
}

/// A problem as it is kept on a watch and told in events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemNote {
    /// What kind of problem.
    pub kind: ProblemKind,
    /// The HTTP status, when there was an answer at all.
    pub http_status: Option<u16>,
    /// The service's error code.
    pub code: Option<String>,
    /// The service's words, or ours.
    pub message: String,
    /// When it was met.
    pub at: Timestamp,
}

impl ProblemNote {
    /// Notes `problem` as met at `at`.
    pub fn new(problem: &Problem, at: Timestamp) -> Self {
        Self {
            kind: problem.kind,
            http_status: problem.http_status,
            code: problem.code.clone(),
            message: problem.message.clone(),
            at,
        }
    }
}

/// Cuts `text` to [`TEXT_BYTES_MAX`] at a character boundary.
pub fn bounded(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    }
    text
}
