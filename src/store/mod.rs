//! The contract of the store: what is durable, and what commits together.
//!
//! Three rules hold for every implementation:
//! - what a method acknowledges has been committed and synced (invariant 2);
//! - a transition, its event and the deliveries it owes commit in one transaction
//!   (invariant 3);
//! - a final watch is never changed (invariant 5): that is an answer, not an error.
//!
//! One suite runs over every implementation (`tests/it/store.rs`).

pub mod delivery;
pub mod row;
pub mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use crate::store::delivery::{
    DeliveryPage, DeliveryQuery, Redriven, SinkBacklog, StoredAttempt, StoredDelivery,
};
use crate::watch::change::Change;
use crate::watch::{State, Watch, WatchId};

/// A store shared by everything.
pub type SharedStore = Arc<dyn Store>;

/// The most rows one page holds.
pub const PAGE_MAX: usize = 1000;

/// What became of a submission.
#[derive(Debug, Clone, PartialEq)]
pub enum Submitted {
    /// It was accepted.
    Accepted(Watch),
    /// The same job of the same service is watched, or was, already.
    Existing(Watch),
}

impl Submitted {
    /// The watch, new or not.
    pub fn watch(&self) -> &Watch {
        match self {
            Self::Accepted(watch) | Self::Existing(watch) => watch,
        }
    }
}

/// What became of a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It was committed.
    Applied,
    /// The watch is final, gone, or was changed by somebody else; nothing was written.
    Refused,
}

/// Which watches are wanted.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// In this state.
    pub state: Option<State>,
    /// On this service.
    pub service: Option<String>,
    /// With this label.
    pub label: Option<(String, String)>,
    /// Accepted before this one: the `next` of the page before.
    pub before: Option<i64>,
    /// At most so many; at most [`PAGE_MAX`].
    pub limit: usize,
}

/// A page of watches, newest first.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The watches.
    pub watches: Vec<Watch>,
    /// Where the next page begins, if there is one.
    pub next: Option<i64>,
}

/// What others did to watches since one last looked.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Watches accepted and still watching.
    pub accepted: Vec<Watch>,
    /// Watches that an operator ended.
    pub ended: Vec<WatchId>,
    /// Where to look on from.
    pub position: i64,
    /// There may be more at once.
    pub more: bool,
}

/// An event as it stands in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// Its place in the log.
    pub seq: i64,
    /// Its `CloudEvents` type.
    pub type_name: String,
    /// When it was noticed.
    pub at: Timestamp,
    /// The `CloudEvent`.
    pub body: String,
}

/// One event owed to one sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Names this delivery.
    pub id: i64,
    /// The event; the same in every attempt.
    pub event_id: Uuid,
    /// The event's `CloudEvents` type.
    pub type_name: String,
    /// The `CloudEvent`, as it is to be sent.
    pub body: String,
    /// Attempts made before in the present schedule.
    pub attempts: u32,
    /// The URL that the watch came with, for the sink `callback` alone.
    pub callback_url: Option<String>,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// The sink has the event.
    Delivered,
    /// Try again then.
    RetryAt(Timestamp),
    /// Not any more: a dead letter.
    Dead,
    /// The receiver is gone: owed as before. The attempt is recorded and is none of the
    /// schedule, which a restart must not use up.
    ReceiverGone,
}

/// The record of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord {
    /// The delivery.
    pub delivery: i64,
    /// Which attempt of its schedule it was, from 1. One that is recorded already is not
    /// counted twice: a commit that seemed to fail may have gone through.
    pub number: u32,
    /// What it came to.
    pub settlement: Settlement,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// The HTTP status, if there was an answer.
    pub http_status: Option<u16>,
    /// Why it failed.
    pub error: Option<String>,
    /// How the answer begins.
    pub answer: Option<String>,
}

/// How many deliveries are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeliveryCounts {
    /// Owed.
    pub pending: u64,
    /// Done.
    pub delivered: u64,
    /// Given up.
    pub dead: u64,
}

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be opened.
    #[error("cannot open the store {url}: {reason}")]
    Open {
        /// The configured URL, without a password.
        url: String,
        /// What is wrong and what to do about it.
        reason: String,
    },
    /// A read or a write failed. A write may have been committed all the same, where only the
    /// answer was lost: whoever tries again looks first.
    #[error("the store failed to {doing}")]
    Failed {
        /// What was attempted.
        doing: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

/// Keeps watches, events and deliveries.
#[async_trait]
pub trait Store: Send + Sync {
    /// Accepts watches, all or none; the answers are in the order of the submissions.
    async fn submit(&self, submissions: Vec<Change>) -> Result<Vec<Submitted>, StoreError>;

    /// Commits a transition, unless the watch is final or has changed meanwhile.
    async fn apply(&self, change: Change) -> Result<Applied, StoreError>;

    /// Appends an event that changes nothing about its watch, with the deliveries it owes;
    /// refused when it is in the log already.
    async fn append(&self, change: Change) -> Result<Applied, StoreError>;

    /// One watch.
    async fn watch(&self, id: WatchId) -> Result<Option<Watch>, StoreError>;

    /// A page of watches, newest first.
    async fn watches(&self, query: Query) -> Result<Page, StoreError>;

    /// The events of one watch, oldest first, the last `limit` of them.
    async fn events_of(&self, id: WatchId, limit: usize) -> Result<Vec<StoredEvent>, StoreError>;

    /// Where the log of events ends now: what happens later is changes.
    async fn position(&self) -> Result<i64, StoreError>;

    /// Watches still watching, in the order of acceptance, after the one numbered
    /// `after`; each with its number. For rebuilding the agenda page by page.
    async fn watching(&self, after: i64, limit: usize) -> Result<Vec<(i64, Watch)>, StoreError>;

    /// Watches that ended without a verdict at `since` or later and have had no late
    /// result, in the order of acceptance, after the one numbered `after`.
    async fn without_verdict(
        &self,
        since: Timestamp,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Watch)>, StoreError>;

    /// What others did to watches since `position`.
    async fn changes(&self, position: i64, limit: usize) -> Result<Changes, StoreError>;

    /// Takes deliveries that are due for `sink`; nobody else takes them before `lease_until`.
    async fn claim_deliveries(
        &self,
        sink: &str,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// Records attempts; of each delivery the last
    /// [`ATTEMPTS_KEPT`](delivery::ATTEMPTS_KEPT) are kept.
    async fn settle(&self, records: Vec<AttemptRecord>) -> Result<(), StoreError>;

    /// When the next pending delivery to `sink` is due and free.
    async fn next_delivery_due(&self, sink: &str) -> Result<Option<Timestamp>, StoreError>;

    /// How many deliveries are pending and dead, by sink, for sinks that have any.
    async fn backlog(&self) -> Result<Vec<SinkBacklog>, StoreError>;

    /// A page of deliveries, newest first.
    async fn deliveries(&self, query: DeliveryQuery) -> Result<DeliveryPage, StoreError>;

    /// One delivery and the attempts that are kept of it, oldest first.
    async fn delivery(
        &self,
        id: i64,
    ) -> Result<Option<(StoredDelivery, Vec<StoredAttempt>)>, StoreError>;

    /// Owes a dead letter again, due at `now`, under the same event id: a new schedule
    /// begins and the history stays. With `force` also one that is not dead.
    async fn redrive(&self, id: i64, force: bool, now: Timestamp) -> Result<Redriven, StoreError>;

    /// The same for every dead letter of `sink`, or of those given up at `since` or
    /// later; tells how many.
    async fn redrive_dead(
        &self,
        sink: &str,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<u64, StoreError>;

    /// How many watches are in which state.
    async fn watch_counts(&self) -> Result<Vec<(State, u64)>, StoreError>;

    /// How many deliveries are in which state.
    async fn delivery_counts(&self) -> Result<DeliveryCounts, StoreError>;

    /// Proves that the store can commit.
    async fn check(&self) -> Result<(), StoreError>;

    /// Finishes what was asked for and closes; later calls fail with
    /// [`StoreError::Closed`].
    async fn close(&self);
}
