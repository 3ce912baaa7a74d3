//! Finishes groups: when a group takes no more watches and all of them have ended, one event
//! reports how.
//!
//! The store says which groups can finish, so the worker keeps nothing in memory. If the process
//! dies before the commit, the next start finds the group again and composes the same event.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::SharedClock;
use crate::store::{Applied, PAGE_MAX, Query, SharedStore, StoreError, StoredGroup};
use crate::wake::{Wake, woken_within};
use crate::watch::change::Composer;
use crate::watch::delivery::Owed;
use crate::watch::group::GroupEnd;

/// The number of groups in one read from the store.
const GROUPS_PAGE: usize = 100;
/// The longest sleep before the store is read again, because a wake may be lost.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// The pause after a failure of the store.
const PAUSE: Duration = Duration::from_secs(5);

/// The parts that the worker works with.
pub struct Parts {
    /// The store of watches, groups and events.
    pub store: SharedStore,
    /// Composes the events of groups.
    pub composer: Composer,
    pub clock: SharedClock,
    /// Wakes the courier and the announcer after a commit.
    pub committed: Wake,
}

/// Finishes groups. Clones share one wake.
#[derive(Clone)]
pub struct Groups {
    parts: Arc<Parts>,
    wake: Wake,
    woken: Arc<Notify>,
}

impl Groups {
    /// Makes the worker; it reads the store when it first runs.
    pub fn new(parts: Parts) -> Self {
        let (wake, woken) = Wake::new();
        Self {
            parts: Arc::new(parts),
            wake,
            woken,
        }
    }

    /// Returns a handle that wakes the worker, for use after a watch of a group has ended and
    /// after a group was closed.
    pub fn wake_handle(&self) -> Wake {
        self.wake.clone()
    }

    /// Finishes groups in a task of `tracker`, until `stop`.
    pub fn run(&self, stop: CancellationToken, tracker: &TaskTracker) {
        let worker = self.clone();
        tracker.spawn(async move {
            while !stop.is_cancelled() {
                let pause = worker.run_or_report().await;
                let next = woken_within(pause, &worker.woken);
                stop.run_until_cancelled(next).await;
            }
        });
    }

    /// Finishes every group that can finish. Returns their number.
    ///
    /// # Errors
    /// The store failed; the groups that are left can still finish.
    pub async fn run_once(&self) -> Result<usize, StoreError> {
        let mut finished = 0;
        loop {
            let due = self.parts.store.due_groups(GROUPS_PAGE).await?;
            let is_last = due.len() < GROUPS_PAGE;
            let before = finished;
            for group in &due {
                finished += usize::from(self.finish(group).await?);
            }
            // A group that did not finish is due again, so a page without progress is the last.
            if is_last || finished == before {
                return Ok(finished);
            }
        }
    }

    /// Returns the time until the store is to be read again.
    async fn run_or_report(&self) -> Duration {
        match self.run_once().await {
            Ok(_) => SLEEP_MAX,
            Err(StoreError::Closed) => PAUSE,
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::error!(
                    error = format!("{error:#}"),
                    "cannot finish groups; trying again"
                );
                PAUSE
            }
        }
    }

    /// Commits the event of one group. Returns false if it cannot finish, or has finished.
    async fn finish(&self, group: &StoredGroup) -> Result<bool, StoreError> {
        let Parts {
            store,
            composer,
            clock,
            committed,
        } = &*self.parts;
        let Some((end, sinks)) = self.read_members(&group.name).await? else {
            return Ok(false);
        };
        let now = clock.now();
        let event = composer.compose_group(&group.name, group.size, &end, now);
        let owed = sinks.into_iter().map(Owed::to).collect();
        let applied = store.finish_group(&group.name, now, event, owed).await?;
        if applied == Applied::Refused {
            return Ok(false);
        }
        committed.wake();
        tracing::debug!(
            group = group.name,
            members = group.members,
            "group finished"
        );
        Ok(true)
    }

    /// Reads all watches of a group, and the sinks that receive its event. Returns `None` if one
    /// has not ended.
    async fn read_members(
        &self,
        name: &str,
    ) -> Result<Option<(GroupEnd, BTreeSet<String>)>, StoreError> {
        let subscriptions = self.parts.composer.subscriptions();
        let (mut end, mut sinks) = (GroupEnd::default(), BTreeSet::new());
        let mut before = None;
        loop {
            let query = Query {
                group: Some(name.to_owned()),
                before,
                limit: PAGE_MAX,
                ..Query::default()
            };
            let page = self.parts.store.watches(query).await?;
            for watch in &page.watches {
                if !end.add(watch) {
                    return Ok(None);
                }
                let receiving = subscriptions.owed_of_group(watch);
                sinks.extend(receiving.map(str::to_owned));
            }
            before = page.next;
            if before.is_none() {
                return Ok(Some((end, sinks)));
            }
        }
    }
}
