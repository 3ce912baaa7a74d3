//! The pure core: the watch, the observation of one poll, and the transition that follows.
//!
//! Nothing in this folder reads a clock, a socket or a database. The poller observes,
//! [`transition::decide`] decides on the effect of the observation, and the store commits
//! the result. Read in this order: [`Watch`], [`observation`], [`tracking`], [`transition`]
//! (which asks [`belief`] whether a sighting counts), [`event`], [`subscription`],
//! [`delivery`], [`change`], [`request`], [`mod@reference`].

mod belief;
pub mod blindness;
pub mod change;
pub mod creating_answer;
pub mod delivery;
pub mod entry;
pub mod event;
pub mod evidence;
pub mod group;
pub mod job_id;
pub mod note;
pub mod observation;
pub mod outcome;
pub mod reference;
pub mod request;
pub mod stage;
pub mod subscription;
pub mod terms;
pub mod tracking;
pub mod transition;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::watch::note::{Note, Notes};
use crate::watch::observation::{Job, ProblemNote};
use crate::watch::stage::{EndedStage, Stage};

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

/// The end that a watch is about, where it is not that of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// The watch is of a deletion: it succeeds when the service does not know the job any more.
    Gone,
}

impl Expect {
    /// Returns the word that requests, SQL and API use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
        }
    }

    /// Returns the value of a word; `None` for an unknown one.
    pub fn from_word(word: &str) -> Option<Self> {
        (word == Self::Gone.as_str()).then_some(Self::Gone)
    }
}

/// The cause of an outcome that the job itself does not explain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The error code that the service gave.
    pub code: Option<String>,
    /// The cause in words for people.
    pub reason: String,
}

impl Cause {
    /// Makes a cause in our own words.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            code: None,
            reason: reason.into(),
        }
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
    /// The group of watches that it belongs to.
    pub group: Option<String>,
    /// The run of the job that the submission named.
    pub named_run: Option<String>,
    /// Ends from before this time are not believed; `None` for the default.
    pub since: Option<Timestamp>,
    /// The end that the watch is about, if it is not that of the job.
    pub expect: Option<Expect>,
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
    /// The run that the watch is about: the named one, or the first that was seen. After a
    /// hand-over, that of the present job.
    pub run: Option<String>,
    /// True if the run was seen pending, running or held.
    pub has_progress: bool,
    /// The number of sightings that agreed on the end; 0 before a verdict.
    pub confirmations: u32,
    /// The words about how the job was seen.
    pub notes: Notes,
    /// The present stage; `None` until the job hands over to another one.
    pub stage: Option<Stage>,
    /// The stages that have handed over.
    pub stages: Vec<EndedStage>,
    /// The URL of the next poll, if an answer named it.
    pub follow: Option<String>,
    /// The cause of an outcome that the job itself does not explain.
    pub cause: Option<Cause>,
    /// The number of changes so far; it numbers the next event.
    pub revision: u32,
}

impl Watch {
    /// Makes a watch of a job that was not polled yet, without params and other terms.
    pub fn new(
        id: WatchId,
        (service, definition): (&str, &str),
        job_id: &str,
        submitted_at: Timestamp,
        deadline: Timestamp,
    ) -> Self {
        Self {
            id,
            service: service.to_owned(),
            definition: definition.to_owned(),
            job_id: job_id.to_owned(),
            params: Params::new(),
            labels: Labels::new(),
            sinks: Vec::new(),
            callback_url: None,
            group: None,
            named_run: None,
            since: None,
            expect: None,
            submitted_at,
            deadline,
            state: State::Watching,
            job: None,
            finished_at: None,
            polls: 0,
            problems: 0,
            last_problem: None,
            unknown_status: None,
            run: None,
            has_progress: false,
            confirmations: 0,
            notes: Notes::default(),
            stage: None,
            stages: Vec::new(),
            follow: None,
            cause: None,
            revision: 0,
        }
    }

    /// True if the last sighting that counts is the end of an earlier run, or of another one.
    pub fn is_stale(&self) -> bool {
        let job = self.job.as_ref();
        let goes_on = job.is_some_and(|job| job.state.outcome().is_none());
        goes_on && !self.has_progress && self.notes.has(Note::Stale)
    }

    /// Returns the error code for people: that of the cause, or else that of the job.
    pub fn code(&self) -> Option<&str> {
        match &self.cause {
            Some(cause) => cause.code.as_deref(),
            None => self.job.as_ref()?.code.as_deref(),
        }
    }

    /// Returns the reason for people: that of the cause, or else that of the job.
    pub fn reason(&self) -> Option<&str> {
        match &self.cause {
            Some(cause) => Some(&cause.reason),
            None => self.job.as_ref()?.reason.as_deref(),
        }
    }
}

/// The numbers of a watch between two commits. Polls that show nothing new are counted in
/// memory only (invariant 6).
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The polls made since the submission.
    pub polls: u32,
    /// The polls that were problems since the submission.
    pub problems: u32,
    /// The problems since the last sighting.
    pub problems_in_a_row: u32,
    /// The last problem since the submission.
    pub last_problem: Option<ProblemNote>,
    /// The time of the next poll.
    pub next_poll_at: Timestamp,
    /// The deadline, later by the blind periods of the service.
    pub deadline: Timestamp,
}
