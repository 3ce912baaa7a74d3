//! The contract of the store: watches, events and deliveries, durable and in one transaction.
//!
//! It has eight parts: [`WatchStore`] for the poller, the API and the other ways to submit a
//! watch, [`Outbox`] for the courier, [`GroupStore`] for watches that belong together,
//! [`BlindnessStore`] for the blind periods of services, [`DurationStore`] for
//! how long jobs take, [`Retention`] for the deletion of old rows, [`ShardStore`] for the replicas that share
//! a database, [`Maintenance`] for readiness
//! checks and the shutdown. A [`Store`] is all of them. Rules for every implementation:
//! - a call that succeeds has committed and synced (invariant 2);
//! - a change, its event and the deliveries owed for it commit in one transaction
//!   (invariant 3);
//! - a final watch is never changed (invariant 5): the refusal is an answer, not an error;
//! - a call that failed may have committed, if only its answer was lost: callers repeat the
//!   call, and every write can be repeated safely;
//! - other processes may write too: [`changes`](WatchStore::changes) may repeat a change but
//!   never misses one, revisions decide between writers, leases between couriers.
//!
//! One test suite covers every implementation (`tests/it/store.rs`).

pub mod blindness;
mod cells;
pub mod copy;
pub mod cursor;
pub mod delivery;
pub mod durations;
mod entry_row;
pub mod groups;
pub mod inspection;
pub mod key;
pub mod maintenance;
pub mod outbox;
pub mod postgres;
pub mod retention;
pub mod row;
pub mod shards;
pub mod sqlite;
pub mod tables;
pub mod time;
mod watch_row;
pub mod watches;

use std::sync::Arc;

pub use crate::store::blindness::BlindnessStore;
pub use crate::store::cursor::{Cursor, PageCursor};
pub use crate::store::durations::{DurationStore, JobDurations};
pub use crate::store::groups::{GroupStore, StoredGroup};
pub use crate::store::maintenance::Maintenance;
pub use crate::store::outbox::{AttemptRecord, Claimed, Outbox, Settlement};
pub use crate::store::retention::{Expiry, PruneStep, Pruned, Retention};
pub use crate::store::shards::{Holding, ShardStore, Shards};
pub use crate::store::watches::{
    Applied, Changes, Decide, EntryPage, EventPage, LoggedEvent, Page, Query, StoredEvent,
    Submission, Submitted, Transitioned, WatchStore,
};

/// The store that all parts of the program share.
pub type SharedStore = Arc<dyn Store>;

/// The largest number of rows in one page.
pub const PAGE_MAX: usize = 1000;

/// Keeps watches, events and deliveries: every part of the contract.
pub trait Store:
    WatchStore
    + Outbox
    + GroupStore
    + BlindnessStore
    + DurationStore
    + Retention
    + ShardStore
    + Maintenance
{
}

impl<T> Store for T where
    T: WatchStore
        + Outbox
        + GroupStore
        + BlindnessStore
        + DurationStore
        + Retention
        + ShardStore
        + Maintenance
{
}

/// An error of one operation in SQL; it becomes the source of a [`StoreError::Failed`].
pub(crate) type SqlError = Box<dyn std::error::Error + Send + Sync>;

/// The reason why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be opened.
    #[error("cannot open the store {url}: {reason}")]
    Open {
        /// The configured URL, without a password.
        url: String,
        /// The fault and how to mend it.
        reason: String,
    },
    /// A read or a write failed. A write may have been committed, if only its answer was lost:
    /// the caller repeats the call, or reads first if the call must not be repeated.
    #[error("the store failed to {doing}")]
    Failed {
        /// The operation, as a verb with its object.
        doing: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The text is not a cursor of this store.
    #[error("`{0}` is not a position that this store gave, such as the `next` of a page")]
    UnknownCursor(String),
    /// The text is a position in the log of events, and events after it were deleted.
    #[error("events after the position `{0}` are not kept any more")]
    PrunedCursor(String),
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}
