//! The way of decisions into the store. All that come while a commit is under way share the next one,
//! which costs much less than a commit for each; a poll does not wait for it.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::workers::poller::Shared;
use crate::workers::poller::decision::Decision;
use crate::workers::poller::in_flight::InFlight;
use crate::workers::poller::poll::Taken;

/// The number of decisions that may wait for the next commit, and so the most that share one. Further
/// polls wait for room.
const SAVES_MAX: usize = 512;

/// After a commit of this many decisions more are on their way: the next one waits for them.
const CROWD: usize = 8;
/// How long the next commit waits in one step, and how many steps while more decisions come.
const GATHER: Duration = Duration::from_millis(1);
const GATHER_STEPS: usize = 4;

/// A decision, and the duty that it ends.
type Unsaved = (Taken, Arc<Decision>);

/// The decisions that wait for the next commit.
pub(super) struct SaveQueue {
    waiting: Mutex<Waiting>,
    /// A permit for each decision that may still come.
    room: Semaphore,
}

#[derive(Default)]
struct Waiting {
    unsaved: VecDeque<Unsaved>,
    /// True while a saver works; it ends when it finds nothing here.
    has_saver: bool,
}

impl Default for SaveQueue {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            room: Semaphore::new(SAVES_MAX),
        }
    }
}

impl Waiting {
    /// Takes the decisions that wait, at most one about each watch: the second must wait in the backlog
    /// if the first has to.
    fn take(&mut self) -> VecDeque<Unsaved> {
        let mut seen = HashSet::with_capacity(self.unsaved.len());
        let is_next = |(_, decision): &&Unsaved| seen.insert(decision.watch);
        let count = self.unsaved.iter().take_while(is_next).count();
        let later = self.unsaved.split_off(count);
        std::mem::replace(&mut self.unsaved, later)
    }
}

impl Shared {
    /// Passes a decision on to the saver, which finishes the duty. Waits while too many are on
    /// their way.
    pub(super) async fn save_soon(self: &Arc<Self>, taken: Taken, decision: Decision) {
        if let Ok(room) = self.saves.room.acquire().await {
            room.forget();
        }
        let is_first = {
            let mut waiting = self.saves.waiting.lock();
            waiting.unsaved.push_back((taken, Arc::new(decision)));
            !std::mem::replace(&mut waiting.has_saver, true)
        };
        if is_first {
            self.start_saver();
        }
    }

    fn start_saver(self: &Arc<Self>) {
        let saver = Saver {
            shared: Arc::clone(self),
            batch: VecDeque::new(),
            in_flight: self.in_flight.enter(),
        };
        self.tracker.spawn(saver.run());
    }
}

/// The one task that saves decisions, until none waits. After a panic the watches of its batch are
/// back on the agenda, and another saver goes on.
struct Saver {
    shared: Arc<Shared>,
    /// The decisions that are being saved.
    batch: VecDeque<Unsaved>,
    in_flight: InFlight,
}

impl Saver {
    async fn run(mut self) {
        while self.take() {
            let is_crowd = self.batch.len() >= CROWD;
            self.save().await;
            // The poller looks for the next duties of the watches, while this saver goes on.
            self.in_flight = self.shared.in_flight.enter();
            if is_crowd {
                self.gather().await;
            }
        }
    }

    /// Waits while more decisions come: a commit costs almost as much for one as for many.
    async fn gather(&self) {
        let waiting = || self.shared.saves.waiting.lock().unsaved.len();
        for _ in 0..GATHER_STEPS {
            let before = waiting();
            if before >= SAVES_MAX {
                return;
            }
            sleep(GATHER).await;
            if waiting() == before {
                return;
            }
        }
    }

    /// Takes the decisions that wait. Returns false if there are none: the saver must then end.
    fn take(&mut self) -> bool {
        let saves = &self.shared.saves;
        {
            let mut waiting = saves.waiting.lock();
            self.batch = waiting.take();
            waiting.has_saver = !self.batch.is_empty();
        }
        saves.room.add_permits(self.batch.len());
        !self.batch.is_empty()
    }

    async fn save(&mut self) {
        let decisions = self.batch.iter();
        let decisions = decisions
            .map(|(_, decision)| Arc::clone(decision))
            .collect();
        for saved in self.shared.save(decisions).await {
            if let Some((taken, decision)) = self.batch.front() {
                self.shared.finish(*taken, decision, saved);
            }
            self.batch.pop_front();
        }
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        // Without a batch it is dropped because the whole process ends by a panic, as a test that
        // fails does: another saver would be dropped, too, and start the next.
        if !thread::panicking() || self.batch.is_empty() {
            return;
        }
        for (taken, _) in &self.batch {
            self.shared.try_again(*taken);
        }
        self.shared.start_saver();
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::schedule::Duty;
    use crate::schedule::agenda::{Agenda, Entry};
    use crate::watch::WatchId;
    use crate::watch::tracking::Tracking;
    use crate::workers::poller::decision::Effect;

    /// A decision about the watch `n`.
    fn unsaved(n: u128) -> Unsaved {
        let id = WatchId(Uuid::from_u128(n));
        let times = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        let service = Arc::from("dcs");
        let entry = Entry::new(
            id,
            service,
            "job-1",
            Arc::default(),
            times,
            Tracking::default(),
        );
        let mut agenda = Agenda::default();
        agenda.add(entry, Duty::Poll, Duration::ZERO);
        let (ticket, duty) = agenda.take_due(Duration::ZERO).unwrap();
        let decision = Decision {
            watch: id,
            effect: Effect::LateResult,
            observation: None,
            evidence: None,
            at: Timestamp::UNIX_EPOCH,
        };
        (Taken { ticket, duty }, Arc::new(decision))
    }

    fn ids(batch: &VecDeque<Unsaved>) -> Vec<u128> {
        let watches = batch.iter().map(|(_, decision)| decision.watch);
        watches.map(|id| id.0.as_u128()).collect()
    }

    #[test]
    fn a_batch_has_each_watch_once_in_order() {
        let mut waiting = Waiting::default();
        waiting.unsaved.extend([1, 2, 1, 3, 2].map(unsaved));
        assert_eq!(ids(&waiting.take()), [1, 2]);
        assert_eq!(ids(&waiting.take()), [1, 3, 2]);
        assert_eq!(ids(&waiting.take()), []);
    }
}
