//! The state that outlives a process: time, the stored data, the records of the models, and
//! the violations.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jobwatch::clock::{Clock, later, seeded_rng};
use jobwatch::watch;
use jobwatch::watch::WatchId;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::simulation::cloud::Visits;
use crate::simulation::plan::{Plan, Trouble};
use crate::simulation::receiver::Ledger;
use crate::store::memory::Memory;

/// The time at which every history begins.
const START: Timestamp = Timestamp::UNIX_EPOCH;

/// One history.
#[derive(Clone)]
pub(super) struct World {
    pub(super) plan: Arc<Plan>,
    pub(super) memory: Memory,
    pub(super) dies: Arc<Notify>,
    state: Arc<Mutex<State>>,
}

/// The part that changes.
pub(super) struct State {
    /// The age of the history when the present process began.
    began: Duration,
    started: Option<Instant>,
    wall_ahead: SignedDuration,
    jumps_made: usize,
    /// The number of calls before the process dies.
    fuse: Option<u64>,
    pub(super) is_dead: bool,
    /// The number of the present process.
    pub(super) life: usize,
    pub(super) rng: StdRng,
    /// The acknowledged watch of each job.
    pub(super) acknowledged: BTreeMap<String, WatchId>,
    /// The jobs whose watches an operator has ended.
    pub(super) unwatched: BTreeSet<String>,
    /// The first final state of each watch.
    pub(super) finals: BTreeMap<WatchId, (watch::State, u32)>,
    /// The number of transitions that the store refused or failed.
    pub(super) failed_applies: usize,
    /// The begin of the last process that had something to watch.
    pub(super) last_began: Duration,
    pub(super) visits: Visits,
    pub(super) ledgers: Vec<Ledger>,
    pub(super) violations: Vec<String>,
    pub(super) journal: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(plan: Plan, keeps_journal: bool) -> Self {
        let state = State {
            began: Duration::ZERO,
            started: None,
            wall_ahead: SignedDuration::ZERO,
            jumps_made: 0,
            fuse: None,
            is_dead: false,
            life: 0,
            rng: seeded_rng(plan.seed ^ 0x5eed),
            acknowledged: BTreeMap::new(),
            unwatched: BTreeSet::new(),
            finals: BTreeMap::new(),
            failed_applies: 0,
            last_began: Duration::ZERO,
            visits: Visits::default(),
            ledgers: vec![Ledger::default(); plan.sinks.len()],
            violations: Vec::new(),
            journal: keeps_journal.then(Vec::new),
        };
        Self {
            plan: Arc::new(plan),
            memory: Memory::default(),
            dies: Arc::default(),
            state: Arc::new(Mutex::new(state)),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The age of the history.
    pub(super) fn elapsed(&self) -> Duration {
        self.state().elapsed()
    }

    fn is_watching(&self) -> bool {
        let rows = self.memory.rows();
        let mut watches = rows.watches.iter();
        watches.any(|watch| watch.state == watch::State::Watching)
    }

    /// Begins a process, which dies after `fuse` calls.
    pub(super) fn begin_life(&self, fuse: Option<u64>) {
        let is_watching = self.is_watching();
        let mut state = self.state();
        state.started = Some(present());
        if is_watching {
            state.last_began = state.elapsed();
        }
        state.fuse = fuse;
        state.is_dead = false;
        state.life += 1;
        state.visits.begin_life();
        state.ledgers.iter_mut().for_each(Ledger::begin_life);
    }

    /// Ends a process. Must be called before its runtime is dropped.
    pub(super) fn end_life(&self) {
        let mut state = self.state();
        state.began = state.elapsed();
        state.started = None;
    }

    /// Lets time pass without a process.
    pub(super) fn pass(&self, by: Duration) {
        self.state().began += by;
    }

    /// Counts one call to a model. If the process dies here, it never returns.
    pub(super) async fn step(&self) {
        {
            let mut state = self.state();
            if let Some(fuse) = &mut state.fuse {
                *fuse = fuse.saturating_sub(1);
                state.is_dead |= state.fuse == Some(0);
            }
            if !state.is_dead {
                return;
            }
        }
        self.dies.notify_one();
        pending::<()>().await;
    }

    /// Waits for this time. Time stands still until all tasks wait, and then jumps.
    pub(super) async fn lasts(&self, time: Duration) {
        let _ = timeout(time, pending::<()>()).await;
    }

    /// Draws a fault of the troubles of this time.
    pub(super) fn draw<F: Copy>(&self, troubles: &[Trouble<F>]) -> Option<F> {
        let mut state = self.state();
        let elapsed = state.elapsed();
        for trouble in troubles {
            let is_on = trouble.from <= elapsed && elapsed < trouble.to;
            if is_on && state.rng.random_bool(trouble.share) {
                return Some(trouble.fault);
            }
        }
        None
    }

    /// Draws a duration of at most this many milliseconds.
    pub(super) fn millis(&self, at_most: u64) -> Duration {
        Duration::from_millis(self.state().rng.random_range(1..=at_most))
    }

    pub(super) fn violated(&self, invariant: &str, what: &str) {
        self.note(|| format!("WRONG {invariant}: {what}"));
        self.state().violations.push(format!("{invariant}: {what}"));
    }

    /// Adds a line to the journal, if there is one.
    pub(super) fn note(&self, line: impl FnOnce() -> String) {
        let mut state = self.state();
        if state.journal.is_some() {
            let elapsed = state.elapsed();
            let line = format!(
                "{:>10.3} [{}] {}",
                elapsed.as_secs_f64(),
                state.life,
                line()
            );
            state
                .journal
                .iter_mut()
                .for_each(|it| it.push(line.clone()));
        }
    }

    /// The wall time, also for the models.
    pub(super) fn wall(&self) -> Timestamp {
        let mut state = self.state();
        let ahead = state.wall_ahead(&self.plan);
        let wall = wall_at(state.elapsed());
        wall.checked_add(ahead).unwrap()
    }

    /// The uptime of the present process.
    pub(super) fn uptime(&self) -> Duration {
        let state = self.state();
        state.started.map(|at| at.elapsed()).unwrap_or_default()
    }

    /// The largest change of the wall clock.
    pub(super) fn jumped(&self) -> Duration {
        let jumps = self.plan.jumps.iter();
        jumps
            .map(|(_, by)| by.unsigned_abs())
            .max()
            .unwrap_or_default()
    }
}

impl State {
    pub(super) fn elapsed(&self) -> Duration {
        let lived = self.started.map(|at| at.elapsed()).unwrap_or_default();
        // Whole milliseconds, as the clock of the machine.
        let elapsed = self.began + lived;
        Duration::from_millis(u64::try_from(elapsed.as_millis()).unwrap())
    }

    /// The total change of the wall clock until now.
    fn wall_ahead(&mut self, plan: &Plan) -> SignedDuration {
        let elapsed = self.elapsed();
        while let Some((at, by)) = plan.jumps.get(self.jumps_made)
            && *at <= elapsed
        {
            self.wall_ahead += *by;
            self.jumps_made += 1;
        }
        self.wall_ahead
    }
}

/// The wall time at this age of the history, if the clock was never set.
pub(super) fn wall_at(elapsed: Duration) -> Timestamp {
    // Later than the epoch, so that a clock set back stays after it.
    later(START, elapsed + Duration::from_hours(1000))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the runtime's own time, which is stepped; the machine's clock is not read"
)]
fn present() -> Instant {
    Instant::now()
}

/// The clock of one process.
pub(super) struct LifeClock(pub(super) World);

impl Clock for LifeClock {
    fn now(&self) -> Timestamp {
        self.0.wall()
    }

    fn uptime(&self) -> Duration {
        self.0.uptime()
    }
}
