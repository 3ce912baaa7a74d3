//! Decisions that could not be stored yet. They are kept in memory, in order, and saved when
//! the store works again, so that a verdict is not lost if the service forgets the job
//! meanwhile.
//!
//! Their events do not exist before they are saved. Their number and size are bounded; a
//! decision without room is forgotten as if the poll had not been made, and the job is polled
//! again.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use crate::watch::WatchId;
use crate::watch::observation::Observation;
use crate::workers::poller::Shared;
use crate::workers::poller::commit::Committed;
use crate::workers::poller::decision::Decision;
use crate::workers::poller::in_flight::InFlight;

/// The most decisions that wait.
const DECISIONS_MAX: usize = 10_000;
/// The most bytes of their jobs together, as JSON.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// The most decisions that are committed at the same time.
const BATCH_MAX: usize = 256;
/// The pause after a failure of the store, and the longest pause after several.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// Decisions that wait for the store.
#[derive(Default)]
pub(super) struct Backlog {
    waiting: VecDeque<Unsaved>,
    by_watch: HashMap<WatchId, usize>,
    bytes: usize,
    failures: u32,
    tried_at: Duration,
    retry_at: Duration,
}

struct Unsaved {
    decision: Arc<Decision>,
    bytes: usize,
}

impl Backlog {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// True if a decision about this watch waits: the next one must wait for it.
    pub(super) fn contains(&self, id: WatchId) -> bool {
        self.by_watch.contains_key(&id)
    }

    /// Keeps a decision. Returns false if there is no room.
    pub(super) fn keep(&mut self, decision: &Arc<Decision>, uptime: Duration) -> bool {
        let bytes = size_of(decision);
        if self.len() >= DECISIONS_MAX || self.bytes.saturating_add(bytes) > BYTES_MAX {
            return false;
        }
        if self.waiting.is_empty() {
            self.failures = 1;
            self.tried_at = uptime;
            self.retry_at = uptime + PAUSE;
        }
        self.bytes += bytes;
        *self.by_watch.entry(decision.watch).or_default() += 1;
        let decision = Arc::clone(decision);
        self.waiting.push_back(Unsaved { decision, bytes });
        true
    }

    /// Returns the uptime of the next flush; `None` while nothing waits.
    pub(super) fn due(&self) -> Option<Duration> {
        (!self.waiting.is_empty()).then_some(self.retry_at)
    }

    /// Notes that the store has just committed something: the next flush comes soon.
    pub(super) fn store_works(&mut self, uptime: Duration) {
        let soon = uptime.max(self.tried_at + PAUSE);
        self.retry_at = self.retry_at.min(soon);
    }

    /// Returns the oldest decisions, at most one about each watch. They stay here.
    fn batch(&self) -> Vec<Arc<Decision>> {
        let mut seen = HashSet::new();
        let is_next = |it: &&Unsaved| seen.len() < BATCH_MAX && seen.insert(it.decision.watch);
        let batch = self.waiting.iter().take_while(is_next);
        batch.map(|it| Arc::clone(&it.decision)).collect()
    }

    /// Removes the decisions of the last batch about these watches.
    fn remove(&mut self, batch: usize, saved: &HashSet<WatchId>) {
        let later = self.waiting.split_off(batch);
        for unsaved in std::mem::replace(&mut self.waiting, later)
            .into_iter()
            .rev()
        {
            let watch = unsaved.decision.watch;
            if !saved.contains(&watch) {
                self.waiting.push_front(unsaved);
                continue;
            }
            self.bytes -= unsaved.bytes;
            if let Entry::Occupied(mut count) = self.by_watch.entry(watch) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }

    /// Notes the result of committing a batch. Returns how many decisions wait now.
    fn note(&mut self, batch: usize, saved: &HashSet<WatchId>, uptime: Duration) -> usize {
        self.remove(batch, saved);
        if saved.is_empty() {
            self.failed(uptime);
        }
        self.len()
    }

    fn failed(&mut self, uptime: Duration) {
        let pause = PAUSE.saturating_mul(1 << self.failures.min(8));
        self.failures = self.failures.saturating_add(1);
        self.tried_at = uptime;
        self.retry_at = uptime + pause.min(PAUSE_MAX);
    }
}

/// Returns the size of the observed job and of the evidence; the rest of a decision is small.
fn size_of(decision: &Decision) -> usize {
    let job = match &decision.observation {
        Some(Observation::Sighting(sighting)) => {
            serde_json::to_vec(&sighting.job).map_or(0, |text| text.len())
        }
        _ => 0,
    };
    let evidence = decision.evidence.as_ref();
    job + evidence.map_or(0, |evidence| evidence.size())
}

/// The flush under way. When it ends, the next may begin; after a panic, it pauses as after a failure
/// of the store.
pub(super) struct Flush {
    shared: Arc<Shared>,
    _only_one: OwnedMutexGuard<()>,
    _in_flight: InFlight,
}

impl Flush {
    /// Begins a flush. Returns `None` if one is under way.
    pub(super) fn begin(shared: &Arc<Shared>) -> Option<Self> {
        let only_one = Arc::clone(&shared.flushing).try_lock_owned().ok()?;
        Some(Self::with(shared, only_one))
    }

    /// Begins a flush, after the one that is under way has ended.
    pub(super) async fn begin_next(shared: &Arc<Shared>) -> Self {
        let only_one = Arc::clone(&shared.flushing).lock_owned().await;
        Self::with(shared, only_one)
    }

    fn with(shared: &Arc<Shared>, only_one: OwnedMutexGuard<()>) -> Self {
        Self {
            shared: Arc::clone(shared),
            _only_one: only_one,
            _in_flight: shared.in_flight.enter(),
        }
    }

    /// Saves decisions until none waits or the store fails again.
    pub(super) async fn run(self) {
        let shared = &self.shared;
        shared.save_blind_periods().await;
        loop {
            let batch = shared.state().backlog.batch();
            if batch.is_empty() {
                return;
            }
            let tried = batch.len();
            let (saved, going_on, error) = save(shared, &batch).await;
            let waiting = shared
                .state()
                .backlog
                .note(tried, &saved, shared.clock.uptime());
            shared.bring_back(going_on).await;
            if saved.is_empty() {
                tracing::error!(
                    waiting,
                    error,
                    "the store still fails; transitions stay in memory"
                );
                return;
            }
            tracing::info!(
                saved = saved.len(),
                waiting,
                "saved transitions that waited for the store"
            );
        }
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let uptime = self.shared.clock.uptime();
            self.shared.state().backlog.failed(uptime);
        }
    }
}

/// Commits a batch. Returns the watches whose decision was saved, those of them that go on, and a
/// reason why others were not.
async fn save(
    shared: &Arc<Shared>,
    batch: &[Arc<Decision>],
) -> (HashSet<WatchId>, Vec<WatchId>, Option<String>) {
    let (mut saved, mut reason) = (HashSet::new(), None);
    let mut going_on = Vec::new();
    for (decision, result) in batch.iter().zip(shared.commit(batch).await) {
        match result {
            Ok(committed) => {
                match committed {
                    Committed::Watching => going_on.push(decision.watch),
                    Committed::Over(watch) => {
                        let late = watch.as_deref().map(|watch| (watch, &**decision));
                        shared.end(decision.watch, late);
                    }
                    Committed::Foreign => {
                        shared.forget_foreign(decision.watch);
                        shared.state().left.forget(decision.watch);
                        going_on.push(decision.watch);
                    }
                }
                saved.insert(decision.watch);
            }
            Err(error) => reason = Some(format!("{error:#}")),
        }
    }
    (saved, going_on, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::observation::{Job, JobState, Sighting};
    use crate::workers::poller::decision::Effect;
    use jiff::Timestamp;
    use uuid::Uuid;

    fn decision(n: u128, reason: &str) -> Arc<Decision> {
        let job = Job {
            state: JobState::Running,
            job_type: None,
            status: None,
            code: None,
            reason: Some(reason.to_owned()),
            began_at: None,
            ended_at: None,
            progress: None,
            resources: None,
            children: Vec::new(),
        };
        Arc::new(Decision {
            watch: WatchId(Uuid::from_u128(n)),
            effect: Effect::LateResult,
            observation: Some(Observation::Sighting(Sighting::of(job))),
            evidence: None,
            at: Timestamp::UNIX_EPOCH,
        })
    }

    fn ids(batch: &[Arc<Decision>]) -> Vec<u128> {
        batch.iter().map(|it| it.watch.0.as_u128()).collect()
    }

    #[test]
    fn batch_has_each_watch_once_in_order() {
        let mut backlog = Backlog::default();
        for n in [1, 2, 1, 3] {
            assert!(backlog.keep(&decision(n, ""), Duration::ZERO));
        }
        let first = backlog.batch();
        assert_eq!(ids(&first), [1, 2]);
        backlog.remove(2, &HashSet::from([first[0].watch]));
        assert!(
            backlog.contains(first[0].watch),
            "its second decision waits"
        );
        let second = backlog.batch();
        assert_eq!(ids(&second), [2, 1, 3]);
        let all = second.iter().map(|it| it.watch).collect();
        backlog.remove(3, &all);
        assert_eq!((backlog.len(), backlog.bytes), (0, 0));
        assert!(!backlog.contains(second[0].watch));
    }

    #[test]
    fn the_backlog_is_bounded() {
        let mut backlog = Backlog::default();
        let large = "x".repeat(1024 * 1024);
        let mut kept = 0;
        while backlog.keep(&decision(kept, &large), Duration::ZERO) {
            kept += 1;
        }
        assert_eq!(kept, 63);
        let mut backlog = Backlog::default();
        for n in 0..DECISIONS_MAX as u128 {
            assert!(backlog.keep(&decision(n, ""), Duration::ZERO));
        }
        assert!(!backlog.keep(&decision(0, ""), Duration::ZERO));
    }

    #[test]
    fn pauses_grow_until_the_store_works() {
        let mut backlog = Backlog::default();
        assert_eq!(backlog.due(), None);
        assert!(backlog.keep(&decision(1, ""), Duration::ZERO));
        let mut pauses = Vec::new();
        let mut uptime = backlog.due().unwrap();
        for _ in 0..5 {
            backlog.failed(uptime);
            let due = backlog.due().unwrap();
            pauses.push(due.saturating_sub(uptime).as_secs());
            uptime = due;
        }
        assert_eq!(pauses, [2, 4, 8, 15, 15]);
        backlog.failed(uptime);
        backlog.store_works(uptime + PAUSE);
        assert_eq!(backlog.due(), Some(uptime + PAUSE));
    }
}
