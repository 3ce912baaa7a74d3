//! The contract of the store: watches, events and deliveries, durable and in one transaction.
//!
//! It has three parts, by who uses them: [`WatchStore`] for the poller and the ways in,
//! [`Outbox`] for the courier, [`Maintenance`] for probes and the end; a [`Store`] is all of
//! them. Rules for every implementation:
//! - a call that succeeds has committed and synced (invariant 2);
//! - a change, its event and the deliveries that it owes commit in one transaction
//!   (invariant 3);
//! - a final watch is never changed (invariant 5): that is an answer, not an error;
//! - a call that failed may have committed all the same, where only the answer was lost:
//!   callers try again, and every write takes a repetition;
//! - other processes may write too: [`changes`](WatchStore::changes) repeats rather than
//!   misses, revisions decide between writers, leases between couriers.
//!
//! One suite runs over every implementation (`tests/it/store.rs`).

pub mod cursor;
pub mod delivery;
pub mod maintenance;
pub mod outbox;
pub mod row;
pub mod sqlite;
pub mod time;
pub mod watches;

use std::sync::Arc;

pub use crate::store::cursor::{Cursor, PageCursor};
pub use crate::store::maintenance::Maintenance;
pub use crate::store::outbox::{AttemptRecord, Claimed, Outbox, Settlement};
pub use crate::store::watches::{
    Applied, Changes, Page, Query, StoredEvent, Submitted, WatchStore,
};

/// A store shared by everything.
pub type SharedStore = Arc<dyn Store>;

/// The most rows one page holds.
pub const PAGE_MAX: usize = 1000;

/// Keeps watches, events and deliveries: every part of the contract.
pub trait Store: WatchStore + Outbox + Maintenance {}

impl<T: WatchStore + Outbox + Maintenance> Store for T {}

/// The reason why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be opened.
    #[error("cannot open the store {url}: {reason}")]
    Open {
        /// The configured URL, without a password.
        url: String,
        /// The fault and its remedy.
        reason: String,
    },
    /// A read or a write failed. A write may have been committed all the same, where only the
    /// answer was lost: the caller looks before it tries again, or repeats what may be
    /// repeated.
    #[error("the store failed to {doing}")]
    Failed {
        /// The operation, as a verb with its object.
        doing: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// This store never gave the cursor.
    #[error("`{0}` is not the `next` value of a page")]
    UnknownCursor(String),
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}
