//! The pure core: what a watch is, what one poll showed, and what follows from it.
//!
//! Nothing in this folder reads a clock, a socket or a database. The shell observes,
//! [`transition::decide`] says what the observation does, and the store commits the
//! result. Read in this order: [`Watch`], [`observation`], [`transition`], [`event`],
//! [`subscription`], [`change`], [`request`].

pub mod change;
pub mod event;
pub mod observation;
pub mod request;
pub mod subscription;
pub mod transition;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::watch::observation::{Job, ProblemNote};

/// The longest job id accepted, in bytes. Real ones have 32 or 36.
pub const JOB_ID_BYTES_MAX: usize = 512;
/// The most labels one watch may carry.
pub const LABELS_MAX: usize = 32;
/// The longest label or param name or value, in bytes.
pub const LABEL_BYTES_MAX: usize = 256;

/// Values that fill the placeholders of a definition's request, by name.
pub type Params = BTreeMap<String, String>;
/// Free text that the submitter attaches and every event carries.
pub type Labels = BTreeMap<String, String>;

/// A URL that events of one watch are sent to. It may be a secret in itself, so it does not
/// print.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallbackUrl(pub String);

impl CallbackUrl {
    /// The host and the port, which may be shown.
    pub fn host(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        rest.split(['/', '?', '#', '\\']).next().unwrap_or_default()
    }
}

impl fmt::Debug for CallbackUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallbackUrl([REDACTED])")
    }
}

/// The identity of a watch: a `UUIDv7`, so that ids sort by the time of submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WatchId(pub Uuid);

impl WatchId {
    /// A new id from the time of submission and ten random bytes.
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(now.as_millisecond()).unwrap_or_default();
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }
}

impl fmt::Display for WatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for WatchId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

/// How a watch ended. Final is final (invariant 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The service said the job succeeded.
    Succeeded,
    /// The service said the job failed. Nothing else leads here (invariant 1).
    Failed,
    /// The parent succeeded while a child failed.
    Partial,
    /// The remote job was cancelled.
    Cancelled,
    /// Our deadline passed without a verdict.
    TimedOut,
    /// The service does not know the job.
    Lost,
    /// The service refuses to tell.
    Unknown,
    /// An operator ended the watch.
    Unwatched,
}

impl Outcome {
    /// Every outcome, in the order people read them.
    pub const ALL: [Self; 8] = [
        Self::Succeeded,
        Self::Failed,
        Self::Partial,
        Self::Cancelled,
        Self::TimedOut,
        Self::Lost,
        Self::Unknown,
        Self::Unwatched,
    ];

    /// Whether the service may still tell how the job ended: we stopped asking before it
    /// did.
    pub fn may_come_late(self) -> bool {
        matches!(self, Self::TimedOut | Self::Lost)
    }

    /// The word used in SQL, API, events and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Partial => "partial",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Lost => "lost",
            Self::Unknown => "unknown",
            Self::Unwatched => "unwatched",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a watch stands: still watching, or final with its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Polls go on.
    Watching,
    /// Over, and nothing changes it any more.
    Final(Outcome),
}

/// The word of [`State::Watching`].
const WATCHING: &str = "watching";

impl State {
    /// The word used in SQL, API, events and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Watching => WATCHING,
            Self::Final(outcome) => outcome.as_str(),
        }
    }

    /// The outcome, once there is one.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Watching => None,
            Self::Final(outcome) => Some(outcome),
        }
    }

    /// Every word a state can be, for error messages and documents.
    pub fn words() -> impl Iterator<Item = &'static str> {
        std::iter::once(WATCHING).chain(Outcome::ALL.into_iter().map(Outcome::as_str))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is not a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a state")]
pub struct UnknownState(pub String);

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        if word == WATCHING {
            return Ok(Self::Watching);
        }
        Outcome::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
            .map(Self::Final)
            .ok_or_else(|| UnknownState(word.to_owned()))
    }
}

/// Our durable record of one job on one service.
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    /// Ours, never the service's.
    pub id: WatchId,
    /// The configured service that answers for the job.
    pub service: String,
    /// The definition by which that service is read.
    pub definition: String,
    /// The service's own id of the job; opaque.
    pub job_id: String,
    /// Values for the definition's placeholders.
    pub params: Params,
    /// The submitter's own words.
    pub labels: Labels,
    /// The sinks this watch tells; empty means every sink whose filter matches.
    pub sinks: Vec<String>,
    /// Where this watch itself has its events sent, beside the sinks.
    pub callback_url: Option<CallbackUrl>,
    /// When the watch was accepted.
    pub submitted_at: Timestamp,
    /// When it ends as `timed_out` unless a verdict comes first.
    pub deadline: Timestamp,
    /// Watching, or final.
    pub state: State,
    /// The job as last seen; `None` until the first sighting.
    pub job: Option<Job>,
    /// When the outcome was noticed.
    pub finished_at: Option<Timestamp>,
    /// Polls made, as of the last commit (a poll that shows nothing new writes nothing).
    pub polls: u32,
    /// Polls that were problems, as of the last commit.
    pub problems: u32,
    /// The last problem, as of the last commit.
    pub last_problem: Option<ProblemNote>,
    /// A status value the definition does not list, when the job was last seen with one.
    pub unknown_status: Option<String>,
    /// How many events this watch has had; numbers the next one.
    pub revision: u32,
}

/// The numbers of a watch between two commits: polls that show nothing new are counted in
/// memory and written nowhere (invariant 6).
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Polls made.
    pub polls: u32,
    /// Polls that were problems.
    pub problems: u32,
    /// The last problem.
    pub last_problem: Option<ProblemNote>,
    /// The time of the next poll.
    pub next_poll_at: Timestamp,
}
