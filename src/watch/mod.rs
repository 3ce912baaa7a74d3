//! The pure core: the watch, the observation of one poll, and the transition that follows.
//!
//! Nothing in this folder reads a clock, a socket or a database. The poller observes,
//! [`transition::decide`] decides on the effect of the observation, and the store commits
//! the result. Read in this order: [`Watch`], [`observation`], [`transition`], [`event`],
//! [`subscription`], [`delivery`], [`change`], [`request`].

pub mod change;
pub mod delivery;
pub mod event;
pub mod observation;
pub mod outcome;
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

pub use crate::watch::outcome::{Outcome, Severity};

/// The longest accepted job id, in bytes. Most services use 32 or 36.
pub const JOB_ID_BYTES_MAX: usize = 512;
/// The most labels one watch may carry.
pub const LABELS_MAX: usize = 32;
/// The longest label or param name or value, in bytes.
pub const LABEL_BYTES_MAX: usize = 256;

/// Values that fill the placeholders of a definition's request, by name.
pub type Params = BTreeMap<String, String>;
/// Free text that the submitter attaches to a watch; every event carries it.
pub type Labels = BTreeMap<String, String>;

/// A URL that receives the events of one watch. It may be a secret in itself, so `Debug`
/// does not print it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallbackUrl(pub String);

impl CallbackUrl {
    /// Returns the host and the port, which are safe to show.
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
    /// Makes an id from the time of submission and ten random bytes.
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

/// The state of a watch: still watching, or final with its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// There is no outcome yet, and the job is polled.
    Watching,
    /// The watch is over, and nothing changes its outcome.
    Final(Outcome),
}

const WATCHING: &str = "watching";

impl State {
    /// Returns the word that SQL, API, events and logs use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Watching => WATCHING,
            Self::Final(outcome) => outcome.as_str(),
        }
    }

    /// Returns the outcome; `None` while watching.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Watching => None,
            Self::Final(outcome) => Some(outcome),
        }
    }

    /// Returns the words of all states, for error messages and documents.
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
    /// The id that jobwatch gave to the watch.
    pub id: WatchId,
    /// The name of the service in the configuration.
    pub service: String,
    /// The name of the definition that this service uses.
    pub definition: String,
    /// The id that the service gave to the job. Opaque to us.
    pub job_id: String,
    /// Values for the placeholders of the definition.
    pub params: Params,
    /// Free text of the submitter.
    pub labels: Labels,
    /// The sinks that receive its events; empty means every sink whose filter matches.
    pub sinks: Vec<String>,
    /// A URL that receives the events of this watch, beside the sinks.
    pub callback_url: Option<CallbackUrl>,
    /// The time at which the watch was accepted.
    pub submitted_at: Timestamp,
    /// The time at which it ends as `timed_out`, unless a verdict comes first.
    pub deadline: Timestamp,
    /// Watching, or final with its outcome.
    pub state: State,
    /// The job as last seen; `None` until the first sighting.
    pub job: Option<Job>,
    /// The time at which the outcome was noticed.
    pub finished_at: Option<Timestamp>,
    /// The polls made until the last commit (a poll that shows nothing new writes nothing).
    pub polls: u32,
    /// The polls that were problems, until the last commit.
    pub problems: u32,
    /// The last problem before the last commit.
    pub last_problem: Option<ProblemNote>,
    /// The status of the last sighting, if the definition does not list it.
    pub unknown_status: Option<String>,
    /// The number of changes so far; it numbers the next event.
    pub revision: u32,
}

/// The numbers of a watch between two commits. Polls that show nothing new are counted in
/// memory only (invariant 6).
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The polls made since the submission.
    pub polls: u32,
    /// The polls that were problems since the submission.
    pub problems: u32,
    /// The last problem since the submission.
    pub last_problem: Option<ProblemNote>,
    /// The time of the next poll.
    pub next_poll_at: Timestamp,
}
