//! The part of the store contract about watches and their events.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use uuid::Uuid;

use crate::store::{Cursor, PageCursor, Shards, StoreError};
use crate::watch::change::Change;
use crate::watch::entry::Entry;
use crate::watch::event::EventKind;
use crate::watch::evidence::Evidence;
use crate::watch::reference::Reference;
use crate::watch::{State, Watch, WatchId};

/// A watch to accept, unless there is one already.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The new watch, with its event and the deliveries owed for it.
    pub change: Change,
    /// True if a watch of the same job that has ended with a verdict on the same end (`expect`) is
    /// enough. One that goes on always is.
    pub accepts_ended: bool,
    /// The number of watches after which the group of the watch closes. It counts if the group has
    /// no size yet.
    pub group_size: Option<u32>,
}

/// The answer to one submission.
#[derive(Debug, Clone, PartialEq)]
pub enum Submitted {
    /// The watch is new and is now stored.
    Accepted(Watch),
    /// The same job is watched already; or its newest watch that has ended with a verdict, if the
    /// submission accepts one.
    Existing(Watch),
    /// The job is not watched yet, and the group of the watch takes no more watches. Nothing was
    /// stored.
    GroupClosed,
    /// The job is not watched yet, and its group has this other size. Nothing was stored.
    GroupHasSize(u32),
}

impl Submitted {
    /// Returns the watch, new or existing; `None` if there is none.
    pub fn watch(&self) -> Option<&Watch> {
        match self {
            Self::Accepted(watch) | Self::Existing(watch) => Some(watch),
            Self::GroupClosed | Self::GroupHasSize(_) => None,
        }
    }
}

/// The answer to one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    Applied,
    /// The watch is final, unknown, or was changed by another writer. Nothing was written.
    Refused,
}

/// Decides on the change of a watch, as it is stored now; `None` for none.
pub type Decide = Box<dyn Fn(&Watch) -> Option<Change> + Send + Sync>;

/// The answer to a transition.
#[derive(Debug, Clone, PartialEq)]
pub enum Transitioned {
    /// The change was committed; this is the watch after it.
    Applied(Watch),
    /// There was nothing to change in this watch.
    Unchanged(Watch),
    /// The store has no such watch.
    Missing,
    /// Another replica polls the watch. Nothing was written.
    Foreign,
}

/// How often a transition is tried while other writers keep changing the watch.
const TRIES: usize = 5;

fn panicked() -> StoreError {
    StoreError::Failed {
        doing: "commit a transition",
        source: "the decision panicked; the log has the cause".into(),
    }
}

/// The filter and the position of a list of watches. A watch must match every part that is set.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// The states; one of them must match. Empty: every state.
    pub states: Vec<State>,
    pub service: Option<String>,
    pub job_id: Option<String>,
    /// The labels that a watch must carry, with these values.
    pub labels: Vec<(String, String)>,
    pub group: Option<String>,
    /// The watches to choose from. Empty: every watch.
    pub ids: Vec<WatchId>,
    /// Watches submitted at this time or later.
    pub since: Option<Timestamp>,
    /// Watches submitted before this time.
    pub until: Option<Timestamp>,
    /// The `next` of the previous page; without it, the list begins at the newest watch.
    pub before: Option<PageCursor>,
    /// The size of the page, at most [`PAGE_MAX`](crate::store::PAGE_MAX).
    pub limit: usize,
}

#[derive(Debug, Clone, Default)]
pub struct Page {
    pub watches: Vec<Watch>,
    /// The start of the next page; `None` on the last page.
    pub next: Option<PageCursor>,
}

/// A page of watches with the facts that polling needs, and the end of each that has ended.
#[derive(Debug, Clone, Default)]
pub struct EntryPage {
    /// The watches in the order of the pages.
    pub entries: Vec<(Entry, Option<Timestamp>)>,
    /// The start of the next page; `None` on the last page.
    pub next: Option<PageCursor>,
}

/// Changes that other parts of the program, or other processes, made to watches.
#[derive(Debug, Clone)]
pub struct Changes {
    /// Watches that were accepted; some may have ended since.
    pub accepted: Vec<WatchId>,
    /// Watches that an operator stopped.
    pub ended: Vec<WatchId>,
    /// The position for the next call.
    pub next: Cursor,
    /// True if more changes may be waiting.
    pub more: bool,
}

impl Changes {
    /// Adds what the event of a watch says.
    pub(crate) fn note(&mut self, kind: Option<EventKind>, watch: Option<WatchId>) {
        let (Some(kind), Some(id)) = (kind, watch) else {
            return;
        };
        match kind {
            EventKind::Accepted => self.accepted.push(id),
            EventKind::Finished(outcome) if !outcome.is_found_by_polling() => self.ended.push(id),
            EventKind::Finished(_)
            | EventKind::Changed
            | EventKind::Held
            | EventKind::LateResult
            | EventKind::GroupFinished
            | EventKind::Blind
            | EventKind::Sighted => {}
        }
    }
}

/// An event as it is stored. Its `body` is the `CloudEvent` as JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    pub type_name: String,
    /// The time at which jobwatch noticed the change.
    pub at: Timestamp,
    pub body: String,
}

/// An event with its position in the log of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEvent {
    /// The position after this event.
    pub cursor: Cursor,
    pub id: Uuid,
    /// The watch that the event is about; `None` if it is about a group, or jobwatch itself.
    pub watch_id: Option<WatchId>,
    pub type_name: String,
    /// The time at which jobwatch noticed the change.
    pub at: Timestamp,
    /// The `CloudEvent` as JSON text.
    pub body: String,
}

/// Events in the order of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    pub events: Vec<LoggedEvent>,
    /// The position for the next call.
    pub next: Cursor,
    /// True if more events may be waiting.
    pub more: bool,
}

/// Keeps watches and their events; see [`crate::store`].
#[async_trait]
pub trait WatchStore: Send + Sync {
    /// Accepts watches, all or none, each with its event and the deliveries owed for it. The
    /// answers are in the order of the submissions.
    ///
    /// Two watches are of the same job if service, params and job id are equal, and if the run that
    /// the submission names is the one that the other watch named or has learned. A submission
    /// that names no run means every run.
    async fn submit(&self, submissions: Vec<Submission>) -> Result<Vec<Submitted>, StoreError>;

    /// Commits a change with its event and the deliveries owed for it. Refuses it if the stored
    /// watch is final, or if its revision is not the one before that of the change.
    async fn apply(&self, change: Change) -> Result<Applied, StoreError>;

    /// Reads a watch and commits the change that `decide` makes of it, as [`apply`](Self::apply)
    /// does. `decide` may be called more than once. If it panics, the call fails.
    async fn transition(&self, id: WatchId, decide: Decide) -> Result<Transitioned, StoreError> {
        for _ in 0..TRIES {
            let Some(watch) = self.watch(id).await? else {
                return Ok(Transitioned::Missing);
            };
            let decided = catch_unwind(AssertUnwindSafe(|| decide(&watch)));
            let Some(change) = decided.map_err(|_| panicked())? else {
                return Ok(Transitioned::Unchanged(watch));
            };
            let after = change.watch.clone();
            if self.apply(change).await? == Applied::Applied {
                return Ok(Transitioned::Applied(after));
            }
        }
        Err(StoreError::Failed {
            doing: "commit a transition",
            source: "the watch kept changing".into(),
        })
    }

    /// Makes many [`transition`](Self::transition)s in their order, which costs less than one call
    /// for each. The answers are in the same order. One that fails does not stop the others. Only the
    /// owner of its shard may change a watch in this way.
    async fn transitions(
        &self,
        wanted: Vec<(WatchId, Decide)>,
    ) -> Vec<Result<Transitioned, StoreError>> {
        let mut answers = Vec::with_capacity(wanted.len());
        for (id, decide) in wanted {
            answers.push(self.transition(id, decide).await);
        }
        answers
    }

    /// Commits the event of a change that leaves its watch as it is, with the deliveries owed
    /// for it. Refuses it if the event is stored already, or the watch is not.
    async fn append(&self, change: Change) -> Result<Applied, StoreError>;

    async fn watch(&self, id: WatchId) -> Result<Option<Watch>, StoreError>;

    /// Returns those of these watches that exist, in any order.
    async fn watches_by_id(&self, ids: Vec<WatchId>) -> Result<Vec<Watch>, StoreError>;

    /// Returns at most `limit` watches that `reference` names, newest first. Of several watches
    /// of one job, by service, params and job id, it returns the newest that the reference names.
    /// A whole id names one watch alone.
    async fn find(&self, reference: &Reference, limit: usize) -> Result<Vec<Watch>, StoreError>;

    /// Returns the evidence of the outcome of a watch; `None` if there is none.
    async fn evidence(&self, id: WatchId) -> Result<Option<Evidence>, StoreError>;

    /// Returns a page of watches, newest first. A page has a bounded cost: with a filter that few
    /// of many watches match, it may have fewer watches than `limit`, or none, and a `next` from
    /// which the search goes on.
    ///
    /// # Errors
    /// [`StoreError::UnknownCursor`], and the errors of every call.
    async fn watches(&self, query: Query) -> Result<Page, StoreError>;

    /// Returns a page that has fewer watches than `limit` only if no more match.
    ///
    /// # Errors
    /// Those of [`watches`](Self::watches).
    async fn full_page(&self, mut query: Query) -> Result<Page, StoreError> {
        let mut page = self.watches(query.clone()).await?;
        while let Some(next) = page.next.take() {
            let left = query.limit.saturating_sub(page.watches.len());
            if left == 0 {
                page.next = Some(next);
                break;
            }
            query.before = Some(next);
            let limit = std::mem::replace(&mut query.limit, left);
            let more = self.watches(query.clone()).await?;
            query.limit = limit;
            page.watches.extend(more.watches);
            page.next = more.next;
        }
        Ok(page)
    }

    /// Returns the last `limit` events of one watch, oldest first.
    async fn events_of(&self, id: WatchId, limit: usize) -> Result<Vec<StoredEvent>, StoreError>;

    /// Returns a page of the watches that are not final, in an order that does not change from
    /// page to page. Following `next` to the end finds each watch that was accepted before the
    /// first page was read and is still not final. Only watches of `shards` are on it. The watches of
    /// the services in `services_with_labels` have their labels.
    async fn watching(
        &self,
        shards: Shards,
        after: Option<PageCursor>,
        limit: usize,
        services_with_labels: &Arc<BTreeSet<String>>,
    ) -> Result<EntryPage, StoreError>;

    /// Returns a page of the watches that ended without a verdict at `since` or later and have
    /// no late result yet. Pages are ordered as those of [`watching`](Self::watching).
    async fn without_verdict(
        &self,
        shards: Shards,
        since: Timestamp,
        after: Option<PageCursor>,
        limit: usize,
        services_with_labels: &Arc<BTreeSet<String>>,
    ) -> Result<EntryPage, StoreError>;

    /// Returns the position from which [`changes`](Self::changes) finds every change that any
    /// writer commits from now on.
    async fn cursor(&self) -> Result<Cursor, StoreError>;

    /// Returns the position after which the log begins: before the oldest event, or after the last
    /// one that was deleted.
    async fn first_cursor(&self) -> Result<Cursor, StoreError>;

    /// Returns at most `limit` events after `after`, in the order of the log. None is missed, and
    /// none is returned twice to a caller that continues from `next`, or from the `cursor` of an
    /// event.
    ///
    /// # Errors
    /// [`StoreError::UnknownCursor`], also for a position beyond the end of the log, such as one of
    /// a database that was replaced; [`StoreError::PrunedCursor`] for one before the start of the
    /// log; and the errors of every call.
    async fn events_after(&self, after: &Cursor, limit: usize) -> Result<EventPage, StoreError>;

    /// Returns about `limit` changes of watches of these shards after `since`.
    ///
    /// Each change is returned **at least once and may be returned again**, by this call or by
    /// later calls from `next`: with several writers, a change can become visible after others
    /// that began later, so a store that must not miss it reads some changes twice. Repeating
    /// the call while `more` is true comes to an end.
    async fn changes(
        &self,
        since: &Cursor,
        shards: Shards,
        limit: usize,
    ) -> Result<Changes, StoreError>;
}
