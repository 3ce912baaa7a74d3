//! Where events go: the contract, and one file for each kind.
//!
//! A sink makes one attempt and says what came of it. It keeps nothing and retries
//! nothing: what is owed stands in the store, and [`retry`] says when to try again.

pub mod log;
pub mod retry;
pub mod signature;
pub mod webhook;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

/// A sink shared by everything that uses it.
pub type SharedSink = Arc<dyn Sink>;

/// One event on its way to a sink.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// The same in every attempt, and in every event that tells the same fact.
    pub event_id: Uuid,
    /// The `CloudEvents` type.
    pub type_name: String,
    /// The `CloudEvent` in structured JSON, as it is to be sent.
    pub body: String,
}

/// What one attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// The sink has the event.
    Delivered {
        /// The HTTP status, where there is one.
        http_status: Option<u16>,
    },
    /// The sink does not have it; try again.
    Failed {
        /// The HTTP status, if there was an answer.
        http_status: Option<u16>,
        /// Why, in words.
        reason: String,
        /// The receiver's wish for the next attempt.
        retry_after: Option<Duration>,
    },
    /// The receiver wants no events any more (410).
    Gone,
}

/// Receives events.
#[async_trait]
pub trait Sink: Send + Sync {
    /// The word for this kind in the configuration.
    fn kind(&self) -> &'static str;

    /// How many attempts may be under way at once.
    fn concurrency(&self) -> usize;

    /// Makes one attempt to deliver `parcel`, begun at `now`.
    async fn deliver(&self, parcel: &Parcel, now: Timestamp) -> Attempt;
}
