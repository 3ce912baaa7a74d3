//! A store in memory: the model that the simulation runs on, held to the same suite as
//! `SQLite`. What it keeps outlives each opening of it, as a disk does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use jiff::Timestamp;
use jobwatch::clock::later;
use jobwatch::store::delivery::{
    ATTEMPTS_KEPT, DeliveryPage, DeliveryQuery, DeliveryState, Redriven, SinkBacklog,
    StoredAttempt, StoredDelivery,
};
use jobwatch::store::{
    Applied, AttemptRecord, Changes, Delivery, DeliveryCounts, PAGE_MAX, Page, Query, Settlement,
    SharedStore, Store, StoreError, StoredEvent, Submitted, row,
};
use jobwatch::watch::change::Change;
use jobwatch::watch::event::{Event, EventKind};
use jobwatch::watch::{Outcome, State, Watch, WatchId};
use uuid::Uuid;

use crate::store::Database;

/// One event owed to one sink.
#[derive(Debug, Clone)]
pub(crate) struct Owed {
    pub(crate) event_id: Uuid,
    pub(crate) sink: String,
    pub(crate) state: DeliveryState,
    pub(crate) due_at: Timestamp,
    pub(crate) attempts: u32,
    /// Attempts of schedules before the present one.
    pub(crate) earlier: u32,
    last: Option<AttemptRecord>,
    settled_at: Option<Timestamp>,
    history: Vec<StoredAttempt>,
    lease_until: Timestamp,
}

/// One event in the log; its place is its index plus 1.
#[derive(Debug, Clone)]
pub(crate) struct Logged {
    pub(crate) event: Event,
    pub(crate) watch: WatchId,
}

/// Everything there is. Watches and deliveries are numbered by their index plus 1.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    pub(crate) watches: Vec<Watch>,
    pub(crate) events: Vec<Logged>,
    pub(crate) deliveries: Vec<Owed>,
    numbers: BTreeMap<WatchId, usize>,
    keys: BTreeMap<[u8; 32], usize>,
    event_ids: BTreeMap<Uuid, usize>,
}

/// What outlives each opening.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Rows>>);

impl Memory {
    pub(crate) fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap()
    }

    /// Opens it as a process does that has just begun: what was claimed belonged to one
    /// that is gone.
    pub(crate) fn reopen(&self) -> MemoryStore {
        for owed in &mut self.rows().deliveries {
            owed.lease_until = Timestamp::MIN;
        }
        MemoryStore {
            memory: self.clone(),
            closed: AtomicBool::new(false),
        }
    }
}

impl Database for Memory {
    fn open(&self) -> Result<SharedStore, StoreError> {
        Ok(Arc::new(self.reopen()))
    }
}

/// One opening of a [`Memory`].
pub(crate) struct MemoryStore {
    memory: Memory,
    closed: AtomicBool,
}

impl MemoryStore {
    fn rows(&self) -> Result<MutexGuard<'_, Rows>, StoreError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(StoreError::Closed);
        }
        Ok(self.memory.rows())
    }
}

fn refused(source: &str) -> StoreError {
    StoreError::Failed {
        doing: "write",
        source: source.into(),
    }
}

fn number(index: usize) -> i64 {
    i64::try_from(index).unwrap() + 1
}

/// The index after the row of this number.
fn after(number: i64) -> usize {
    usize::try_from(number).unwrap_or_default()
}

impl Rows {
    pub(crate) fn watch(&self, id: WatchId) -> Option<&Watch> {
        self.numbers.get(&id).map(|index| &self.watches[*index])
    }

    pub(crate) fn event(&self, id: Uuid) -> Option<&Logged> {
        self.event_ids.get(&id).map(|index| &self.events[*index])
    }

    /// What `SQLite` refuses by its unique indexes.
    fn may_log(&self, event: &Event, owed: &[String]) -> Result<(), StoreError> {
        let sinks: BTreeSet<&String> = owed.iter().collect();
        if self.event_ids.contains_key(&event.id) || sinks.len() < owed.len() {
            return Err(refused("it is there already"));
        }
        Ok(())
    }

    fn log(&mut self, watch: WatchId, event: Event, owed: Vec<String>) {
        let due = |sink| Owed {
            event_id: event.id,
            sink,
            state: DeliveryState::Pending,
            due_at: event.at,
            attempts: 0,
            earlier: 0,
            last: None,
            settled_at: None,
            history: Vec::new(),
            lease_until: Timestamp::MIN,
        };
        self.deliveries.extend(owed.into_iter().map(due));
        self.event_ids.insert(event.id, self.events.len());
        self.events.push(Logged { event, watch });
    }

    fn submit(&mut self, submission: Change) -> Result<Submitted, StoreError> {
        let Change { watch, event, owed } = submission;
        let key = row::key(&watch);
        if let Some(index) = self.keys.get(&key) {
            return Ok(Submitted::Existing(self.watches[*index].clone()));
        }
        self.may_log(&event, &owed)?;
        self.keys.insert(key, self.watches.len());
        self.numbers.insert(watch.id, self.watches.len());
        self.log(watch.id, event, owed);
        self.watches.push(watch.clone());
        Ok(Submitted::Accepted(watch))
    }

    fn apply(&mut self, change: Change) -> Result<Applied, StoreError> {
        let Change { watch, event, owed } = change;
        let Some(&index) = self.numbers.get(&watch.id) else {
            return Ok(Applied::Refused);
        };
        let before = &self.watches[index];
        if before.state != State::Watching || watch.revision != before.revision + 1 {
            return Ok(Applied::Refused);
        }
        self.may_log(&event, &owed)?;
        self.log(watch.id, event, owed);
        self.watches[index] = watch;
        Ok(Applied::Applied)
    }

    fn settle(&mut self, record: &AttemptRecord) {
        let owed = &mut self.deliveries[after(record.delivery) - 1];
        let is_known = match record.settlement {
            Settlement::Delivered | Settlement::Dead => false,
            Settlement::RetryAt(_) => owed.attempts - owed.earlier != record.number - 1,
            Settlement::ReceiverGone => owed.history.iter().any(|kept| kept.at == record.at),
        };
        if owed.state != DeliveryState::Pending || is_known {
            return;
        }
        owed.attempts += 1;
        owed.lease_until = Timestamp::MIN;
        owed.last = Some(record.clone());
        owed.history.push(StoredAttempt {
            number: owed.attempts,
            at: record.at,
            took: record.took,
            http_status: record.http_status,
            error: record.error.clone(),
            answer: record.answer.clone(),
        });
        let kept = usize::try_from(ATTEMPTS_KEPT).unwrap();
        let surplus = owed.history.len().saturating_sub(kept);
        owed.history.drain(..surplus);
        let ended = later(record.at, record.took);
        owed.settled_at = Some(ended);
        match record.settlement {
            Settlement::Delivered => owed.state = DeliveryState::Delivered,
            Settlement::Dead => owed.state = DeliveryState::Dead,
            Settlement::RetryAt(due_at) => {
                owed.due_at = due_at;
                owed.settled_at = None;
            }
            Settlement::ReceiverGone => {
                owed.earlier += 1;
                owed.settled_at = None;
            }
        }
    }

    fn claim(
        &mut self,
        sink: &str,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Vec<Delivery> {
        let mut due: Vec<usize> = (0..self.deliveries.len())
            .filter(|index| {
                let owed = &self.deliveries[*index];
                owed.sink == sink
                    && owed.state == DeliveryState::Pending
                    && owed.due_at <= now
                    && owed.lease_until <= now
            })
            .collect();
        due.sort_by_key(|index| self.deliveries[*index].due_at);
        due.truncate(limit);
        let mut claimed = Vec::new();
        for index in due {
            self.deliveries[index].lease_until = lease_until;
            let owed = &self.deliveries[index];
            let event_id = owed.event_id;
            let event = &self.events[self.event_ids[&event_id]].event;
            claimed.push(Delivery {
                id: number(index),
                event_id: event.id,
                type_name: event.kind.type_name().to_owned(),
                body: event.body.clone(),
                attempts: owed.attempts - owed.earlier,
                callback_url: self
                    .watch(self.events[self.event_ids[&event_id]].watch)
                    .filter(|_| sink == "callback")
                    .and_then(|watch| watch.callback_url.as_ref())
                    .map(|url| url.0.clone()),
            });
        }
        claimed
    }

    fn append(&mut self, change: Change) -> Result<Applied, StoreError> {
        let Change { watch, event, owed } = change;
        if self.event_ids.contains_key(&event.id) {
            return Ok(Applied::Refused);
        }
        self.may_log(&event, &owed)?;
        self.log(watch.id, event, owed);
        Ok(Applied::Applied)
    }

    fn stored(&self, index: usize) -> StoredDelivery {
        let owed = &self.deliveries[index];
        let logged = self.event(owed.event_id).unwrap();
        let last = owed.last.as_ref();
        StoredDelivery {
            id: number(index),
            event_id: owed.event_id,
            watch_id: Some(logged.watch),
            type_name: logged.event.kind.type_name().to_owned(),
            sink: owed.sink.clone(),
            state: owed.state,
            attempts: owed.attempts,
            due_at: (owed.state == DeliveryState::Pending).then_some(owed.due_at),
            last_status: last.and_then(|last| last.http_status),
            last_error: last.and_then(|last| last.error.clone()),
            settled_at: owed.settled_at,
        }
    }

    fn owe_again(&mut self, index: usize, now: Timestamp) {
        let owed = &mut self.deliveries[index];
        owed.state = DeliveryState::Pending;
        owed.due_at = now;
        owed.earlier = owed.attempts;
        owed.settled_at = None;
    }

    fn delivery_page(&self, query: &DeliveryQuery) -> DeliveryPage {
        let wanted = |index: &usize| {
            let owed = &self.deliveries[*index];
            query.before.is_none_or(|before| number(*index) < before)
                && query.state.is_none_or(|state| owed.state == state)
                && query.sink.as_ref().is_none_or(|sink| owed.sink == *sink)
        };
        let mut found = (0..self.deliveries.len()).rev().filter(wanted);
        let limit = query.limit.clamp(1, PAGE_MAX);
        let page: Vec<usize> = found.by_ref().take(limit).collect();
        let last = page.last().map(|index| number(*index));
        DeliveryPage {
            next: last.filter(|_| found.next().is_some()),
            deliveries: page.into_iter().map(|index| self.stored(index)).collect(),
        }
    }

    fn changes(&self, position: i64, limit: usize) -> Changes {
        let mut changes = Changes {
            position,
            ..Changes::default()
        };
        let since = self.events.iter().enumerate().skip(after(position));
        for (index, logged) in since.take(limit) {
            changes.position = number(index);
            let watch = self.watch(logged.watch).unwrap();
            match logged.event.kind {
                EventKind::Accepted if watch.state == State::Watching => {
                    changes.accepted.push(watch.clone());
                }
                EventKind::Finished(Outcome::Unwatched) => changes.ended.push(watch.id),
                _ => {}
            }
        }
        changes.more = after(changes.position) - after(position) == limit;
        changes
    }

    fn page(&self, query: &Query) -> Page {
        let limit = query.limit.clamp(1, PAGE_MAX);
        let wanted = |index: &usize| {
            let watch = &self.watches[*index];
            query.before.is_none_or(|before| number(*index) < before)
                && query.state.is_none_or(|state| watch.state == state)
                && query
                    .service
                    .as_ref()
                    .is_none_or(|service| watch.service == *service)
                && query
                    .label
                    .as_ref()
                    .is_none_or(|(name, value)| watch.labels.get(name) == Some(value))
        };
        let mut found = (0..self.watches.len()).rev().filter(wanted);
        let page: Vec<usize> = found.by_ref().take(limit).collect();
        let last = page.last().map(|index| number(*index));
        Page {
            next: last.filter(|_| found.next().is_some()),
            watches: page
                .into_iter()
                .map(|index| self.watches[index].clone())
                .collect(),
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn submit(&self, submissions: Vec<Change>) -> Result<Vec<Submitted>, StoreError> {
        let mut rows = self.rows()?;
        let before = (submissions.len() > 1).then(|| rows.clone());
        let answers: Result<Vec<_>, _> = submissions
            .into_iter()
            .map(|submission| rows.submit(submission))
            .collect();
        if let (Err(_), Some(before)) = (&answers, before) {
            *rows = before;
        }
        answers
    }

    async fn apply(&self, change: Change) -> Result<Applied, StoreError> {
        self.rows()?.apply(change)
    }

    async fn watch(&self, id: WatchId) -> Result<Option<Watch>, StoreError> {
        Ok(self.rows()?.watch(id).cloned())
    }

    async fn watches(&self, query: Query) -> Result<Page, StoreError> {
        Ok(self.rows()?.page(&query))
    }

    async fn events_of(&self, id: WatchId, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let rows = self.rows()?;
        let of_watch = rows.events.iter().enumerate();
        let of_watch = of_watch.filter(|(_, logged)| logged.watch == id).rev();
        let mut events: Vec<StoredEvent> = of_watch
            .take(limit)
            .map(|(index, Logged { event, .. })| StoredEvent {
                seq: number(index),
                type_name: event.kind.type_name().to_owned(),
                at: event.at,
                body: event.body.clone(),
            })
            .collect();
        events.reverse();
        Ok(events)
    }

    async fn position(&self) -> Result<i64, StoreError> {
        Ok(i64::try_from(self.rows()?.events.len()).unwrap())
    }

    async fn watching(
        &self,
        number_before: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Watch)>, StoreError> {
        let rows = self.rows()?;
        let later = rows.watches.iter().enumerate().skip(after(number_before));
        let watching = later.filter(|(_, watch)| watch.state == State::Watching);
        Ok(watching
            .take(limit)
            .map(|(index, watch)| (number(index), watch.clone()))
            .collect())
    }

    async fn changes(&self, position: i64, limit: usize) -> Result<Changes, StoreError> {
        Ok(self.rows()?.changes(position, limit))
    }

    async fn claim_deliveries(
        &self,
        sink: &str,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        Ok(self.rows()?.claim(sink, now, lease_until, limit))
    }

    async fn settle(&self, records: Vec<AttemptRecord>) -> Result<(), StoreError> {
        let mut rows = self.rows()?;
        for record in &records {
            rows.settle(record);
        }
        Ok(())
    }

    async fn next_delivery_due(&self, sink: &str) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.rows()?;
        let owed = rows.deliveries.iter();
        let pending = owed.filter(|owed| owed.sink == sink && owed.state == DeliveryState::Pending);
        Ok(pending.map(|owed| owed.due_at.max(owed.lease_until)).min())
    }

    async fn append(&self, change: Change) -> Result<Applied, StoreError> {
        self.rows()?.append(change)
    }

    async fn without_verdict(
        &self,
        since: Timestamp,
        number_before: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Watch)>, StoreError> {
        let rows = self.rows()?;
        let is_told = |watch: &Watch| {
            let mut late = rows.events.iter();
            late.any(|it| it.watch == watch.id && it.event.kind == EventKind::LateResult)
        };
        let ended = |watch: &Watch| {
            let outcome = watch.state.outcome();
            matches!(outcome, Some(Outcome::TimedOut | Outcome::Lost))
                && watch.finished_at.is_some_and(|at| at >= since)
        };
        let later = rows.watches.iter().enumerate().skip(after(number_before));
        Ok(later
            .filter(|(_, watch)| ended(watch) && !is_told(watch))
            .take(limit)
            .map(|(index, watch)| (number(index), watch.clone()))
            .collect())
    }

    async fn backlog(&self) -> Result<Vec<SinkBacklog>, StoreError> {
        let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for owed in &self.rows()?.deliveries {
            match owed.state {
                DeliveryState::Pending => counts.entry(owed.sink.clone()).or_default().0 += 1,
                DeliveryState::Dead => counts.entry(owed.sink.clone()).or_default().1 += 1,
                DeliveryState::Delivered => {}
            }
        }
        let backlog = counts.into_iter();
        Ok(backlog
            .map(|(sink, (pending, dead))| SinkBacklog {
                sink,
                pending,
                dead,
            })
            .collect())
    }

    async fn deliveries(&self, query: DeliveryQuery) -> Result<DeliveryPage, StoreError> {
        Ok(self.rows()?.delivery_page(&query))
    }

    async fn delivery(
        &self,
        id: i64,
    ) -> Result<Option<(StoredDelivery, Vec<StoredAttempt>)>, StoreError> {
        let rows = self.rows()?;
        let index = after(id).checked_sub(1);
        let index = index.filter(|index| *index < rows.deliveries.len());
        Ok(index.map(|index| (rows.stored(index), rows.deliveries[index].history.clone())))
    }

    async fn redrive(&self, id: i64, force: bool, now: Timestamp) -> Result<Redriven, StoreError> {
        let mut rows = self.rows()?;
        let index = after(id).checked_sub(1);
        let Some(index) = index.filter(|index| *index < rows.deliveries.len()) else {
            return Ok(Redriven::Missing);
        };
        if rows.deliveries[index].state != DeliveryState::Dead && !force {
            return Ok(Redriven::NotDead(rows.stored(index)));
        }
        rows.owe_again(index, now);
        Ok(Redriven::Owed(rows.stored(index)))
    }

    async fn redrive_dead(
        &self,
        sink: &str,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut rows = self.rows()?;
        let is_wanted = |owed: &Owed| {
            owed.state == DeliveryState::Dead
                && owed.sink == sink
                && since.is_none_or(|since| owed.settled_at.is_some_and(|at| at >= since))
        };
        let wanted: Vec<usize> = (0..rows.deliveries.len())
            .filter(|index| is_wanted(&rows.deliveries[*index]))
            .collect();
        for index in &wanted {
            rows.owe_again(*index, now);
        }
        Ok(u64::try_from(wanted.len()).unwrap())
    }

    async fn watch_counts(&self) -> Result<Vec<(State, u64)>, StoreError> {
        let rows = self.rows()?;
        let mut counts: Vec<(State, u64)> = Vec::new();
        for watch in &rows.watches {
            match counts.iter_mut().find(|(state, _)| *state == watch.state) {
                Some((_, count)) => *count += 1,
                None => counts.push((watch.state, 1)),
            }
        }
        Ok(counts)
    }

    async fn delivery_counts(&self) -> Result<DeliveryCounts, StoreError> {
        let mut counts = DeliveryCounts::default();
        for owed in &self.rows()?.deliveries {
            match owed.state {
                DeliveryState::Pending => counts.pending += 1,
                DeliveryState::Delivered => counts.delivered += 1,
                DeliveryState::Dead => counts.dead += 1,
            }
        }
        Ok(counts)
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.rows().map(drop)
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

crate::store::whole_suite!(Memory::default());
