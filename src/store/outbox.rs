//! The part of the contract about deliveries: the events that are owed to sinks.
//!
//! Times here are the store's own ([`StoreTime`](crate::store::time::StoreTime), or those of
//! a database server). Callers give and get durations: a wall clock that is set moves neither
//! a retry nor a lease.

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
    /// Names the delivery in this store.
    pub id: i64,
    /// Attempts made before in the present schedule.
    pub schedule_attempts: u32,
    /// The event to send.
    pub delivery: Delivery,
}

/// The consequence of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// The sink has the event.
    Delivered,
    /// It is tried again so long after the settlement.
    RetryAfter(Duration),
    /// It is given up: a dead letter.
    Dead,
    /// The receiver is gone: the delivery is owed as before. The attempt is recorded and does
    /// not count in the schedule, which a restart must not use up.
    ReceiverGone,
}

/// The record of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord {
    /// The delivery.
    pub delivery: i64,
    /// The number of the attempt in its schedule, from 1. One that is recorded already is not
    /// counted twice: a commit that seemed to fail may have gone through.
    pub schedule_attempt: u32,
    /// Its consequence.
    pub settlement: Settlement,
    /// When it began, by the wall clock.
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

/// Keeps deliveries until they are made or given up; see [`crate::store`].
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Claims deliveries to `sink` that are due, those due first: until `lease` has passed no
    /// other call claims them, in this process or another. A lease saves work and is no
    /// promise: after it, a delivery whose attempt still runs is claimed again, and sent
    /// twice under one event id.
    ///
    /// A delivery is due from the commit that owes it, and from the call that redrives it.
    async fn claim_deliveries(
        &self,
        sink: &str,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Claimed>, StoreError>;

    /// Records attempts, all or none, and ends their leases; of each delivery the last
    /// [`ATTEMPTS_KEPT`](crate::store::delivery::ATTEMPTS_KEPT) are kept. A record that comes
    /// twice counts once, and one of a delivery that is settled changes nothing.
    async fn settle(&self, records: Vec<AttemptRecord>) -> Result<(), StoreError>;

    /// How long until the next pending delivery to `sink` is due and free; zero when one is.
    async fn next_delivery_due(&self, sink: &str) -> Result<Option<Duration>, StoreError>;

    /// How many deliveries are pending and dead, by sink, for sinks that have any.
    async fn backlog(&self) -> Result<Vec<SinkBacklog>, StoreError>;

    /// A page of deliveries, newest first.
    ///
    /// # Errors
    /// [`StoreError::UnknownCursor`], and those of every call.
    async fn deliveries(&self, query: DeliveryQuery) -> Result<DeliveryPage, StoreError>;

    /// One delivery and the attempts that are kept of it, oldest first.
    async fn delivery(
        &self,
        id: i64,
    ) -> Result<Option<(StoredDelivery, Vec<StoredAttempt>)>, StoreError>;

    /// Owes a dead letter again, due at once, under the same event id: a new schedule begins
    /// and the history stays. With `force` also a delivery that is not dead. A lease on it
    /// stays.
    async fn redrive(&self, id: i64, force: bool) -> Result<Redriven, StoreError>;

    /// The same for every dead letter of `sink`, or of those given up at `since` or later by
    /// the wall clock. Returns how many.
    async fn redrive_dead(&self, sink: &str, since: Option<Timestamp>) -> Result<u64, StoreError>;
}
