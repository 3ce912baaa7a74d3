//! Sinks receive events: the contract, and one file for each kind.
//!
//! A sink makes one attempt and returns its result. It stores nothing and retries nothing:
//! the store keeps the deliveries owed, and [`retry`] decides when to try again.
//!
//! Each of the [`kinds`] reads its own section of the configuration. [`webhook`](kinds::webhook)
//! and [`callback`] use [`post`]: it builds one request from the [`body_format`], where a
//! [`template`] may write the body, with a [`signature`] and the certificates of [`tls`], and
//! keeps the beginning of the [`answer`]. Values that come from files are [`reloading`].

pub mod answer;
pub mod body_format;
pub mod callback;
mod filter;
pub mod kinds;
pub mod post;
mod reach;
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

/// The type of a sink that several tasks share.
pub type SharedSink = Arc<dyn Sink>;

/// The time limit for an attempt of any sink. The limits of each kind are lower, and the
/// courier claims deliveries for longer.
pub const ATTEMPT_MAX: Duration = Duration::from_secs(50);

/// The largest part of an answer that is kept, in bytes.
pub const ANSWER_BYTES_MAX: usize = 512;

/// The result of one attempt and the answer of the receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Says whether the receiver has the event.
    pub result: AttemptResult,
    /// The HTTP status; `None` if the sink does not use HTTP or got no answer.
    pub http_status: Option<u16>,
    /// The beginning of the answer, at most [`ANSWER_BYTES_MAX`], without our secrets.
    pub answer: Option<String>,
}

/// Says whether a receiver has an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptResult {
    Delivered,
    /// The receiver does not have it; try again.
    Failed {
        reason: String,
        /// The delay that the receiver asked for; `None` if it asked for none.
        retry_after: Option<Duration>,
    },
    /// Another attempt would fail in the same way: the event cannot be given the form that the
    /// sink sends, or must not be sent there. The delivery becomes a dead letter at once, so that
    /// an operator sees it and can redrive it after mending the cause.
    Never {
        reason: String,
    },
    /// The receiver answered 410: it takes no more events.
    ReceiverGone,
}

impl Attempt {
    /// Makes an attempt without an answer.
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
    /// The name of the sink in the configuration.
    pub name: String,
    /// The word for the kind in the configuration.
    pub kind: &'static str,
    /// The time of the answer 410. Nothing is sent to the sink from then until a restart.
    pub gone_since: Option<Timestamp>,
}

/// One destination of events; an attempt lasts at most [`ATTEMPT_MAX`].
#[async_trait]
pub trait Sink: Send + Sync {
    /// Returns the word for this kind in the configuration.
    fn kind(&self) -> &'static str;

    /// Returns how many attempts may run at once.
    fn concurrency(&self) -> usize;

    /// Makes one attempt to deliver `delivery`, which begins at `now`.
    async fn deliver(&self, delivery: &Delivery, now: Timestamp) -> Attempt;

    /// Returns the sink as one that takes many events at once, if it does.
    fn as_batch_sink(&self) -> Option<&dyn BatchSink> {
        None
    }
}

/// A sink that takes many events at once. All of them together take at most [`ATTEMPT_MAX`].
#[async_trait]
pub trait BatchSink: Send + Sync {
    /// Makes one attempt for each of these events, which all begin at `now`, and returns the
    /// results in their order.
    async fn deliver_all(&self, deliveries: &[Delivery], now: Timestamp) -> Vec<Attempt>;
}

/// The settings of one sink that its kind has read and checked.
#[async_trait]
pub trait ConfiguredSink: Send + Sync {
    /// Describes the destination in a few words, without a secret.
    fn target(&self) -> String;

    /// Returns the file that only this sink may write; `None` if it writes no file.
    fn own_file(&self) -> Option<&Path> {
        None
    }

    /// Tries how far an event would come now, without sending one.
    ///
    /// # Errors
    /// Says why no event would arrive, without a secret.
    async fn reach(&self) -> Result<(), String> {
        Ok(())
    }

    /// Makes the sink from its settings.
    ///
    /// # Errors
    /// Says why it cannot be set up, without a secret.
    fn set_up(&self, log: &LogOutput) -> Result<SharedSink, String>;
}

/// The settings in a section `[sinks.NAME]`.
#[derive(Clone)]
pub struct SinkSettings {
    /// The word for its kind in the configuration.
    pub kind: &'static str,
    /// The settings that only this kind has.
    pub sink: Arc<dyn ConfiguredSink>,
    /// The events that the sink receives.
    pub filter: Filter,
}
