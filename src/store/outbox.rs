//! The part of the store contract about deliveries: the events that are owed to sinks.
//!
//! The store decides by its own time: [`StoreTime`](crate::store::time::StoreTime), or the time
//! of a database server. Callers pass and receive durations, so setting the wall clock moves
//! neither a retry nor a lease.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::store::StoreError;
use crate::store::delivery::{
    DeliveryPage, DeliveryQuery, Redriven, SinkBacklog, StoredAttempt, StoredDelivery,
};
use crate::watch::delivery::Delivery;

/// A delivery that was claimed, to be attempted once and settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The number of the delivery in this store.
    pub id: i64,
    /// The number of earlier attempts in the current schedule; a redrive begins a new one.
    pub schedule_attempts: u32,
    pub delivery: Delivery,
}

/// The consequence of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// The sink has the event.
    Delivered,
    /// The next attempt is due this long after the settlement.
    RetryAfter(Duration),
    /// The delivery is given up and becomes a dead letter.
    Dead,
    /// The receiver is gone (410): the delivery is owed as before. The attempt is recorded but
    /// does not count in the schedule, because repeated restarts must not use up the schedule.
    ReceiverGone,
}

/// The record of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord {
    pub delivery: i64,
    /// The number of the attempt in its schedule, from 1. A number that is recorded already is
    /// not counted again: a commit that seemed to fail may have succeeded.
    pub schedule_attempt: u32,
    pub settlement: Settlement,
    /// The start of the attempt, by the wall clock.
    pub at: Timestamp,
    pub took: Duration,
    /// The HTTP status, if there was an answer.
    pub http_status: Option<u16>,
    pub error: Option<String>,
    /// The beginning of the answer, without control characters.
    pub answer: Option<String>,
}

/// Keeps deliveries until they succeed or are given up; see [`crate::store`].
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Claims at most `limit` due deliveries to `sink`, the longest due first. Until `lease` has
    /// passed, no other call claims them, in this process or another. A lease saves work but
    /// guarantees nothing: if an attempt runs longer, its delivery is claimed again and sent
    /// twice under the same event id.
    ///
    /// A delivery is due at once when its event is committed and when it is redriven.
    async fn claim_deliveries(
        &self,
        sink: &str,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Claimed>, StoreError>;

    /// Records attempts, all or none, and ends their leases. Of each delivery the last
    /// [`ATTEMPTS_KEPT`](crate::store::delivery::ATTEMPTS_KEPT) attempts are kept. A record that
    /// comes twice counts once; a record for a settled delivery changes nothing.
    async fn settle(&self, records: Vec<AttemptRecord>) -> Result<(), StoreError>;

    /// Returns the time until a pending delivery to `sink` is due and not leased: zero if one
    /// is now, `None` if none is pending.
    async fn next_delivery_due(&self, sink: &str) -> Result<Option<Duration>, StoreError>;

    /// Counts pending and dead deliveries for each sink that has any.
    async fn backlog(&self) -> Result<Vec<SinkBacklog>, StoreError>;

    /// Returns a page of deliveries, newest first.
    ///
    /// # Errors
    /// [`StoreError::UnknownCursor`], and the errors of every call.
    async fn deliveries(&self, query: DeliveryQuery) -> Result<DeliveryPage, StoreError>;

    /// Returns one delivery and its stored attempts, oldest first.
    async fn delivery(
        &self,
        id: i64,
    ) -> Result<Option<(StoredDelivery, Vec<StoredAttempt>)>, StoreError>;

    /// Makes a dead letter pending again, due at once, under the same event id. A new schedule
    /// begins; the recorded attempts and a lease are kept. With `force`, a delivery that is not
    /// dead is redriven too.
    async fn redrive(&self, id: i64, force: bool) -> Result<Redriven, StoreError>;

    /// Redrives every dead letter of `sink`; with `since`, only those given up at that time or
    /// later, by the wall clock. Returns their number.
    async fn redrive_dead(&self, sink: &str, since: Option<Timestamp>) -> Result<u64, StoreError>;
}
