//! Brings watches from the store to the agenda: all on start, changes afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::RngExt;

use crate::clock::{later, until};
use crate::schedule::agenda::Entry;
use crate::schedule::reason::Reason;
use crate::schedule::{Duty, Next};
use crate::service::Service;
use crate::store::{Shards, StoreError};
use crate::watch::observation::{Problem, ProblemKind, ProblemNote};
use crate::watch::{State as WatchState, Watch, WatchId};
use crate::workers::poller::{Shared, State};

/// The number of watches in one read from the store.
const LOAD_PAGE: usize = 10_000;
/// The number of changes in one read from the store.
const CHANGES_PAGE: usize = 1000;

/// The entries of a page, each with the end of its watch.
type Loaded = Vec<(Entry, Option<Timestamp>)>;

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
    ///
    /// They are on the agenda within seconds, so no poll begins before: those near their deadline
    /// then go first among all, and the others are spread.
    pub(super) async fn load(&self) -> Result<(), StoreError> {
        if self.state().changes_read.is_some() {
            return Ok(());
        }
        // The cursor comes first: a watch that is accepted while the pages are read is among
        // the changes after it.
        let cursor = self.store.cursor().await?;
        let periods = self.store.blind_periods().await?;
        let now = self.clock.moment();
        self.state().blind.resume(periods, now);
        self.renew().await?;
        self.state().changes_read = Some(cursor);
        Ok(())
    }

    /// Loads the watches of shards that this replica owns anew.
    pub(super) async fn load_shards(&self, shards: Shards) -> Result<(), StoreError> {
        let services_with_labels = self.services_that_ask_labels();
        let mut orphans: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        let read = |after| {
            let labels = &services_with_labels;
            self.store.watching(shards, after, LOAD_PAGE, labels)
        };
        let mut page = read(None).await?;
        while let Some(next) = page.next.take() {
            // The next page is read while this one is added.
            let (next, ()) = tokio::join!(read(Some(next)), async {
                self.resume(page.entries, &mut orphans);
            });
            page = next?;
            self.renew_while_loading().await?;
        }
        self.resume(page.entries, &mut orphans);
        for (service, watches) in orphans {
            tracing::warn!(
                service = &*service,
                watches,
                "watches of a service that is not configured are not polled; they end at their deadline unless the service is configured again"
            );
        }
        self.load_late(shards, &services_with_labels).await
    }

    fn services_that_ask_labels(&self) -> Arc<BTreeSet<String>> {
        let asking = self.services.all().filter(|service| service.asks_labels());
        Arc::new(asking.map(|service| service.name.to_string()).collect())
    }

    /// Adds a page of stored watches to the agenda, and counts those whose service is not
    /// configured.
    fn resume(&self, page: Loaded, orphans: &mut BTreeMap<Arc<str>, usize>) {
        let now = self.clock.now();
        let uptime = self.clock.uptime();
        let mut state = self.state();
        for (entry, _) in page {
            let service = self.services.get(&entry.service);
            if service.is_none() {
                *orphans.entry(Arc::clone(&entry.service)).or_default() += 1;
            }
            state.add((now, uptime), entry, service, Arrival::Resumed);
        }
    }

    /// Loads the watches that ended without a verdict and may still get a late result.
    async fn load_late(
        &self,
        shards: Shards,
        services_with_labels: &Arc<BTreeSet<String>>,
    ) -> Result<(), StoreError> {
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
            let labels = services_with_labels;
            let page = self
                .store
                .without_verdict(shards, since, after, LOAD_PAGE, labels);
            let page = page.await?;
            for (entry, finished_at) in page.entries {
                // A restart spreads late polls, too.
                let spread = self.state().rng.random_range(0.0..=1.0);
                self.add_late_after(entry, finished_at, None, spread);
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
            self.renew_while_loading().await?;
        }
    }

    /// Reads the changes in the store since the last call.
    pub(super) async fn read_changes(&self) -> Result<(), StoreError> {
        loop {
            let (cursor, shards) = {
                let mut state = self.state();
                state.left.next_read();
                (state.changes_read.clone(), state.owned.shards)
            };
            let Some(cursor) = cursor else {
                return Ok(());
            };
            let changes = self.store.changes(&cursor, shards, CHANGES_PAGE).await?;
            // Shards that came meanwhile may have been loaded already: a watch that was accepted between
            // their load and this read is among these changes, and must not be left out.
            if !self.state().owned.shards.without(&shards).is_empty() {
                continue;
            }
            self.add_accepted(changes.accepted).await?;
            for id in changes.ended {
                self.end(id, None);
            }
            self.state().changes_read = Some(changes.next);
            if !changes.more {
                return self.meet_others().await;
            }
        }
    }

    /// Adds watches that were accepted, by this process or another. Those of this
    /// process were passed on by `submit` and are not read again, unless their client hung up first.
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
                self.add_new(&watch);
            }
        }
        Ok(())
    }

    /// Brings watches back to the agenda that are polled here and are not on it. Their shards may have
    /// been loaded while decisions about them waited for the store, or while another replica had them.
    pub(super) async fn bring_back(&self, ids: Vec<WatchId>) {
        if let Err(error) = self.add_accepted(ids).await {
            self.state().load_again(Shards::ALL);
            let error = anyhow::Error::from(error);
            tracing::warn!(
                error = format!("{error:#}"),
                "cannot read watches again; they are loaded with the next renewal of the leases"
            );
        }
    }

    /// Adds a watch that was just accepted.
    pub(super) fn add_new(&self, watch: &Watch) {
        let service = self.services.get(&watch.service);
        let mut entry = Entry::of(watch);
        keep_labels(&mut entry, watch, service);
        let moment = (self.clock.now(), self.clock.uptime());
        self.state().add(moment, entry, service, Arrival::New);
    }

    /// Puts a watch that has just ended without a verdict on the agenda for late polls.
    pub(super) fn add_late(&self, watch: &Watch, retry_after: Option<Duration>) {
        let mut entry = Entry::of(watch);
        keep_labels(&mut entry, watch, self.services.get(&watch.service));
        self.add_late_after(entry, watch.finished_at, retry_after, 1.0);
    }

    /// Adds a watch for late polls; the first comes after the fraction `spread` of its interval.
    fn add_late_after(
        &self,
        mut entry: Entry,
        finished_at: Option<Timestamp>,
        retry_after: Option<Duration>,
        spread: f64,
    ) {
        let (Some(service), Some(finished_at)) = (self.services.get(&entry.service), finished_at)
        else {
            return;
        };
        let now = self.clock.now();
        let mut state = self.state();
        if !state.owns(&entry) {
            return;
        }
        let ends_at = later(finished_at, service.timing.after_watch());
        entry.set_deadline(ends_at);
        let rng = &mut state.rng;
        let next = service.timing.late_poll(retry_after, now, ends_at, rng);
        let Some(next) = next else { return };
        let due = self.clock.uptime() + next.after.mul_f64(spread);
        state.share(&mut entry, Some(service));
        let agenda = &mut state.agenda;
        agenda.add_for(Reason::Interval, entry, next.duty, due);
    }
}

fn keep_labels(entry: &mut Entry, watch: &Watch, service: Option<&Arc<Service>>) {
    if service.is_some_and(|service| service.asks_labels()) {
        entry.tracking.keep_labels(Arc::new(watch.labels.clone()));
    }
}

impl State {
    fn add(
        &mut self,
        (now, uptime): (Timestamp, Duration),
        mut entry: Entry,
        service: Option<&Arc<Service>>,
        arrival: Arrival,
    ) {
        if !self.owns(&entry) {
            return;
        }
        // The end of the watch waits for the store, or was stored during the read.
        if self.backlog.contains(entry.id) || self.left.contains(entry.id) {
            return;
        }
        self.share(&mut entry, service);
        let submitted_at = entry.submitted_at();
        let deadline = self.blind.deadline_of(&entry, now);
        let next = match (service, arrival) {
            (Some(service), Arrival::New) => service.timing.first_poll(now, deadline),
            (Some(service), Arrival::Resumed) => {
                let (timing, rng) = (&service.timing, &mut self.rng);
                timing.resumed_poll(submitted_at, now, deadline, rng)
            }
            (None, _) => {
                note_orphan(&mut entry, now);
                Next::expire(until(now, deadline))
            }
        };
        let reason = match arrival {
            _ if next.duty == Duty::Expire => Reason::Deadline,
            Arrival::New => Reason::First,
            Arrival::Resumed => Reason::Restart,
        };
        let due = uptime.saturating_add(next.after);
        self.agenda.add_for(reason, entry, next.duty, due);
    }

    /// Replaces the values of an entry by the copies that all watches share.
    fn share(&mut self, entry: &mut Entry, service: Option<&Arc<Service>>) {
        if let Some(service) = service {
            entry.service = Arc::clone(&service.name);
        }
        entry.params = self.params.one(Arc::clone(&entry.params));
        if let Some(labels) = entry.tracking.shared_labels() {
            let labels = self.labels.one(labels);
            entry.tracking.keep_labels(labels);
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
