//! Announces the events of the log as it grows, to the clients that wait for watches and to
//! those that follow the log.
//!
//! The announcer reads each event from the store once, for all clients together, and keeps the
//! newest ones in memory ([`tail`]). A client that waits costs neither a thread nor a read
//! ([`waits`]). Because everything comes from the log, a client also learns of the changes of
//! other processes, and a follower can continue where it stopped ([`follower`]).
//!
//! While no client waits or follows, nothing is read. The first client then makes the announcer
//! jump to the present end of the log.

mod follower;
mod tail;
mod waits;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::store::{Cursor, EventPage, LoggedEvent, StoreError, WatchStore};
use crate::wake::{Wake, woken_within};
use crate::watch::event::EventKind;
use crate::watch::{Watch, WatchId};
use crate::workers::announcer::tail::Tail;
use crate::workers::announcer::waits::{Waiter, Waits};

pub use crate::workers::announcer::follower::{Followed, Follower};
pub use crate::workers::announcer::waits::Until;

/// The longest time between two looks at the log: another process may write, and a wake may be
/// lost.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// The most events in one read.
const READ_MAX: usize = 1000;
/// The number of looks without a client after which the announcer rests.
const IDLE_LOOKS: u32 = 60;

/// Announces events; see the module. Clones share one log.
#[derive(Clone)]
pub struct Announcer {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn WatchStore>,
    wake: Wake,
    woken: Arc<Notify>,
    /// Changes with every read that found something, and when the announcer begins to read again.
    news: watch::Sender<()>,
    state: Mutex<State>,
}

struct State {
    tail: Tail,
    waits: Waits,
    /// The number of followers, and of clients that are about to wait.
    clients: usize,
    /// The number of looks at the log since the last client.
    idle_looks: u32,
    /// False while nothing is read, so that the tail does not end where the log ends.
    is_awake: bool,
}

/// Keeps the announcer awake while a client is there.
struct ClientGuard {
    shared: Arc<Shared>,
}

impl Drop for ClientGuard {
    fn drop(&mut self) {
        self.shared.state().clients -= 1;
    }
}

/// A client that waits for some watches. Dropping it ends the wait.
pub struct Waiting {
    client: ClientGuard,
    watches: Vec<WatchId>,
    waiter: Arc<Waiter>,
}

impl Waiting {
    /// Waits until the wait is over. Returns the watch that ended it, if one did.
    pub async fn over(&self) -> Option<Arc<Watch>> {
        self.waiter.until_over().await
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.client.shared.state();
        state.waits.remove(&self.watches, &self.waiter);
    }
}

impl Announcer {
    /// Makes an announcer that rests until the first client comes.
    pub fn new(store: Arc<dyn WatchStore>) -> Self {
        let (wake, woken) = Wake::new();
        let state = State {
            tail: Tail::at(Cursor::new("")),
            waits: Waits::default(),
            clients: 0,
            idle_looks: 0,
            is_awake: false,
        };
        Self {
            shared: Arc::new(Shared {
                store,
                wake,
                woken,
                news: watch::Sender::new(()),
                state: Mutex::new(state),
            }),
        }
    }

    /// Returns a handle that wakes the announcer, for use after every commit of an event.
    pub fn wake_handle(&self) -> Wake {
        self.shared.wake.clone()
    }

    /// Returns the position in the log up to which events were announced. A list that is read
    /// afterwards shows at least these.
    pub fn position(&self) -> Cursor {
        self.shared.state().tail.position().clone()
    }

    /// Returns a position as [`position`](Self::position) does, also while the announcer rests.
    ///
    /// # Errors
    /// The store failed.
    pub async fn present_position(&self) -> Result<Cursor, StoreError> {
        let known = {
            let state = self.shared.state();
            state.is_awake.then(|| state.tail.position().clone())
        };
        match known {
            Some(position) => Ok(position),
            None => self.shared.store.cursor().await,
        }
    }

    /// Checks that a position is or was one of this log. A recent one costs no read.
    ///
    /// # Errors
    /// [`StoreError::UnknownCursor`], or the store failed.
    pub async fn check_position(&self, position: &Cursor) -> Result<(), StoreError> {
        let place = self.shared.state().tail.place_after(position);
        if place.is_some() {
            return Ok(());
        }
        match self.shared.store.events_after(position, 1).await {
            // A client that reads the watches again misses nothing.
            Ok(_) | Err(StoreError::PrunedCursor(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Begins a wait. The wait is over at once if one of the watches has an event after the
    /// position `since`, or may have one: the caller reads the watches again.
    pub async fn begin_wait(&self, watches: Vec<WatchId>, until: Until, since: &Cursor) -> Waiting {
        let (waiting, _) = self.begin(watches, until).await;
        let shared = &self.shared;
        if shared.state().tail.has_event_after(since, &waiting.watches) {
            waiting.waiter.finish();
        }
        waiting
    }

    /// Begins a wait for the end of one watch. True if the watch may have ended before, so that
    /// the caller must read it.
    pub async fn wait_for_end(&self, watch: WatchId) -> (Waiting, bool) {
        let (waiting, was_awake) = self.begin(vec![watch], Until::All).await;
        let may_have_ended = !was_awake || self.shared.state().tail.knows(watch);
        (waiting, may_have_ended)
    }

    /// Begins a wait; true if the announcer has read the log all the time since.
    async fn begin(&self, watches: Vec<WatchId>, until: Until) -> (Waiting, bool) {
        let (client, was_awake) = self.register_client().await;
        let waiter = Arc::new(Waiter::new(until, watches.len()));
        self.shared.state().waits.add(&watches, &waiter);
        let waiting = Waiting {
            client,
            watches,
            waiter,
        };
        (waiting, was_awake)
    }

    /// Registers a client, and waits until the announcer reads the log; false if it had to.
    async fn register_client(&self) -> (ClientGuard, bool) {
        let mut news = self.shared.news.subscribe();
        let was_awake = {
            // In one step, so that the announcer does not go to rest between.
            let mut state = self.shared.state();
            state.clients += 1;
            state.is_awake
        };
        let client = ClientGuard {
            shared: Arc::clone(&self.shared),
        };
        while !self.shared.state().is_awake {
            self.shared.wake.wake();
            // The announcer lives as long as the API, so the sender is not dropped.
            let _ = news.changed().await;
        }
        (client, was_awake)
    }

    /// Announces new events until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.run_once().await {
                let error = anyhow::Error::from(error);
                tracing::error!(
                    error = format!("{error:#}"),
                    "cannot read new events from the store; waiting clients learn of them later"
                );
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(SLEEP_MAX) => {}
                }
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = woken_within(SLEEP_MAX, &self.shared.woken) => {}
            }
        }
    }

    /// Announces every event that is in the log now. Returns their number.
    ///
    /// # Errors
    /// The store failed; the next call continues at the same event.
    pub async fn run_once(&self) -> Result<usize, StoreError> {
        let shared = &self.shared;
        if !shared.state().may_read() {
            return Ok(0);
        }
        if !shared.state().is_awake {
            let end = shared.store.cursor().await?;
            let mut state = shared.state();
            state.tail.jump(end);
            state.is_awake = true;
            drop(state);
            shared.news.send_replace(());
        }
        let mut announced = 0;
        loop {
            let after = self.position();
            let page = match shared.store.events_after(&after, READ_MAX).await {
                Err(StoreError::PrunedCursor(_)) => {
                    // The wall clock was set far ahead, or this process did not run for long.
                    let first = shared.store.first_cursor().await?;
                    shared.state().tail.jump(first);
                    continue;
                }
                page => page?,
            };
            let (count, more) = (page.events.len(), page.more);
            if count > 0 {
                shared.announce(page).await?;
            }
            announced += count;
            if !more {
                return Ok(announced);
            }
        }
    }
}

impl State {
    /// True if there is a client, or was one a short time ago.
    fn may_read(&mut self) -> bool {
        if self.clients > 0 || !self.waits.is_empty() {
            self.idle_looks = 0;
            return true;
        }
        self.idle_looks = self.idle_looks.saturating_add(1);
        if self.idle_looks > IDLE_LOOKS {
            self.is_awake = false;
        }
        self.is_awake
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Adds events to the tail and ends the waits that they are about.
    async fn announce(&self, page: EventPage) -> Result<(), StoreError> {
        // The watches are read first: if that fails, the events are read again.
        let awaited = self.awaited(&page);
        let ended = if awaited.is_empty() {
            Vec::new()
        } else {
            self.store.watches_by_id(awaited).await?
        };
        let mut state = self.state();
        for watch in ended {
            state.waits.count_end(&Arc::new(watch));
        }
        for event in page.events {
            if let Some(watch) = event.watch_id {
                // A wait that began after the watches were read is over, too; its client reads.
                state.waits.end_waits(watch, is_end(&event));
            }
            state.tail.push(Arc::new(event));
        }
        drop(state);
        self.news.send_replace(());
        Ok(())
    }

    /// Returns the watches of a page that have ended and for whose end a client waits.
    fn awaited(&self, page: &EventPage) -> Vec<WatchId> {
        let state = self.state();
        let ends = page.events.iter().filter(|event| is_end(event));
        let watches = ends.filter_map(|event| event.watch_id);
        watches
            .filter(|watch| state.waits.is_end_awaited(*watch))
            .collect()
    }
}

fn is_end(event: &LoggedEvent) -> bool {
    let kind = EventKind::from_type_name(&event.type_name);
    matches!(kind, Some(EventKind::Finished(_)))
}
