//! Brings watches from the store to the agenda: all on start, changes afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::RngExt;

use crate::clock::{later, until};
use crate::schedule::agenda::Entry;
use crate::schedule::reason::Reason;
use crate::schedule::{Duty, Next};
use crate::service::Service;
use crate::store::StoreError;
use crate::watch::observation::{Problem, ProblemKind, ProblemNote};
use crate::watch::tracking::Tracking;
use crate::watch::{State as WatchState, Watch, WatchId};
use crate::workers::poller::{Shared, State};

/// The number of watches in one read from the store.
const LOAD_PAGE: usize = 10_000;
/// The number of changes in one read from the store.
const CHANGES_PAGE: usize = 1000;

/// The way by which a watch comes to the agenda.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrival {
    /// The watch is older than this process: its first poll is spread over its interval.
    Resumed,
    /// The watch was just accepted: its first poll comes after the setting `first`.
    New,
}

impl Shared {
    /// Loads all watches that need polls. Later calls do nothing.
    pub(super) async fn load(&self) -> Result<(), StoreError> {
        if self.state().changes_read.is_some() {
            return Ok(());
        }
        // The cursor comes first: a watch that is accepted while the pages are read is among
        // the changes after it.
        let cursor = self.store.cursor().await?;
        let mut orphans: BTreeMap<String, usize> = BTreeMap::new();
        let mut after = None;
        loop {
            let page = self.store.watching(after, LOAD_PAGE).await?;
            for watch in page.watches {
                if self.services.get(&watch.service).is_none() {
                    *orphans.entry(watch.service.clone()).or_default() += 1;
                }
                self.add(&watch, Arrival::Resumed);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        for (service, watches) in orphans {
            tracing::warn!(
                service,
                watches,
                "watches of a service that is not configured are not polled; they end at their deadline unless the service is configured again"
            );
        }
        self.load_late().await?;
        self.state().changes_read = Some(cursor);
        Ok(())
    }

    /// Loads the watches that ended without a verdict and may still get a late result.
    async fn load_late(&self) -> Result<(), StoreError> {
        let times = self.services.all().map(|it| it.timing.after_watch());
        let longest = times.max().unwrap_or_default();
        if longest.is_zero() {
            return Ok(());
        }
        let longest = SignedDuration::try_from(longest).unwrap_or(SignedDuration::MAX);
        let since = self.clock.now().checked_sub(longest);
        let since = since.unwrap_or(Timestamp::MIN);
        let mut after = None;
        loop {
            let page = self.store.without_verdict(since, after, LOAD_PAGE).await?;
            for watch in page.watches {
                // A restart spreads late polls, too.
                let spread = self.state().rng.random_range(0.0..=1.0);
                self.add_late_after(&watch, None, spread);
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Reads the changes in the store since the last call.
    pub(super) async fn read_changes(&self) -> Result<(), StoreError> {
        loop {
            let cursor = {
                let mut state = self.state();
                state.left.next_read();
                state.changes_read.clone()
            };
            let Some(cursor) = cursor else {
                return Ok(());
            };
            let changes = self.store.changes(&cursor, CHANGES_PAGE).await?;
            self.add_accepted(changes.accepted).await?;
            for id in changes.ended {
                self.end(id, None);
            }
            self.state().changes_read = Some(changes.next);
            if !changes.more {
                return Ok(());
            }
        }
    }

    /// Adds watches that were accepted, by this process or another. Those of this process were
    /// handed over and are not read again, unless their client hung up before the hand-over.
    async fn add_accepted(&self, mut ids: Vec<WatchId>) -> Result<(), StoreError> {
        {
            let state = self.state();
            ids.retain(|id| state.agenda.planned(*id).is_none());
        }
        if ids.is_empty() {
            return Ok(());
        }
        self.committed.wake();
        for watch in self.store.watches_by_id(ids).await? {
            if watch.state == WatchState::Watching {
                self.add(&watch, Arrival::New);
            }
        }
        Ok(())
    }

    /// Adds a watch that was just accepted.
    pub(super) fn add_new(&self, watch: &Watch) {
        self.add(watch, Arrival::New);
    }

    fn add(&self, watch: &Watch, arrival: Arrival) {
        let now = self.clock.now();
        let service = self.services.get(&watch.service);
        let mut state = self.state();
        // The end of the watch waits for the store, or was stored during the read.
        if state.backlog.contains(watch.id) || state.left.contains(watch.id) {
            return;
        }
        let mut entry = state.entry_of(watch, service);
        let next = match (service, arrival) {
            (Some(service), Arrival::New) => service.timing.first_poll(now, watch.deadline),
            (Some(service), Arrival::Resumed) => {
                let (submitted_at, deadline) = (watch.submitted_at, watch.deadline);
                let rng = &mut state.rng;
                service
                    .timing
                    .resumed_poll(submitted_at, now, deadline, rng)
            }
            (None, _) => {
                note_orphan(&mut entry, now);
                Next::expire(until(now, watch.deadline))
            }
        };
        let reason = match arrival {
            _ if next.duty == Duty::Expire => Reason::Deadline,
            Arrival::New => Reason::First,
            Arrival::Resumed => Reason::Restart,
        };
        let due = self.clock.uptime().saturating_add(next.after);
        state.agenda.add_for(reason, entry, next.duty, due);
    }

    /// Puts a watch that has just ended without a verdict on the agenda for late polls.
    pub(super) fn add_late(&self, watch: &Watch, retry_after: Option<Duration>) {
        self.add_late_after(watch, retry_after, 1.0);
    }

    /// Adds a watch for late polls; the first comes after the fraction `spread` of its interval.
    fn add_late_after(&self, watch: &Watch, retry_after: Option<Duration>, spread: f64) {
        let (Some(service), Some(finished_at)) =
            (self.services.get(&watch.service), watch.finished_at)
        else {
            return;
        };
        let now = self.clock.now();
        let mut state = self.state();
        let mut entry = state.entry_of(watch, Some(service));
        entry.deadline = later(finished_at, service.timing.after_watch());
        let (ends_at, rng) = (entry.deadline, &mut state.rng);
        let next = service.timing.late_poll(retry_after, now, ends_at, rng);
        let Some(next) = next else { return };
        let due = self.clock.uptime() + next.after.mul_f64(spread);
        let agenda = &mut state.agenda;
        agenda.add_for(Reason::Interval, entry, next.duty, due);
    }
}

impl State {
    fn entry_of(&mut self, watch: &Watch, service: Option<&Arc<Service>>) -> Entry {
        let params = if let Some(shared) = self.interned.get(&watch.params) {
            Arc::clone(shared)
        } else {
            let shared = Arc::new(watch.params.clone());
            self.interned.insert(Arc::clone(&shared));
            shared
        };
        let mut tracking = Tracking::resume(watch);
        if service.is_some_and(|service| service.asks_labels()) {
            tracking.keep_labels(Arc::new(watch.labels.clone()));
        }
        Entry {
            id: watch.id,
            service: service.map_or_else(
                || Arc::from(watch.service.as_str()),
                |service| Arc::clone(&service.name),
            ),
            job_id: watch.job_id.as_str().into(),
            params,
            submitted_at: watch.submitted_at,
            deadline: watch.deadline,
            tracking,
        }
    }
}

fn note_orphan(entry: &mut Entry, now: Timestamp) {
    let problem = Problem::new(
        ProblemKind::Misconfigured,
        format!("the service `{}` is not configured any more", entry.service),
    );
    entry.tracking.last_problem = Some(Box::new(ProblemNote::new(&problem, now)));
}
