//! The part of the contract about watches and their events.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::store::{Cursor, PageCursor, StoreError};
use crate::watch::change::Change;
use crate::watch::{State, Watch, WatchId};

/// The answer to one submission.
#[derive(Debug, Clone, PartialEq)]
pub enum Submitted {
    /// The watch was accepted.
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

/// The answer to a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It was committed.
    Applied,
    /// The watch is final, gone, or was changed by another writer; nothing was written.
    Refused,
}

/// The watches to list.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// In this state.
    pub state: Option<State>,
    /// On this service.
    pub service: Option<String>,
    /// With this label.
    pub label: Option<(String, String)>,
    /// After this one in the list: the `next` of the page before.
    pub before: Option<PageCursor>,
    /// At most so many; at most [`PAGE_MAX`](crate::store::PAGE_MAX).
    pub limit: usize,
}

/// A page of watches.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The watches.
    pub watches: Vec<Watch>,
    /// Where the next page begins, if there is one.
    pub next: Option<PageCursor>,
}

/// Changes that other parts of the program, or other processes, made to watches.
#[derive(Debug, Clone)]
pub struct Changes {
    /// Watches that were accepted and are still watching.
    pub accepted: Vec<Watch>,
    /// Watches that an operator ended.
    pub ended: Vec<WatchId>,
    /// Where to go on.
    pub next: Cursor,
    /// True if there may be more at once.
    pub more: bool,
}

/// An event as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its `CloudEvents` type.
    pub type_name: String,
    /// When it was noticed.
    pub at: Timestamp,
    /// The `CloudEvent`.
    pub body: String,
}

/// Keeps watches and their events; see [`crate::store`].
#[async_trait]
pub trait WatchStore: Send + Sync {
    /// Accepts watches, all or none: each with its event and the deliveries that it owes. The
    /// answers are in the order of the submissions.
    async fn submit(&self, submissions: Vec<Change>) -> Result<Vec<Submitted>, StoreError>;

    /// Commits a change with its event and the deliveries that it owes, unless the watch is
    /// final or its revision is not the one before.
    async fn apply(&self, change: Change) -> Result<Applied, StoreError>;

    /// Commits the event of a change that leaves its watch as it is, with the deliveries that
    /// it owes; refused when the event is in the log already.
    async fn append(&self, change: Change) -> Result<Applied, StoreError>;

    /// One watch.
    async fn watch(&self, id: WatchId) -> Result<Option<Watch>, StoreError>;

    /// A page of watches, newest first.
    ///
    /// # Errors
    /// [`StoreError::UnknownCursor`], and those of every call.
    async fn watches(&self, query: Query) -> Result<Page, StoreError>;

    /// The events of one watch, oldest first, the last `limit` of them.
    async fn events_of(&self, id: WatchId, limit: usize) -> Result<Vec<StoredEvent>, StoreError>;

    /// A page of the watches that are watching, in one order from page to page. Following
    /// `next` to the end finds each watch that was accepted before the first page was read and
    /// is still watching.
    async fn watching(&self, after: Option<PageCursor>, limit: usize) -> Result<Page, StoreError>;

    /// A page of the watches that ended without a verdict at `since` or later and have had no
    /// late result; as [`watching`](Self::watching).
    async fn without_verdict(
        &self,
        since: Timestamp,
        after: Option<PageCursor>,
        limit: usize,
    ) -> Result<Page, StoreError>;

    /// The mark before all changes that are committed from now on, by whichever writer.
    async fn cursor(&self) -> Result<Cursor, StoreError>;

    /// The changes after `since`, about `limit` of them.
    ///
    /// Each is given **at least once and may be given again**, by this call or by later ones
    /// that go on from `next`: with several writers, a change can become visible after others
    /// that began later, and a store that must not miss it looks back. Calls that go on while
    /// `more` come to an end.
    async fn changes(&self, since: &Cursor, limit: usize) -> Result<Changes, StoreError>;
}
