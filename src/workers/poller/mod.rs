//! Polls jobs when they are due, within their budgets, and commits what follows.
//!
//! One loop, no task per watch: [`dispatch`] takes what is due from the agenda and starts
//! polls as budgets allow; each poll ends in [`conclude`], which decides, commits only
//! what is worth telling, and puts the watch back; what the store does not take stays in
//! [`unwritten`] until it does. [`load`] brings watches from the store to the agenda. What
//! ended without a verdict is looked at for a while by [`late`].

mod conclude;
mod dispatch;
mod lanes;
mod late;
mod live;
mod load;
mod unwritten;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::SharedClock;
use crate::metrics::Metrics;
use crate::schedule::agenda::Agenda;
use crate::service::Services;
use crate::store::{SharedStore, StoreError};
use crate::wake::Wake;
use crate::watch::Params;
use crate::watch::change::Composer;
use crate::workers::Heartbeat;
use crate::workers::poller::lanes::Lanes;
use crate::workers::poller::unwritten::{Unwritten, Writing};

/// The longest the loop sleeps, as the watchdog must hear of it; and the longest it does
/// not look for what is new.
const SLEEP_MAX: Duration = Duration::from_secs(2);

/// How long the store is left alone after it could not tell what is new.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What a poller works with.
pub struct Parts {
    /// Where watches are kept.
    pub store: SharedStore,
    /// Whom to ask.
    pub services: Services,
    /// Composes events.
    pub composer: Composer,
    /// The time.
    pub clock: SharedClock,
    /// The source of jitter.
    pub rng: StdRng,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Runs the polls in flight.
    pub tracker: TaskTracker,
    /// Wakes whoever delivers events.
    pub courier: Wake,
}

/// Polls jobs. Clones share one agenda.
#[derive(Clone)]
pub struct Poller {
    shared: Arc<Shared>,
}

struct Shared {
    store: SharedStore,
    services: Services,
    composer: Composer,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    tracker: TaskTracker,
    courier: Wake,
    wake: Wake,
    woken: Arc<Notify>,
    /// Nothing new is begun any more.
    stopping: AtomicBool,
    /// Notified whenever a poll has ended.
    landed: Notify,
    board: Mutex<Board>,
}

/// Everything that changes, behind one lock that is never held across an await.
struct Board {
    agenda: Agenda,
    lanes: Lanes,
    rng: StdRng,
    /// How far the store's log of events has been read; `None` before the first load.
    position: Option<i64>,
    /// Params that watches share, so that a million of them keep one copy.
    interned: HashSet<Arc<Params>>,
    in_flight: usize,
    started: u64,
    /// Watches that ended without a verdict and are looked at for a late one.
    late: Agenda,
    /// What was decided and could not be stored yet.
    unwritten: Unwritten,
    /// Status values that were warned of already.
    warned: HashSet<(Arc<str>, String)>,
}

/// What one round of [`Poller::run_once`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Round {
    /// Polls made.
    pub polls: u64,
}

impl Poller {
    /// A poller with an empty agenda; it loads from the store when it first runs.
    pub fn new(parts: Parts) -> Self {
        let lanes = Lanes::new(&parts.services);
        let (wake, woken) = Wake::new();
        Self {
            shared: Arc::new(Shared {
                store: parts.store,
                services: parts.services,
                composer: parts.composer,
                clock: parts.clock,
                metrics: parts.metrics,
                tracker: parts.tracker,
                courier: parts.courier,
                wake,
                woken,
                stopping: AtomicBool::new(false),
                landed: Notify::new(),
                board: Mutex::new(Board {
                    agenda: Agenda::default(),
                    lanes,
                    rng: parts.rng,
                    position: None,
                    interned: HashSet::new(),
                    in_flight: 0,
                    started: 0,
                    late: Agenda::default(),
                    unwritten: Unwritten::default(),
                    warned: HashSet::new(),
                }),
            }),
        }
    }

    /// Wakes the poller: there are new watches, or some were ended.
    pub fn wake_handle(&self) -> Wake {
        self.shared.wake.clone()
    }

    /// Loads every watch that is still watching. Later calls do nothing.
    ///
    /// # Errors
    /// The store failed; calling again starts over.
    pub async fn load(&self) -> Result<(), StoreError> {
        self.shared.load().await
    }

    /// Learns what is new, makes every poll that is due and waits for all of them.
    ///
    /// # Errors
    /// The store could not be read; nothing was polled.
    pub async fn run_once(&self) -> Result<Round, StoreError> {
        self.shared.load().await?;
        self.shared.read_changes().await?;
        let before = self.shared.board().started;
        loop {
            self.shared.dispatch();
            if self.shared.board().in_flight == 0 {
                break;
            }
            self.shared.landed.notified().await;
        }
        let polls = self.shared.board().started - before;
        Ok(Round { polls })
    }

    /// Polls until `stop`. Polls in flight run on in the tracker.
    pub async fn run(&self, stop: CancellationToken, heartbeat: Heartbeat) {
        let mut looks = true;
        let mut not_before = Duration::ZERO;
        let mut looked_at = Duration::ZERO;
        while !stop.is_cancelled() {
            heartbeat();
            let uptime = self.shared.clock.uptime();
            // Also when nobody woke it and it is never idle: a wake may be lost.
            looks |= uptime.saturating_sub(looked_at) >= SLEEP_MAX;
            if looks && uptime >= not_before {
                looks = !self.looked().await;
                looked_at = uptime;
                if looks {
                    not_before = uptime + LOOK_AGAIN;
                }
            }
            let pause = self.shared.dispatch().min(SLEEP_MAX);
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = self.shared.woken.notified() => looks = true,
                // A poll that has ended changes nothing in the store that is changes to us.
                () = self.shared.landed.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.shared.stopping.store(true, Ordering::Relaxed);
    }

    /// Writes down what waits for the store, once and now, unless somebody is at it.
    pub async fn flush(&self) {
        if let Some(writing) = Writing::begin(&self.shared) {
            writing.write().await;
        }
    }

    /// Learns what is new; false when the store failed and must be asked again.
    async fn looked(&self) -> bool {
        let Err(error) = self.look().await else {
            return true;
        };
        let error = anyhow::Error::from(error);
        tracing::error!(error = format!("{error:#}"), "cannot learn of new watches");
        false
    }

    async fn look(&self) -> Result<(), StoreError> {
        self.shared.load().await?;
        self.shared.read_changes().await
    }
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
