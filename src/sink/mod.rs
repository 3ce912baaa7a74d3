//! Where events go: the contract, and one file for each kind.
//!
//! A sink makes one attempt and says what came of it. It keeps nothing and retries
//! nothing: what is owed stands in the store, and [`retry`] says when to try again.
//!
//! Each of the [`kinds`] reads its own section of the configuration. [`webhook`](kinds::webhook)
//! and [`callback`] post: [`post`] makes one request of an event's [`body_format`], which a
//! [`template`] may give, its [`signature`] and the certificates of [`tls`]. What stands in
//! files is kept [`reloading`]; what comes back is an [`answer`].

pub mod answer;
pub mod body_format;
pub mod callback;
mod filter;
pub mod kinds;
pub mod post;
mod rehearsal;
pub mod reloading;
pub mod retry;
pub mod signature;
pub mod template;
pub mod tls;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::telemetry::LogOutput;
use crate::watch::delivery::Delivery;
use crate::watch::subscription::Filter;

/// A sink shared by everything that uses it.
pub type SharedSink = Arc<dyn Sink>;

/// The longest an attempt of any sink may take. The limits of each kind stay below it, and
/// the courier claims deliveries for longer.
pub const ATTEMPT_MAX: Duration = Duration::from_secs(50);

/// The most that is kept of an answer, in bytes.
pub const ANSWER_BYTES_MAX: usize = 512;

/// What one attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Whether the sink has the event.
    pub result: AttemptResult,
    /// The HTTP status, where there is one.
    pub http_status: Option<u16>,
    /// The beginning of the answer, at most [`ANSWER_BYTES_MAX`], without our secrets.
    pub answer: Option<String>,
}

/// Whether a sink has an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptResult {
    /// It has.
    Delivered,
    /// It has not; try again.
    Failed {
        /// Why, in words.
        reason: String,
        /// The receiver's retry_after for the next attempt.
        retry_after: Option<Duration>,
    },
    /// It has not and, as things stand, never will: the event cannot be made into what the
    /// sink sends, or may not be sent there. A dead letter at once, so that an operator sees it;
    /// it can be redriven when the cause is mended.
    Never {
        /// Why, in words.
        reason: String,
    },
    /// The receiver wants no events any more (410).
    ReceiverGone,
}

impl Attempt {
    /// A result without an answer.
    pub fn of(result: AttemptResult) -> Self {
        Self {
            result,
            http_status: None,
            answer: None,
        }
    }
}

/// A configured sink and whether its receiver takes events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkStatus {
    /// Its name in the configuration.
    pub name: String,
    /// The word for its kind in the configuration.
    pub kind: &'static str,
    /// The time of the answer 410; nothing is sent to the sink from then until a restart.
    pub gone_since: Option<Timestamp>,
}

/// Receives events.
#[async_trait]
pub trait Sink: Send + Sync {
    /// The word for this kind in the configuration.
    fn kind(&self) -> &'static str;

    /// How many attempts may be under way at once.
    fn concurrency(&self) -> usize;

    /// Makes one attempt to deliver `delivery`, begun at `now`.
    async fn deliver(&self, delivery: &Delivery, now: Timestamp) -> Attempt;
}

/// The settings of one sink that its kind has read and checked.
pub trait ConfiguredSink: Send + Sync {
    /// Where its events go, in a few words and without a secret.
    fn target(&self) -> String;

    /// The file that this sink alone may write, if there is one.
    fn own_file(&self) -> Option<&Path> {
        None
    }

    /// Sets the sink up.
    ///
    /// # Errors
    /// Why it cannot be set up, without a secret.
    fn set_up(&self, log: &LogOutput) -> Result<SharedSink, String>;
}

/// A section `[sinks.NAME]`.
#[derive(Clone)]
pub struct SinkSettings {
    /// The word for its kind.
    pub kind: &'static str,
    /// What is set of that kind.
    pub sink: Arc<dyn ConfiguredSink>,
    /// Which events it gets.
    pub filter: Filter,
}
