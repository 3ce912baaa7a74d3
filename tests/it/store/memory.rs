//! A store in memory: the model for the simulation. It passes the same suite as `SQLite`,
//! and its data outlive each opening, like those on a disk.
//!
//! It takes several writers at once, and gives changes again as a store must that waits for
//! late commits.

mod groups;
mod outbox;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use jobwatch::clock::{SharedClock, SteppedClock, later, until};
use jobwatch::store::blindness::BLIND_PERIODS_KEPT;
use jobwatch::store::delivery::{DeliveryState, StoredAttempt};
use jobwatch::store::durations::DURATIONS_KEPT;
use jobwatch::store::key;
use jobwatch::store::time::StoreTime;
use jobwatch::store::{
    Applied, AttemptRecord, BlindnessStore, Changes, Cursor, DurationStore, EntryPage, EventPage,
    Expiry, JobDurations, LoggedEvent, Maintenance, PAGE_MAX, Page, PageCursor, PruneStep, Query,
    Retention, ShardStore, Shards, SharedStore, StoreError, StoredEvent, StoredGroup, Submission,
    Submitted, WatchStore, row,
};
use jobwatch::watch::blindness::BlindPeriod;
use jobwatch::watch::change::Change;
use jobwatch::watch::delivery::{Owed, RETRY_DELAY_MAX, Target};
use jobwatch::watch::entry::Entry;
use jobwatch::watch::event::{Event, EventKind};
use jobwatch::watch::evidence::Evidence;
use jobwatch::watch::reference::Reference;
use jobwatch::watch::{Outcome, State, Watch, WatchId};
use uuid::Uuid;

use crate::store::Database;
use crate::store::samples::at;

/// How many events before a cursor are given again.
const REPEATED: usize = 3;

/// One delivery.
#[derive(Debug, Clone)]
pub(crate) struct DeliveryRow {
    pub(crate) event_id: Uuid,
    pub(crate) sink: String,
    target: Option<Target>,
    pub(crate) state: DeliveryState,
    pub(crate) due_at: Timestamp,
    pub(crate) attempts_total: u32,
    /// The number of attempts of earlier schedules.
    pub(crate) earlier: u32,
    last: Option<AttemptRecord>,
    settled_at: Option<Timestamp>,
    history: Vec<StoredAttempt>,
    lease_until: Timestamp,
}

/// One event in the log; its number is its index plus 1.
#[derive(Debug, Clone)]
pub(crate) struct Logged {
    pub(crate) event: Event,
    /// `None` for the event of a group.
    pub(crate) watch: Option<WatchId>,
}

/// All data. Watches and deliveries are numbered by their index plus 1.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    pub(crate) watches: Vec<Watch>,
    pub(crate) events: Vec<Logged>,
    pub(crate) deliveries: Vec<DeliveryRow>,
    /// By service and beginning.
    blind_periods: BTreeMap<(String, Timestamp), BlindPeriod>,
    numbers: BTreeMap<WatchId, usize>,
    keys: BTreeMap<[u8; 32], Vec<usize>>,
    evidence: BTreeMap<WatchId, Evidence>,
    event_ids: BTreeMap<Uuid, usize>,
    groups: BTreeMap<String, StoredGroup>,
    /// By service and type, in the order of the ends.
    durations: BTreeMap<(String, String), Vec<Duration>>,
}

/// The data that outlive each opening.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    rows: Arc<Mutex<Rows>>,
    /// The time of the last opening.
    time: Arc<Mutex<Option<StoreTime>>>,
}

impl Memory {
    pub(crate) fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap()
    }

    /// Opens it as a process does that has just begun, and is alone.
    pub(crate) fn reopen(&self, clock: SharedClock) -> MemoryStore {
        let time = StoreTime::starting(clock);
        let latest = later(time.now(), RETRY_DELAY_MAX);
        for row in &mut self.rows().deliveries {
            row.lease_until = Timestamp::MIN;
            if row.due_at > latest {
                row.due_at = time.now();
            }
        }
        *self.time.lock().unwrap() = Some(time.clone());
        MemoryStore {
            memory: self.clone(),
            time,
            closed: AtomicBool::new(false),
        }
    }

    /// How long after now, by the time of the last opening, it is `due_at`.
    pub(crate) fn until(&self, due_at: Timestamp) -> Duration {
        let time = self.time.lock().unwrap();
        let now = time.as_ref().map(StoreTime::now);
        now.map_or(Duration::ZERO, |now| until(now, due_at))
    }
}

/// A [`Memory`] under a clock that stands still.
pub(crate) struct MemoryDatabase {
    memory: Memory,
    clock: SteppedClock,
}

impl MemoryDatabase {
    fn new() -> Self {
        Self {
            memory: Memory::default(),
            clock: SteppedClock::at(at(0)),
        }
    }
}

impl Database for MemoryDatabase {
    async fn open(&self) -> Result<SharedStore, StoreError> {
        let clock = Arc::new(self.clock.clone());
        Ok(Arc::new(self.memory.reopen(clock)))
    }

    fn clock(&self) -> &SteppedClock {
        &self.clock
    }

    async fn second_writer(&self) -> Option<SharedStore> {
        let time = self.memory.time.lock().unwrap().clone();
        Some(Arc::new(MemoryStore {
            memory: self.memory.clone(),
            time: time.expect("it is opened before a second writer comes"),
            closed: AtomicBool::new(false),
        }))
    }
}

/// One opening of a [`Memory`].
pub(crate) struct MemoryStore {
    memory: Memory,
    time: StoreTime,
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

/// The index after the row with this number.
fn after(number: i64) -> usize {
    usize::try_from(number).unwrap_or_default()
}

/// The index after the last row of a page.
fn after_page(cursor: Option<&PageCursor>) -> Result<usize, StoreError> {
    let number = cursor.map(|cursor| row::number(cursor.content()));
    Ok(after(number.transpose()?.unwrap_or_default()))
}

/// The number of the last row of a page before.
fn before(cursor: Option<&PageCursor>) -> Result<i64, StoreError> {
    let number = cursor.map(|cursor| row::number(cursor.content()));
    Ok(number.transpose()?.unwrap_or(i64::MAX))
}

fn cursor(index: usize) -> PageCursor {
    PageCursor::new(number(index).to_string())
}

/// Turns the wanted rows, one more than the limit where there are more, into a page.
fn page_of<'a>(wanted: impl Iterator<Item = (usize, &'a Watch)>, limit: usize) -> Page {
    let mut wanted = wanted.peekable();
    let rows: Vec<_> = wanted.by_ref().take(limit).collect();
    let last = rows.last().map(|(index, _)| cursor(*index));
    Page {
        next: last.filter(|_| wanted.peek().is_some()),
        watches: rows.into_iter().map(|(_, watch)| watch.clone()).collect(),
    }
}

/// What polling needs of the watches of a page.
fn entries(page: Page, services_with_labels: &BTreeSet<String>) -> EntryPage {
    let entry = |watch: &Watch| {
        let mut entry = Entry::of(watch);
        if services_with_labels.contains(&watch.service) {
            let labels = Arc::new(watch.labels.clone());
            entry.tracking.keep_labels(labels);
        }
        (entry, watch.finished_at)
    };
    EntryPage {
        entries: page.watches.iter().map(entry).collect(),
        next: page.next,
    }
}

/// True if a watch matches every part of a query.
fn matches(watch: &Watch, query: &Query) -> bool {
    let has_label = |(name, value): &(String, String)| watch.labels.get(name) == Some(value);
    let is = |wanted: &Option<String>, value: &String| {
        wanted.as_ref().is_none_or(|wanted| wanted == value)
    };
    (query.states.is_empty() || query.states.contains(&watch.state))
        && is(&query.service, &watch.service)
        && is(&query.job_id, &watch.job_id)
        && query.labels.iter().all(has_label)
        && (query.group.is_none() || query.group == watch.group)
        && (query.ids.is_empty() || query.ids.contains(&watch.id))
        && query.since.is_none_or(|since| watch.submitted_at >= since)
        && query.until.is_none_or(|until| watch.submitted_at < until)
}

impl Rows {
    pub(crate) fn watch(&self, id: WatchId) -> Option<&Watch> {
        self.numbers.get(&id).map(|index| &self.watches[*index])
    }

    pub(crate) fn event(&self, id: Uuid) -> Option<&Logged> {
        self.event_ids.get(&id).map(|index| &self.events[*index])
    }

    /// Returns the error that `SQLite` gives for its unique indexes.
    fn may_log(&self, event: &Event, owed: &[Owed]) -> Result<(), StoreError> {
        let sinks: BTreeSet<&String> = owed.iter().map(|owed| &owed.sink).collect();
        if self.event_ids.contains_key(&event.id) || sinks.len() < owed.len() {
            return Err(refused("it is there already"));
        }
        Ok(())
    }

    fn log(&mut self, watch: Option<WatchId>, event: Event, owed: Vec<Owed>, now: Timestamp) {
        let due = |owed: Owed| DeliveryRow {
            event_id: event.id,
            sink: owed.sink,
            target: owed.target,
            state: DeliveryState::Pending,
            due_at: now,
            attempts_total: 0,
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

    /// Returns the newest watch of the same job and run among those that `counts`.
    fn same_job(&self, wanted: &Watch, counts: impl Fn(&Watch) -> bool) -> Option<&Watch> {
        let indexes = self.keys.get(&key::of(wanted))?;
        let watches = indexes.iter().rev().map(|index| &self.watches[*index]);
        let run = wanted.named_run.as_ref();
        let is_run = |watch: &Watch| {
            run.is_none() || watch.named_run.as_ref() == run || watch.run.as_ref() == run
        };
        watches
            .filter(|watch| counts(watch))
            .find(|watch| is_run(watch))
    }

    fn submit(&mut self, submission: Submission, now: Timestamp) -> Result<Submitted, StoreError> {
        let Submission {
            change,
            accepts_ended,
            group_size,
        } = submission;
        let is_ended = |watch: &Watch| {
            let outcome = watch.state.outcome();
            outcome.is_some_and(Outcome::is_verdict) && watch.expect == change.watch.expect
        };
        let ended = || self.same_job(&change.watch, is_ended);
        let same = self
            .same_job(&change.watch, |watch| watch.state == State::Watching)
            .or_else(|| accepts_ended.then(ended)?);
        if let Some(same) = same {
            return Ok(Submitted::Existing(same.clone()));
        }
        self.may_log(&change.event, &change.owed)?;
        if let Some(size) = self.other_size(&change.watch, group_size) {
            return Ok(Submitted::GroupHasSize(size));
        }
        if !self.join_group(&change.watch, group_size) {
            return Ok(Submitted::GroupClosed);
        }
        let Change {
            watch, event, owed, ..
        } = change;
        let key = key::of(&watch);
        self.keys.entry(key).or_default().push(self.watches.len());
        self.numbers.insert(watch.id, self.watches.len());
        self.log(Some(watch.id), event, owed, now);
        self.watches.push(watch.clone());
        Ok(Submitted::Accepted(watch))
    }

    fn apply(&mut self, change: Change, now: Timestamp) -> Result<Applied, StoreError> {
        let Some(&index) = self.numbers.get(&change.watch.id) else {
            return Ok(Applied::Refused);
        };
        let before = &self.watches[index];
        if before.state != State::Watching || change.watch.revision != before.revision + 1 {
            return Ok(Applied::Refused);
        }
        self.may_log(&change.event, &change.owed)?;
        let Change {
            watch,
            event,
            owed,
            evidence,
        } = change;
        if let Some(evidence) = evidence {
            self.evidence.insert(watch.id, evidence);
        }
        self.log(Some(watch.id), event, owed, now);
        if watch.state != State::Watching {
            self.count_end(&watch);
        }
        self.watches[index] = watch;
        Ok(Applied::Applied)
    }

    fn usual(&self, key: &(String, String)) -> Option<JobDurations> {
        let took = self.durations.get(key)?;
        let latest = &took[took.len().saturating_sub(DURATIONS_KEPT)..];
        JobDurations::of(&key.0, &key.1, latest.to_vec())
    }

    /// True if one reading of a reference names a watch.
    fn is_named(watch: &Watch, reading: &Reference) -> bool {
        match reading {
            Reference::Id(id) => watch.id == *id,
            Reference::Prefix { low, high, .. } => (*low..=*high).contains(&watch.id.0),
            Reference::Job { service, job_id } => {
                watch.job_id == *job_id
                    && service.as_ref().is_none_or(|name| watch.service == *name)
            }
            Reference::Either(readings) => readings
                .iter()
                .any(|reading| Self::is_named(watch, reading)),
        }
    }

    fn find(&self, reference: &Reference, limit: usize) -> Vec<Watch> {
        for reading in reference.readings() {
            if let Reference::Id(id) = reading
                && let Some(watch) = self.watch(*id)
            {
                return vec![watch.clone()];
            }
        }
        let named = self.watches.iter().rev();
        let mut jobs = BTreeSet::new();
        named
            .filter(|watch| Self::is_named(watch, reference))
            .filter(|watch| jobs.insert(key::of(watch)))
            .take(limit)
            .cloned()
            .collect()
    }

    fn events_after(&self, after: usize, limit: usize) -> EventPage {
        let end = self.events.len().min(after + limit);
        let logged = |(index, logged): (usize, &Logged)| LoggedEvent {
            cursor: Cursor::new((after + index + 1).to_string()),
            id: logged.event.id,
            watch_id: logged.watch,
            type_name: logged.event.kind.type_name().to_owned(),
            at: logged.event.at,
            body: logged.event.body.clone(),
        };
        let events = self.events[after.min(end)..end].iter().enumerate();
        EventPage {
            events: events.map(logged).collect(),
            next: Cursor::new(after.max(end).to_string()),
            more: end < self.events.len(),
        }
    }

    fn append(&mut self, change: Change, now: Timestamp) -> Result<Applied, StoreError> {
        if self.event_ids.contains_key(&change.event.id) {
            return Ok(Applied::Refused);
        }
        self.may_log(&change.event, &change.owed)?;
        self.log(Some(change.watch.id), change.event, change.owed, now);
        Ok(Applied::Applied)
    }

    fn changes(&self, since: usize, limit: usize) -> Changes {
        let end = self.events.len().min(since + limit);
        let mut changes = Changes {
            accepted: Vec::new(),
            ended: Vec::new(),
            next: Cursor::new(end.to_string()),
            more: end < self.events.len(),
        };
        for logged in &self.events[since.saturating_sub(REPEATED)..end] {
            let Some(watch) = logged.watch.and_then(|id| self.watch(id)) else {
                continue;
            };
            match logged.event.kind {
                EventKind::Accepted => changes.accepted.push(watch.id),
                EventKind::Finished(Outcome::Unwatched) => changes.ended.push(watch.id),
                _ => {}
            }
        }
        changes
    }

    fn page(&self, query: &Query) -> Result<Page, StoreError> {
        let limit = query.limit.clamp(1, PAGE_MAX);
        let before = before(query.before.as_ref())?;
        let wanted =
            |(index, watch): &(usize, &Watch)| number(*index) < before && matches(watch, query);
        let newest_first = self.watches.iter().enumerate().rev();
        Ok(page_of(newest_first.filter(wanted), limit))
    }
}

#[async_trait]
impl WatchStore for MemoryStore {
    async fn submit(&self, submissions: Vec<Submission>) -> Result<Vec<Submitted>, StoreError> {
        let now = self.time.now();
        let mut rows = self.rows()?;
        let before = (submissions.len() > 1).then(|| rows.clone());
        let answers: Result<Vec<_>, _> = submissions
            .into_iter()
            .map(|submission| rows.submit(submission, now))
            .collect();
        if let (Err(_), Some(before)) = (&answers, before) {
            *rows = before;
        }
        answers
    }

    async fn apply(&self, change: Change) -> Result<Applied, StoreError> {
        self.rows()?.apply(change, self.time.now())
    }

    async fn append(&self, change: Change) -> Result<Applied, StoreError> {
        self.rows()?.append(change, self.time.now())
    }

    async fn watch(&self, id: WatchId) -> Result<Option<Watch>, StoreError> {
        Ok(self.rows()?.watch(id).cloned())
    }

    async fn watches_by_id(&self, ids: Vec<WatchId>) -> Result<Vec<Watch>, StoreError> {
        let rows = self.rows()?;
        let ids: BTreeSet<WatchId> = ids.into_iter().collect();
        let watches = ids.into_iter().filter_map(|id| rows.watch(id).cloned());
        Ok(watches.collect())
    }

    async fn find(&self, reference: &Reference, limit: usize) -> Result<Vec<Watch>, StoreError> {
        Ok(self.rows()?.find(reference, limit))
    }

    async fn evidence(&self, id: WatchId) -> Result<Option<Evidence>, StoreError> {
        Ok(self.rows()?.evidence.get(&id).cloned())
    }

    async fn watches(&self, query: Query) -> Result<Page, StoreError> {
        self.rows()?.page(&query)
    }

    async fn events_of(&self, id: WatchId, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let rows = self.rows()?;
        let of_watch = rows
            .events
            .iter()
            .rev()
            .filter(|logged| logged.watch == Some(id));
        let mut events: Vec<StoredEvent> = of_watch
            .take(limit)
            .map(|Logged { event, .. }| StoredEvent {
                type_name: event.kind.type_name().to_owned(),
                at: event.at,
                body: event.body.clone(),
            })
            .collect();
        events.reverse();
        Ok(events)
    }

    async fn watching(
        &self,
        _: Shards,
        after: Option<PageCursor>,
        limit: usize,
        services_with_labels: &Arc<BTreeSet<String>>,
    ) -> Result<EntryPage, StoreError> {
        let rows = self.rows()?;
        let left = rows
            .watches
            .iter()
            .enumerate()
            .skip(after_page(after.as_ref())?);
        let watching = left.filter(|(_, watch)| watch.state == State::Watching);
        Ok(entries(page_of(watching, limit), services_with_labels))
    }

    async fn without_verdict(
        &self,
        _: Shards,
        since: Timestamp,
        after: Option<PageCursor>,
        limit: usize,
        services_with_labels: &Arc<BTreeSet<String>>,
    ) -> Result<EntryPage, StoreError> {
        let rows = self.rows()?;
        let has_late_result = |watch: &Watch| {
            let mut late = rows.events.iter();
            late.any(|it| it.watch == Some(watch.id) && it.event.kind == EventKind::LateResult)
        };
        let ended = |watch: &Watch| {
            let outcome = watch.state.outcome();
            matches!(outcome, Some(Outcome::TimedOut | Outcome::Lost))
                && watch.finished_at.is_some_and(|at| at >= since)
        };
        let left = rows
            .watches
            .iter()
            .enumerate()
            .skip(after_page(after.as_ref())?);
        let wanted = left.filter(|(_, watch)| ended(watch) && !has_late_result(watch));
        Ok(entries(page_of(wanted, limit), services_with_labels))
    }

    async fn cursor(&self) -> Result<Cursor, StoreError> {
        Ok(Cursor::new(self.rows()?.events.len().to_string()))
    }

    async fn first_cursor(&self) -> Result<Cursor, StoreError> {
        self.rows().map(|_| Cursor::new("0"))
    }

    async fn events_after(&self, position: &Cursor, limit: usize) -> Result<EventPage, StoreError> {
        let number = row::number(position.content())?;
        let rows = self.rows()?;
        if after(number) > rows.events.len() {
            return Err(StoreError::UnknownCursor(number.to_string()));
        }
        Ok(rows.events_after(after(number), limit))
    }

    async fn changes(
        &self,
        since: &Cursor,
        _: Shards,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        let since = after(row::number(since.content())?);
        Ok(self.rows()?.changes(since, limit))
    }
}

#[async_trait]
impl BlindnessStore for MemoryStore {
    async fn blind_periods(&self) -> Result<Vec<BlindPeriod>, StoreError> {
        Ok(self.rows()?.blind_periods.values().cloned().collect())
    }

    async fn save_blind_periods(
        &self,
        periods: Vec<BlindPeriod>,
        event: Option<(Event, Vec<Owed>)>,
    ) -> Result<(), StoreError> {
        let mut rows = self.rows()?;
        for period in periods {
            let key = (period.service.clone(), period.since);
            rows.blind_periods.insert(key, period);
        }
        let kept: Vec<_> = rows.blind_periods.keys().cloned().collect();
        for (service, since) in kept {
            let newer = rows.blind_periods.keys();
            let newer = newer.filter(|(other, at)| *other == service && *at > since);
            if newer.count() >= BLIND_PERIODS_KEPT {
                rows.blind_periods.remove(&(service, since));
            }
        }
        if let Some((event, owed)) = event
            && !rows.events.iter().any(|stored| stored.event.id == event.id)
        {
            rows.may_log(&event, &owed)?;
            rows.log(None, event, owed, self.time.now());
        }
        Ok(())
    }
}

#[async_trait]
impl DurationStore for MemoryStore {
    async fn durations(&self, service: Option<&str>) -> Result<Vec<JobDurations>, StoreError> {
        let rows = self.rows()?;
        let keys = rows.durations.keys();
        let of_service = keys.filter(|(name, _)| service.is_none_or(|wanted| wanted == name));
        Ok(of_service.filter_map(|key| rows.usual(key)).collect())
    }

    async fn usual_duration(
        &self,
        service: &str,
        job_type: &str,
    ) -> Result<Option<JobDurations>, StoreError> {
        let key = (service.to_owned(), job_type.to_owned());
        Ok(self.rows()?.usual(&key))
    }
}

/// It lives for one history, so nothing becomes old in it.
#[async_trait]
impl Retention for MemoryStore {
    async fn prune(
        &self,
        _expiry: &Expiry,
        _cursor: Option<PageCursor>,
    ) -> Result<PruneStep, StoreError> {
        Ok(PruneStep::default())
    }

    async fn give_back(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}

impl ShardStore for MemoryStore {}

#[async_trait]
impl Maintenance for MemoryStore {
    async fn check(&self) -> Result<(), StoreError> {
        self.rows().map(drop)
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

crate::store::whole_suite!(Some(MemoryDatabase::new()));
