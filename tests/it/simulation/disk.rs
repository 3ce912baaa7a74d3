//! The store with faults: it fails before a commit or after it, or is slow.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use jobwatch::clock::SharedClock;
use jobwatch::store::delivery::{
    DeliveryPage, DeliveryQuery, Redriven, SinkBacklog, StoredAttempt, StoredDelivery,
};
use jobwatch::store::key;
use jobwatch::store::shards::Holding;
use jobwatch::store::{
    Applied, AttemptRecord, BlindnessStore, Changes, Claimed, Cursor, Decide, DurationStore,
    EntryPage, EventPage, Expiry, GroupStore, JobDurations, Maintenance, Outbox, Page, PageCursor,
    PruneStep, Query, Retention, ShardStore, Shards, SharedStore, StoreError, StoredEvent,
    StoredGroup, Submission, Submitted, Transitioned, WatchStore,
};
use jobwatch::watch::blindness::BlindPeriod;
use jobwatch::watch::change::Change;
use jobwatch::watch::delivery::Owed;
use jobwatch::watch::event::Event;
use jobwatch::watch::evidence::Evidence;
use jobwatch::watch::reference::Reference;
use jobwatch::watch::{Watch, WatchId};

use crate::simulation::ownership::{Ownership, shard_of};
use crate::simulation::plan::StoreFault;
use crate::simulation::world::World;
use crate::store::memory::MemoryStore;

/// The longest duration of a slow call, in milliseconds.
const SLOW_MS: u64 = 8000;

/// See the module.
pub(super) struct Disk {
    store: MemoryStore,
    world: World,
    /// Where other replicas own shards at times.
    ownership: Option<Ownership>,
}

impl Disk {
    pub(super) fn open(world: &World, clock: SharedClock) -> SharedStore {
        Arc::new(Self {
            store: world.memory.reopen(clock),
            world: world.clone(),
            ownership: world.plan.is_shared.then(Ownership::default),
        })
    }

    /// True if another replica owns the watch, as far as the store knows.
    async fn is_foreign(&self, id: WatchId) -> bool {
        let Some(ownership) = &self.ownership else {
            return false;
        };
        let watch = self.store.watch(id).await.ok().flatten();
        watch.is_some_and(|watch| !ownership.permits(&watch))
    }

    /// Returns those of these watches that belong to these shards.
    async fn within(&self, ids: Vec<WatchId>, shards: Shards) -> Vec<WatchId> {
        let mut within = Vec::new();
        for id in ids {
            let watch = self.store.watch(id).await.ok().flatten();
            if watch.is_none_or(|watch| shards.contains(key::of(&watch)[0])) {
                within.push(id);
            }
        }
        within
    }

    async fn call<T: Send>(
        &self,
        doing: &'static str,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.world.step().await;
        let fault = self.world.draw(&self.world.plan.store);
        if fault.is_some() {
            self.world.note(|| format!("disk: {doing} {fault:?}"));
        }
        let failed = || StoreError::Failed {
            doing,
            source: "a fault".into(),
        };
        if fault == Some(StoreFault::Before) {
            return Err(failed());
        }
        if fault == Some(StoreFault::Slow) {
            self.world.lasts(self.world.millis(SLOW_MS)).await;
        }
        let result = work.await;
        if fault == Some(StoreFault::Slow) {
            self.world.lasts(self.world.millis(SLOW_MS)).await;
        }
        self.world.step().await;
        match fault {
            Some(StoreFault::After) => Err(failed()),
            _ => result,
        }
    }
}

#[async_trait]
impl WatchStore for Disk {
    async fn submit(&self, submissions: Vec<Submission>) -> Result<Vec<Submitted>, StoreError> {
        self.call("submit", self.store.submit(submissions)).await
    }

    async fn apply(&self, change: Change) -> Result<Applied, StoreError> {
        let id = change.watch.id;
        let kind = change.event.kind;
        let applied = self.call("apply", self.store.apply(change)).await;
        self.world
            .note(|| format!("disk: {id} {kind:?} {applied:?}"));
        if !matches!(applied, Ok(Applied::Applied)) {
            self.world.state().failed_applies += 1;
        }
        applied
    }

    async fn transitions(
        &self,
        wanted: Vec<(WatchId, Decide)>,
    ) -> Vec<Result<Transitioned, StoreError>> {
        if self.world.draw(&self.world.plan.store) == Some(StoreFault::Panics) {
            self.world.note(|| "disk: transitions panic".to_owned());
            panic!("a defect of the store");
        }
        let mut answers = Vec::new();
        for (id, decide) in wanted {
            let is_foreign = self.is_foreign(id).await;
            answers.push(if is_foreign {
                self.call("fence", async { Ok(Transitioned::Foreign) })
                    .await
            } else {
                self.transition(id, decide).await
            });
        }
        answers
    }

    async fn append(&self, change: Change) -> Result<Applied, StoreError> {
        self.call("append", self.store.append(change)).await
    }

    async fn watch(&self, id: WatchId) -> Result<Option<Watch>, StoreError> {
        self.call("watch", self.store.watch(id)).await
    }

    async fn watches_by_id(&self, ids: Vec<WatchId>) -> Result<Vec<Watch>, StoreError> {
        self.call("watches_by_id", self.store.watches_by_id(ids))
            .await
    }

    async fn find(&self, reference: &Reference, limit: usize) -> Result<Vec<Watch>, StoreError> {
        self.call("find", self.store.find(reference, limit)).await
    }

    async fn evidence(&self, id: WatchId) -> Result<Option<Evidence>, StoreError> {
        self.call("evidence", self.store.evidence(id)).await
    }

    async fn watches(&self, query: Query) -> Result<Page, StoreError> {
        self.call("watches", self.store.watches(query)).await
    }

    async fn events_of(&self, id: WatchId, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.call("events_of", self.store.events_of(id, limit))
            .await
    }

    async fn watching(
        &self,
        shards: Shards,
        after: Option<PageCursor>,
        limit: usize,
        services_with_labels: &Arc<BTreeSet<String>>,
    ) -> Result<EntryPage, StoreError> {
        let found = self
            .store
            .watching(shards, after, limit, services_with_labels);
        let mut page = self.call("watching", found).await?;
        page.entries
            .retain(|(entry, _)| shards.contains(shard_of(entry)));
        Ok(page)
    }

    async fn without_verdict(
        &self,
        shards: Shards,
        since: Timestamp,
        after: Option<PageCursor>,
        limit: usize,
        services_with_labels: &Arc<BTreeSet<String>>,
    ) -> Result<EntryPage, StoreError> {
        let found = self
            .store
            .without_verdict(shards, since, after, limit, services_with_labels);
        let mut page = self.call("without_verdict", found).await?;
        page.entries
            .retain(|(entry, _)| shards.contains(shard_of(entry)));
        Ok(page)
    }

    async fn cursor(&self) -> Result<Cursor, StoreError> {
        self.call("cursor", self.store.cursor()).await
    }

    async fn first_cursor(&self) -> Result<Cursor, StoreError> {
        self.call("first_cursor", self.store.first_cursor()).await
    }

    async fn events_after(&self, after: &Cursor, limit: usize) -> Result<EventPage, StoreError> {
        self.call("events_after", self.store.events_after(after, limit))
            .await
    }

    async fn changes(
        &self,
        since: &Cursor,
        shards: Shards,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        let read = self.store.changes(since, shards, limit);
        let mut changes = self.call("changes", read).await?;
        changes.accepted = self.within(changes.accepted, shards).await;
        changes.ended = self.within(changes.ended, shards).await;
        Ok(changes)
    }
}

#[async_trait]
impl Outbox for Disk {
    async fn claim_deliveries(
        &self,
        sink: &str,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Claimed>, StoreError> {
        let claim = self.store.claim_deliveries(sink, lease, limit);
        self.call("claim", claim).await
    }

    async fn settle(&self, records: Vec<AttemptRecord>) -> Result<(), StoreError> {
        self.call("settle", self.store.settle(records)).await
    }

    async fn next_delivery_due(&self, sink: &str) -> Result<Option<Duration>, StoreError> {
        self.call("next_due", self.store.next_delivery_due(sink))
            .await
    }

    async fn backlog(&self) -> Result<Vec<SinkBacklog>, StoreError> {
        self.call("backlog", self.store.backlog()).await
    }

    async fn deliveries(&self, query: DeliveryQuery) -> Result<DeliveryPage, StoreError> {
        self.call("deliveries", self.store.deliveries(query)).await
    }

    async fn delivery(
        &self,
        id: i64,
    ) -> Result<Option<(StoredDelivery, Vec<StoredAttempt>)>, StoreError> {
        self.call("delivery", self.store.delivery(id)).await
    }

    async fn redrive(&self, id: i64, force: bool) -> Result<Redriven, StoreError> {
        self.call("redrive", self.store.redrive(id, force)).await
    }

    async fn redrive_dead(&self, sink: &str, since: Option<Timestamp>) -> Result<u64, StoreError> {
        self.call("redrive_dead", self.store.redrive_dead(sink, since))
            .await
    }
}

#[async_trait]
impl GroupStore for Disk {
    async fn group(&self, name: &str) -> Result<Option<StoredGroup>, StoreError> {
        self.call("group", self.store.group(name)).await
    }

    async fn close_group(
        &self,
        name: &str,
        at: Timestamp,
    ) -> Result<Option<StoredGroup>, StoreError> {
        self.call("close_group", self.store.close_group(name, at))
            .await
    }

    async fn due_groups(&self, limit: usize) -> Result<Vec<StoredGroup>, StoreError> {
        self.call("due_groups", self.store.due_groups(limit)).await
    }

    async fn finish_group(
        &self,
        name: &str,
        at: Timestamp,
        event: Event,
        owed: Vec<Owed>,
    ) -> Result<Applied, StoreError> {
        let finish = self.store.finish_group(name, at, event, owed);
        self.call("finish_group", finish).await
    }
}

#[async_trait]
impl BlindnessStore for Disk {
    async fn blind_periods(&self) -> Result<Vec<BlindPeriod>, StoreError> {
        self.call("blind_periods", self.store.blind_periods()).await
    }

    async fn save_blind_periods(
        &self,
        periods: Vec<BlindPeriod>,
        event: Option<(Event, Vec<Owed>)>,
    ) -> Result<(), StoreError> {
        let save = self.store.save_blind_periods(periods, event);
        self.call("save_blind_periods", save).await
    }
}

#[async_trait]
impl DurationStore for Disk {
    async fn durations(&self, service: Option<&str>) -> Result<Vec<JobDurations>, StoreError> {
        self.call("durations", self.store.durations(service)).await
    }

    async fn usual_duration(
        &self,
        service: &str,
        job_type: &str,
    ) -> Result<Option<JobDurations>, StoreError> {
        let usual = self.store.usual_duration(service, job_type);
        self.call("usual_duration", usual).await
    }
}

#[async_trait]
impl Retention for Disk {
    async fn prune(
        &self,
        expiry: &Expiry,
        cursor: Option<PageCursor>,
    ) -> Result<PruneStep, StoreError> {
        let prune = self.store.prune(expiry, cursor);
        self.call("prune", prune).await
    }

    async fn give_back(&self) -> Result<u64, StoreError> {
        self.call("give_back", self.store.give_back()).await
    }
}

#[async_trait]
impl ShardStore for Disk {
    async fn hold(&self) -> Result<Holding, StoreError> {
        let Some(ownership) = &self.ownership else {
            return self.store.hold().await;
        };
        let is_calm = self.world.elapsed() >= self.world.plan.calm_at;
        let renewing = async {
            let mut state = self.world.state();
            let rng = Some(&mut state.rng).filter(|_| !is_calm);
            Ok(ownership.renew(rng))
        };
        let renewed = self.call("hold", renewing).await?;
        let holding = ownership.learn(renewed);
        self.world.note(|| format!("disk: {holding:?}"));
        Ok(holding)
    }

    async fn hand_back(&self, shards: Shards) -> Result<(), StoreError> {
        let Some(ownership) = &self.ownership else {
            return Ok(());
        };
        ownership.forget(shards);
        let giving = async {
            ownership.hand_back(shards);
            Ok(())
        };
        self.call("hand_back", giving).await
    }
}

#[async_trait]
impl Maintenance for Disk {
    async fn check(&self) -> Result<(), StoreError> {
        self.call("check", self.store.check()).await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
