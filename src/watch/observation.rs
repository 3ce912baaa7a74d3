//! The observation of one poll: a sighting of the job, or a problem.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::watch::{Outcome, Params};

/// The longest reason, message or status that is kept, in bytes; longer ones are cut.
pub const TEXT_BYTES_MAX: usize = 4096;

/// The result of one poll: the job, or the reason why the poll did not show it.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one lives for the moment between a poll and its decision; boxing each sighting costs more"
)]
pub enum Observation {
    /// The answer shows the job.
    Sighting(Sighting),
    /// The poll did not show the job. Never a verdict about the job (invariant 1).
    Problem(Problem),
}

impl Observation {
    /// Returns the time to the next poll that the answer asks for.
    pub fn asked_wait(&self) -> AskedWait {
        let (retry_after, pace) = match self {
            Self::Sighting(sighting) => (sighting.retry_after, sighting.pace),
            Self::Problem(problem) => (problem.retry_after, problem.pace),
        };
        AskedWait { retry_after, pace }
    }

    /// Returns the time that the server asks us to wait before the next poll.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Sighting(sighting) => sighting.retry_after,
            Self::Problem(problem) => problem.retry_after,
        }
    }
}

/// The time to the next poll that an answer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AskedWait {
    /// The time in which the server accepts no further request.
    pub retry_after: Option<Duration>,
    /// The time after which a poll is worthwhile, from a place that the definition names.
    pub pace: Option<Duration>,
}

/// The state of a job in our words, read from the status that the service gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// The service has accepted the job and not begun it.
    Pending,
    /// The service works on the job.
    Running,
    /// The job waits for a person, such as an approval or a payment.
    Held,
    /// The job ended without an error.
    Succeeded,
    /// The job ended with an error.
    Failed,
    /// The job succeeded, and a part of it failed.
    Partial,
    /// A person or a program stopped the job.
    Cancelled,
}

impl JobState {
    /// Returns the outcome of a watch whose job is in this state; `None` if the job goes on.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Pending | Self::Running | Self::Held => None,
            Self::Succeeded => Some(Outcome::Succeeded),
            Self::Failed => Some(Outcome::Failed),
            Self::Partial => Some(Outcome::Partial),
            Self::Cancelled => Some(Outcome::Cancelled),
        }
    }

    /// Returns the word that definitions, `explain` and events use.
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

/// A poll that showed the job.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// True if the definition does not list the status, so that it counts as running
    /// (invariant 9).
    pub unknown_status: bool,
    /// The job, as read from the answer.
    pub job: Job,
    /// Oddities of the answer that do not hide the job, such as a time that cannot be read.
    pub warnings: Vec<String>,
    /// The time that the server asks us to wait before the next poll.
    pub retry_after: Option<Duration>,
    /// The time to the next poll that the answer names in a place of the definition; not
    /// limited yet.
    pub pace: Option<Duration>,
    /// The text that tells one run of the job from the next.
    pub run: Option<String>,
    /// The time at which the run began or ended, by our clock.
    pub run_at: Option<Timestamp>,
    /// The URL to poll next, absolute or relative, as the answer gives it.
    pub follow: Option<String>,
    /// The job that takes over from one that has succeeded.
    pub next: Option<NextJob>,
    /// The entries of the definition that gave the state.
    pub proof: Proof,
    /// True if the service redirected the poll to another path of its own.
    pub is_redirected: bool,
    /// The reason why the URL in `follow` must not be polled; the last good one stays.
    pub refused_follow: Option<String>,
}

impl Sighting {
    /// Makes a sighting of `job`, with nothing beside it.
    pub fn of(job: Job) -> Self {
        Self {
            unknown_status: false,
            job,
            warnings: Vec::new(),
            retry_after: None,
            pace: None,
            run: None,
            run_at: None,
            follow: None,
            next: None,
            proof: Proof::default(),
            is_redirected: false,
            refused_follow: None,
        }
    }

    /// Calls `change` with each text that the answer gave and that a person may see.
    pub fn for_each_text(&mut self, mut change: impl FnMut(&mut String)) {
        let job = &mut self.job;
        let of_job = [
            &mut job.job_type,
            &mut job.status,
            &mut job.code,
            &mut job.reason,
            &mut job.progress,
            &mut self.run,
        ];
        of_job.into_iter().flatten().for_each(&mut change);
        self.warnings.iter_mut().for_each(&mut change);
        for child in &mut job.children {
            let of_child = [
                &mut child.job_id,
                &mut child.job_type,
                &mut child.status,
                &mut child.code,
                &mut child.reason,
            ];
            of_child.into_iter().flatten().for_each(&mut change);
        }
        if let Some(resources) = &mut job.resources {
            change_texts(resources, &mut change);
        }
    }
}

/// Calls `change` with each text of a value. The value comes from a parser that limits its depth.
fn change_texts(value: &mut Value, change: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(text) => change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| change_texts(item, change)),
        Value::Object(members) => {
            members
                .values_mut()
                .for_each(|item| change_texts(item, change));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The job that takes over from one that has succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextJob {
    /// The id of the next job.
    pub job_id: String,
    /// The definition that reads it; `None` for the same one.
    pub definition: Option<String>,
    /// The values for its placeholders, from the last answer.
    pub params: Params,
}

/// The entries of a definition that gave the state of a sighting. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proof {
    /// The selectors of the status; empty if a rule decided.
    pub selector: Arc<str>,
    /// The rule or the entry of `[states]` that decided.
    pub rule: Arc<str>,
    /// True if the body was not valid and was read leniently.
    pub is_lenient: bool,
}

/// A job in the same form for every API. Missing, `null` and `""` are `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The state in our words, which decides on the outcome.
    pub state: JobState,
    /// The kind of job, in the words of the service.
    pub job_type: Option<String>,
    /// The status in the words of the service; several fields are joined with `/`.
    pub status: Option<String>,
    /// The error code of a failed job; from the first failed child if the parent has none.
    pub code: Option<String>,
    /// The reason of a failure; from the first failed child if the parent has none.
    pub reason: Option<String>,
    /// The time at which the service began the job.
    pub began_at: Option<Timestamp>,
    /// The time at which the job ended at the service.
    pub ended_at: Option<Timestamp>,
    /// The progress in the measure of the service, as text.
    pub progress: Option<String>,
    /// The resources that the job made or changed, as the service wrote them.
    pub resources: Option<Value>,
    /// The parts of the job, flattened, depth first.
    pub children: Vec<Child>,
}

impl Job {
    /// Returns a number that differs when two sightings differ in something that makes an event:
    /// the state and the status of the job, and the id and the status of each child. Never 0.
    ///
    /// It stays within the process, so it need not be stable between versions.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.state, self.status.as_deref()).hash(&mut hasher);
        for child in &self.children {
            (child.job_id.as_deref(), child.status.as_deref()).hash(&mut hasher);
        }
        hasher.finish().max(1)
    }
}

/// A part of a job, as the service reports it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Child {
    /// The id of the part at the service.
    pub job_id: Option<String>,
    /// The kind of part, in the words of the service.
    pub job_type: Option<String>,
    /// The status of the part, in the words of the service.
    pub status: Option<String>,
    /// The outcome of the part; `None` while it goes on.
    pub outcome: Option<Outcome>,
    /// The error code of a part that failed.
    pub code: Option<String>,
    /// The reason why the part failed.
    pub reason: Option<String>,
}

/// The reason why a poll did not show the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// The service says that there were too many requests (429).
    Throttled,
    /// There was no complete answer: DNS, connection, TLS, timeout, broken body.
    Unreachable,
    /// The server failed: 5xx or 408.
    ServerError,
    /// The answer does not describe this job.
    Unreadable,
    /// 401: the service did not accept the credential.
    Unauthorized,
    /// 403: the service accepted the credential and refused the request.
    Forbidden,
    /// The service does not know the job (404).
    NotFound,
    /// The request itself is wrong: path, endpoint, parameter.
    Misconfigured,
}

impl ProblemKind {
    /// All kinds, for error messages.
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

    /// Returns the word that definitions, API and logs use.
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

/// A poll that did not show the job, and the reason.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The kind of problem, which decides on the next step.
    pub kind: ProblemKind,
    /// The HTTP status; `None` without an answer.
    pub http_status: Option<u16>,
    /// The error code that the service gave.
    pub code: Option<String>,
    /// The message of the service, or ours where it gave none.
    pub message: String,
    /// The time that the server asks us to wait before the next poll.
    pub retry_after: Option<Duration>,
    /// The time to the next poll that the answer names in a place of the definition; not
    /// limited yet.
    pub pace: Option<Duration>,
    /// True for a 404 with a page for people: a gateway may have answered in the place of the
    /// service.
    pub is_page: bool,
}

impl Problem {
    /// Makes a problem with a message of ours.
    pub fn new(kind: ProblemKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            http_status: None,
            code: None,
            message: message.into(),
            retry_after: None,
            pace: None,
            is_page: false,
        }
    }

    /// True if the polled service itself asked for fewer requests. A throttled identity
    /// service did not: the service was not asked then, so there is no HTTP status.
    pub fn pauses_budget(&self) -> bool {
        self.kind == ProblemKind::Throttled && self.http_status.is_some()
    }
}

/// A problem as it is stored with a watch and shown in its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemNote {
    /// The kind of problem, which decides on the next step.
    pub kind: ProblemKind,
    /// The HTTP status; `None` without an answer.
    pub http_status: Option<u16>,
    /// The error code that the service gave.
    pub code: Option<String>,
    /// The message of the service, or ours where it gave none.
    pub message: String,
    /// The time of the poll that met it.
    pub at: Timestamp,
}

impl ProblemNote {
    /// Makes a note of `problem`, which a poll met at `at`.
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
