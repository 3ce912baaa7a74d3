//! Polls jobs when they are due, within their budgets, and commits the transitions.
//!
//! One loop for all watches. [`Poller::run`] (below) reads changes from the store, starts the
//! duties that are due ([`dispatch`]) and sleeps until the next one, a wake, or the end of a
//! poll. [`poll`] is the life of one poll from its start to its end.
//!
//! Around these two: [`load`] brings watches from the store to the agenda, a
//! [`budget_queue`] keeps the watches that are due and not admitted yet, [`saver`] collects decisions
//! and [`commit`] saves them, [`backlog`] keeps them while the store fails, [`report`] writes the log,
//! [`together`] asks for several jobs at once, [`bookmarks`] has the pages from which lists go on,
//! [`spending`] counts the further requests of a poll, [`answers`] keeps the last answer of each
//! service, [`interned`] has the values that watches share, [`status`] shows services and budgets,
//! [`unpolled`] explains an end without a poll, [`blindness`] keeps the watches of services
//! whose jobs cannot be seen, and [`ownership`] says which watches this replica polls.

mod answers;
mod backlog;
mod blindness;
mod bookmarks;
mod budget_queue;
mod commit;
mod decision;
mod dispatch;
mod facts;
mod in_flight;
mod interned;
mod load;
mod ownership;
mod poll;
mod progress;
mod report;
mod saver;
mod spending;
mod status;
mod together;
mod unpolled;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rand::rngs::StdRng;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::SharedClock;
use crate::metrics::Metrics;
use crate::schedule::agenda::Agenda;
pub use crate::schedule::reason::Reason;
pub use crate::service::CredentialStatus;
use crate::service::Services;
use crate::store::{Cursor, SharedStore, StoreError};
use crate::wake::Wake;
use crate::watch::change::Composer;
use crate::watch::{Labels, Params, WatchId};
use crate::workers::Heartbeat;
pub use crate::workers::poller::answers::LastAnswer;
use crate::workers::poller::answers::LastAnswers;
use crate::workers::poller::backlog::{Backlog, Flush};
use crate::workers::poller::blindness::BlindServices;
use crate::workers::poller::bookmarks::Bookmarks;
use crate::workers::poller::budget_queue::BudgetQueues;
pub use crate::workers::poller::facts::PollFacts;
use crate::workers::poller::in_flight::InFlightCount;
use crate::workers::poller::interned::Interned;
use crate::workers::poller::ownership::Owned;
use crate::workers::poller::saver::SaveQueue;
pub use crate::workers::poller::status::{BlindStatus, BudgetStatus, Health, ServiceStatus};

/// The longest sleep of the loop, because of the watchdog; and the longest time between two
/// readings of changes, because `submit` may not pass on a watch that it stored.
const SLEEP_MAX: Duration = Duration::from_secs(2);

/// The same where other replicas make most changes. A throttling has to reach them within a second: one
/// replica tells of it, and another reads it.
const SHARED_READ_EVERY: Duration = Duration::from_millis(500);

/// The pause before changes are read again after the store failed.
const READ_PAUSE: Duration = Duration::from_secs(5);

/// The parts that a poller works with.
pub struct Parts {
    /// The store of watches, events and deliveries.
    pub store: SharedStore,
    /// The services that jobs are polled on.
    pub services: Services,
    /// Composes the events of transitions.
    pub composer: Composer,
    /// The clock, which a test may step.
    pub clock: SharedClock,
    /// The source of jitter; a test gives a seeded one.
    pub rng: StdRng,
    /// Counts polls and problems by service.
    pub metrics: Arc<Metrics>,
    /// Runs the polls in flight.
    pub tracker: TaskTracker,
    /// Wakes the courier and the announcer after a commit.
    pub committed: Wake,
    /// Wakes the worker that finishes groups, after the end of a watch in one.
    pub groups: Wake,
}

/// Polls jobs when they are due. Clones share one agenda.
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
    committed: Wake,
    groups: Wake,
    wake: Wake,
    woken: Arc<Notify>,
    /// True once no new poll may begin.
    stopping: AtomicBool,
    in_flight: InFlightCount,
    saves: SaveQueue,
    /// Locked by the renewal of the ownership that is under way.
    renewing: AsyncMutex<()>,
    /// Locked by the flush under way.
    flushing: Arc<AsyncMutex<()>>,
    state: Mutex<State>,
}

/// The changing part of the poller, behind one lock that is never kept across an await.
struct State {
    agenda: Agenda,
    queues: BudgetQueues,
    backlog: Backlog,
    blind: BlindServices,
    answers: LastAnswers,
    rng: StdRng,
    /// The changes of the store that have been read; `None` before the first load.
    changes_read: Option<Cursor>,
    /// The shards whose watches are polled here.
    owned: Owned,
    /// The watches that left the agenda a short time ago.
    left: Left,
    /// The watches whose jobs a batch did not show, and which are asked for alone next.
    alone: HashSet<WatchId>,
    /// The watches whose list goes on at a later page.
    bookmarks: Bookmarks,
    /// The services and params whose jobs are asked for one by one until this uptime, because a
    /// request for several of them saved none.
    one_by_one_until: HashMap<(Arc<str>, Arc<Params>), Duration>,
    params: Interned<Params>,
    labels: Interned<Labels>,
    /// The number of polls started.
    polls: u64,
    /// The services and unlisted status values that a warning named already.
    warned: HashSet<(Arc<str>, String)>,
}

/// The watches that left the agenda during the last two reads of changes. A read, or a
/// `submit` that passes them on after their end, may still give them as accepted.
#[derive(Default)]
struct Left {
    recent: HashSet<WatchId>,
    earlier: HashSet<WatchId>,
}

impl Left {
    fn next_read(&mut self) {
        self.earlier = std::mem::take(&mut self.recent);
    }

    fn forget(&mut self, id: WatchId) {
        self.recent.remove(&id);
        self.earlier.remove(&id);
    }

    fn contains(&self, id: WatchId) -> bool {
        self.recent.contains(&id) || self.earlier.contains(&id)
    }
}

impl Poller {
    /// Makes a poller with an empty agenda; it loads from the store when it first runs.
    pub fn new(parts: Parts) -> Self {
        let (wake, woken) = Wake::new();
        let state = State {
            agenda: Agenda::default(),
            queues: BudgetQueues::new(&parts.services),
            backlog: Backlog::default(),
            blind: BlindServices::new(&parts.services),
            answers: LastAnswers::new(&parts.services),
            rng: parts.rng,
            changes_read: None,
            owned: Owned::default(),
            left: Left::default(),
            alone: HashSet::new(),
            bookmarks: Bookmarks::default(),
            one_by_one_until: HashMap::new(),
            params: Interned::default(),
            labels: Interned::default(),
            polls: 0,
            warned: HashSet::new(),
        };
        Self {
            shared: Arc::new(Shared {
                store: parts.store,
                services: parts.services,
                composer: parts.composer,
                clock: parts.clock,
                metrics: parts.metrics,
                tracker: parts.tracker,
                committed: parts.committed,
                groups: parts.groups,
                wake,
                woken,
                stopping: AtomicBool::new(false),
                in_flight: InFlightCount::default(),
                saves: SaveQueue::default(),
                renewing: AsyncMutex::default(),
                flushing: Arc::default(),
                state: Mutex::new(state),
            }),
        }
    }

    /// Returns a handle that wakes the poller, for use after watches were accepted or ended.
    pub fn wake_handle(&self) -> Wake {
        self.shared.wake.clone()
    }

    /// Loads every watch that needs polls. Later calls do nothing.
    ///
    /// # Errors
    /// The store failed; calling again starts over.
    pub async fn load(&self) -> Result<(), StoreError> {
        self.shared.load().await
    }

    /// Polls until `stop`. Polls in flight continue in the tracker.
    pub async fn run(&self, stop: CancellationToken, heartbeat: Heartbeat) {
        let shared = &self.shared;
        let (mut read_at, mut paused_until) = (Duration::ZERO, Duration::ZERO);
        while !stop.is_cancelled() {
            heartbeat();
            let uptime = shared.clock.uptime();
            if uptime >= read_at.max(paused_until) {
                if shared.read_or_report().await {
                    let is_shared = shared.state().owned.is_shared();
                    read_at = uptime
                        + if is_shared {
                            SHARED_READ_EVERY
                        } else {
                            SLEEP_MAX
                        };
                } else {
                    paused_until = uptime + READ_PAUSE;
                }
            }
            let pause = shared.dispatch().min(SLEEP_MAX);
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                // `submit` passes on the watches that it stores, so a wake needs no read of changes.
                () = shared.woken.notified() => {}
                () = shared.in_flight.landed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        shared.stopping.store(true, Ordering::Relaxed);
    }

    /// Reads changes, makes every poll that is due, and waits for all of them. Returns the
    /// number of polls.
    ///
    /// # Errors
    /// The store could not be read, and nothing was polled.
    pub async fn run_once(&self) -> Result<u64, StoreError> {
        let shared = &self.shared;
        shared.load().await?;
        shared.read_changes().await?;
        let before = shared.state().polls;
        loop {
            shared.dispatch();
            if shared.in_flight.is_zero() {
                break;
            }
            shared.in_flight.landed().await;
        }
        Ok(shared.state().polls - before)
    }
}

impl Shared {
    /// Loads the watches if necessary, and reads changes. Returns false when the store failed.
    async fn read_or_report(&self) -> bool {
        let read = async {
            self.load().await?;
            self.read_changes().await
        };
        let Err(error) = read.await else { return true };
        let error = anyhow::Error::from(error);
        tracing::error!(
            error = format!("{error:#}"),
            "cannot read new watches from the store"
        );
        false
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Saves the decisions that wait for the store, after a flush that is under way.
    async fn flush(self: &Arc<Self>) {
        Flush::begin_next(self).await.run().await;
    }
}
