//! What was decided and could not be stored yet: it is kept in memory, in order, and
//! written once the store returns. A verdict that was seen once is not lost when the
//! service forgets the job meanwhile.
//!
//! Nothing here is acknowledged to anybody. Its size is bounded; what finds no room is
//! forgotten as if it had not been seen, and the job is polled again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::watch::WatchId;
use crate::watch::observation::Observation;
use crate::workers::poller::Shared;
use crate::workers::poller::conclude::{Committed, Pending};

/// How many decisions are kept.
const KEPT_MAX: usize = 10_000;
/// How much they may hold together, in bytes of what the jobs looked like.
const KEPT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How many are written together.
const BATCH_MAX: usize = 256;
/// How long the store is left alone after it failed once, and at most.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// Decisions that wait for the store.
#[derive(Default)]
pub(super) struct Unwritten {
    waiting: VecDeque<Kept>,
    /// How many there are of each watch, those that are being written included.
    by_watch: HashMap<WatchId, usize>,
    count: usize,
    bytes: usize,
    failures: u32,
    tried_at: Duration,
    retry_at: Duration,
    is_writing: bool,
}

struct Kept {
    pending: Arc<Pending>,
    bytes: usize,
}

impl Unwritten {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Whether something of this watch waits: what follows must wait behind it.
    pub(super) fn holds(&self, id: WatchId) -> bool {
        self.by_watch.contains_key(&id)
    }

    /// Keeps a decision, or gives it back when there is no room.
    pub(super) fn keep(&mut self, pending: Pending, uptime: Duration) -> Result<(), Box<Pending>> {
        let bytes = size_of(&pending);
        if self.count >= KEPT_MAX || self.bytes.saturating_add(bytes) > KEPT_BYTES_MAX {
            return Err(Box::new(pending));
        }
        if self.count == 0 {
            self.failures = 1;
            self.tried_at = uptime;
            self.retry_at = uptime + PAUSE;
        }
        self.count += 1;
        self.bytes += bytes;
        *self.by_watch.entry(pending.id).or_default() += 1;
        self.waiting.push_back(Kept {
            pending: Arc::new(pending),
            bytes,
        });
        Ok(())
    }

    /// When they should be tried next; `None` while nothing waits or somebody is at it.
    pub(super) fn due(&self) -> Option<Duration> {
        (!self.is_writing && !self.waiting.is_empty()).then_some(self.retry_at)
    }

    /// The store has taken something: no reason to wait much longer.
    pub(super) fn store_is_back(&mut self, uptime: Duration) {
        let soon = uptime.max(self.tried_at + PAUSE);
        self.retry_at = self.retry_at.min(soon);
    }

    /// The oldest, at most one of each watch.
    fn take(&mut self) -> Vec<Kept> {
        let mut seen = HashSet::new();
        let is_next = |kept: &Kept| seen.len() < BATCH_MAX && seen.insert(kept.pending.id);
        let count = self
            .waiting
            .iter()
            .map(is_next)
            .take_while(|it| *it)
            .count();
        self.waiting.drain(..count).collect()
    }

    fn written(&mut self, kept: &Kept) {
        self.count -= 1;
        self.bytes -= kept.bytes;
        if let Some(count) = self.by_watch.get_mut(&kept.pending.id) {
            *count -= 1;
            if *count == 0 {
                self.by_watch.remove(&kept.pending.id);
            }
        }
    }

    fn put_back(&mut self, failed: Vec<Kept>) {
        for kept in failed.into_iter().rev() {
            self.waiting.push_front(kept);
        }
    }

    fn failed(&mut self, uptime: Duration) {
        let pause = PAUSE.saturating_mul(1 << self.failures.min(8));
        self.failures = self.failures.saturating_add(1);
        self.tried_at = uptime;
        self.retry_at = uptime + pause.min(PAUSE_MAX);
    }
}

/// What the look of the job takes; the rest is small.
fn size_of(pending: &Pending) -> usize {
    match &pending.observation {
        Some(Observation::Sighting(sighting)) => {
            serde_json::to_vec(&sighting.job).map_or(0, |text| text.len())
        }
        _ => 0,
    }
}

/// Somebody writes down what waits; however that ends, the next may begin.
pub(super) struct Writing(Arc<Shared>);

impl Writing {
    /// Begins, when something waits and nobody is at it.
    pub(super) fn begin(shared: &Arc<Shared>) -> Option<Self> {
        let mut board = shared.board();
        board.unwritten.due()?;
        board.unwritten.is_writing = true;
        board.in_flight += 1;
        Some(Self(Arc::clone(shared)))
    }

    /// Writes until nothing waits or the store takes nothing.
    pub(super) async fn write(self) {
        let shared = &self.0;
        loop {
            let batch = shared.board().unwritten.take();
            if batch.is_empty() {
                return;
            }
            let tried = batch.len();
            let (failed, error) = write_batch(shared, batch).await;
            let mut board = shared.board();
            let written = tried - failed.len();
            board.unwritten.put_back(failed);
            if written == 0 {
                board.unwritten.failed(shared.clock.uptime());
                let waiting = board.unwritten.len();
                drop(board);
                tracing::error!(
                    waiting,
                    error,
                    "the store still takes nothing; what was seen is kept in memory"
                );
                return;
            }
            let waiting = board.unwritten.len();
            drop(board);
            tracing::info!(written, waiting, "wrote down what had waited for the store");
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut board = self.0.board();
        board.in_flight -= 1;
        board.unwritten.is_writing = false;
        drop(board);
        self.0.landed.notify_one();
    }
}

/// Writes all of them together; gives back those that failed, in order, and why.
async fn write_batch(shared: &Arc<Shared>, batch: Vec<Kept>) -> (Vec<Kept>, Option<String>) {
    let mut under_way = JoinSet::new();
    for kept in &batch {
        let (shared, pending) = (Arc::clone(shared), Arc::clone(&kept.pending));
        under_way.spawn(async move { (pending.id, shared.commit(&pending).await) });
    }
    let mut written = HashSet::new();
    let mut reason = None;
    while let Some(ended) = under_way.join_next().await {
        match ended {
            Ok((id, Ok(committed))) => {
                written.insert(id);
                if committed == Committed::Over {
                    shared.board().agenda.forget(id);
                }
            }
            Ok((_, Err(error))) => reason = Some(format!("{error:#}")),
            // One that panics fails alone.
            Err(error) => reason = Some(error.to_string()),
        }
    }
    let mut board = shared.board();
    let mut failed = Vec::new();
    for kept in batch {
        if written.contains(&kept.pending.id) {
            board.unwritten.written(&kept);
        } else {
            failed.push(kept);
        }
    }
    (failed, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::observation::{Job, JobState, Sighting};
    use crate::workers::poller::conclude::Decision;
    use jiff::Timestamp;
    use uuid::Uuid;

    fn pending(n: u128, reason: &str) -> Pending {
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
        Pending {
            id: WatchId(Uuid::from_u128(n)),
            decision: Decision::LateResult,
            observation: Some(Observation::Sighting(Sighting {
                unknown_status: false,
                job,
                warnings: Vec::new(),
                retry_after: None,
            })),
            at: Timestamp::UNIX_EPOCH,
        }
    }

    fn ids(batch: &[Kept]) -> Vec<u128> {
        batch
            .iter()
            .map(|kept| kept.pending.id.0.as_u128())
            .collect()
    }

    #[test]
    fn a_batch_has_each_watch_once_and_keeps_the_order() {
        let mut unwritten = Unwritten::default();
        for n in [1, 2, 1, 3] {
            assert!(unwritten.keep(pending(n, ""), Duration::ZERO).is_ok());
        }
        let first = unwritten.take();
        assert_eq!(ids(&first), [1, 2]);
        assert!(unwritten.holds(first[1].pending.id));
        unwritten.written(&first[0]);
        unwritten.put_back(first.into_iter().skip(1).collect());
        let second = unwritten.take();
        assert_eq!(ids(&second), [2, 1, 3]);
        for kept in &second {
            unwritten.written(kept);
        }
        assert_eq!((unwritten.len(), unwritten.bytes), (0, 0));
        assert!(!unwritten.holds(second[0].pending.id));
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let mut unwritten = Unwritten::default();
        let large = "x".repeat(1024 * 1024);
        let mut kept = 0;
        while unwritten
            .keep(pending(kept, &large), Duration::ZERO)
            .is_ok()
        {
            kept += 1;
        }
        assert_eq!(kept, 63);
        let mut unwritten = Unwritten::default();
        for n in 0..KEPT_MAX as u128 {
            assert!(unwritten.keep(pending(n, ""), Duration::ZERO).is_ok());
        }
        assert!(unwritten.keep(pending(0, ""), Duration::ZERO).is_err());
    }

    #[test]
    fn the_store_is_asked_less_and_less_often_until_it_is_back() {
        let mut unwritten = Unwritten::default();
        assert_eq!(unwritten.due(), None);
        assert!(unwritten.keep(pending(1, ""), Duration::ZERO).is_ok());
        let mut pauses = Vec::new();
        let mut uptime = unwritten.due().unwrap();
        for _ in 0..5 {
            unwritten.failed(uptime);
            let due = unwritten.due().unwrap();
            pauses.push(due.saturating_sub(uptime).as_secs());
            uptime = due;
        }
        assert_eq!(pauses, [2, 4, 8, 15, 15]);
        unwritten.failed(uptime);
        unwritten.store_is_back(uptime + PAUSE);
        assert_eq!(unwritten.due(), Some(uptime + PAUSE));
    }
}
