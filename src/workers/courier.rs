//! Delivers what is owed: one loop for each sink, so that a slow sink delays no other.
//!
//! What is owed stands in the store. A delivery is claimed, attempted, and settled; when
//! the process dies in between, it is claimed again and sent again under the same event
//! id (invariant 4).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::SharedClock;
use crate::clock::later;
use crate::clock::until;
use crate::sink::Parcel;
use crate::sink::SharedSink;
use crate::sink::Verdict;
use crate::sink::retry;
use crate::store::AttemptRecord;
use crate::store::Delivery;
use crate::store::Settlement;
use crate::store::SharedStore;
use crate::store::StoreError;
use crate::wake::Wake;
use crate::wake::woken_within;

/// How long a claimed delivery is left to its claimant: longer than any attempt takes.
const LEASE: Duration = Duration::from_mins(1);
/// The longest a loop sleeps without looking.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// How long a loop waits after the store failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What a courier works with.
pub struct Parts {
    /// Where deliveries are kept.
    pub store: SharedStore,
    /// The sinks, by name.
    pub sinks: BTreeMap<String, SharedSink>,
    /// The time.
    pub clock: SharedClock,
    /// The source of jitter; each sink gets its own generator from it.
    pub rng: StdRng,
}

/// Delivers events to all sinks. Clones share the same loops.
#[derive(Clone)]
pub struct Courier {
    rounds: Vec<Arc<Round>>,
    wake: Wake,
}

/// The deliveries to one sink.
struct Round {
    name: String,
    sink: SharedSink,
    store: SharedStore,
    clock: SharedClock,
    rng: Mutex<StdRng>,
    woken: Arc<Notify>,
    /// The receiver said 410: nothing is sent until the configuration is read again.
    gone: AtomicBool,
}

impl Courier {
    /// A courier for these sinks.
    pub fn new(mut parts: Parts) -> Self {
        let mut wake = Wake::default();
        let mut rounds = Vec::new();
        for (name, sink) in parts.sinks {
            let (one, woken) = Wake::new();
            wake.join(one);
            rounds.push(Arc::new(Round {
                name,
                sink,
                store: Arc::clone(&parts.store),
                clock: Arc::clone(&parts.clock),
                rng: Mutex::new(StdRng::from_rng(&mut parts.rng)),
                woken,
                gone: AtomicBool::new(false),
            }));
        }
        Self { rounds, wake }
    }

    /// Wakes the loops of all sinks.
    pub fn wake_handle(&self) -> Wake {
        self.wake.clone()
    }

    /// Attempts everything that is due now, for every sink; tells how many attempts.
    ///
    /// # Errors
    /// The store failed.
    pub async fn run_once(&self) -> Result<usize, StoreError> {
        let mut attempts = 0;
        for round in &self.rounds {
            attempts += round.deliver_due(&CancellationToken::new()).await?;
        }
        Ok(attempts)
    }

    /// Delivers until `stop`; each sink has its own loop in `tracker`.
    pub fn run(&self, stop: &CancellationToken, tracker: &TaskTracker) {
        for round in &self.rounds {
            tracker.spawn(Arc::clone(round).run(stop.clone()));
        }
    }
}

impl Round {
    async fn run(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = match self.deliver_due(&stop).await {
                Ok(_) => self.pause().await,
                Err(error) => {
                    let error = anyhow::Error::from(error);
                    tracing::error!(
                        sink = self.name,
                        error = format!("{error:#}"),
                        "cannot work through what is owed"
                    );
                    STORE_PAUSE
                }
            };
            stop.run_until_cancelled(woken_within(pause, &self.woken))
                .await;
        }
    }

    /// Attempts what is due, a bounded number at a time, until nothing is due or `stop`.
    ///
    /// No more is claimed than can be attempted at once: what waited here for its turn
    /// could outlive its lease and be sent twice.
    async fn deliver_due(self: &Arc<Self>, stop: &CancellationToken) -> Result<usize, StoreError> {
        let mut under_way = JoinSet::new();
        let mut attempts = 0;
        loop {
            let free = self.sink.concurrency().saturating_sub(under_way.len());
            if free > 0 && !stop.is_cancelled() && !self.gone.load(Ordering::Relaxed) {
                for delivery in self.claim(free).await? {
                    under_way.spawn(Arc::clone(self).attempt(delivery));
                }
            }
            let Some(first) = under_way.join_next().await else {
                return Ok(attempts);
            };
            let mut records: Vec<AttemptRecord> = first.into_iter().collect();
            while let Some(other) = under_way.try_join_next() {
                records.extend(other);
            }
            attempts += records.len();
            self.store.settle(records).await?;
        }
    }

    async fn claim(&self, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        let now = self.clock.now();
        self.store
            .claim_deliveries(&self.name, now, later(now, LEASE), limit)
            .await
    }

    async fn attempt(self: Arc<Self>, delivery: Delivery) -> AttemptRecord {
        let parcel = Parcel {
            event_id: delivery.event_id,
            type_name: delivery.type_name,
            body: delivery.body,
            to: delivery.callback_url,
        };
        let attempt = self.sink.deliver(&parcel, self.clock.now()).await;
        let now = self.clock.now();
        let made = delivery.attempts.saturating_add(1);
        let http_status = attempt.http_status;
        let (settlement, error) = match attempt.verdict {
            Verdict::Delivered => (Settlement::Delivered, None),
            Verdict::Failed {
                reason,
                retry_after,
            } => (self.after_failure(made, retry_after), Some(reason)),
            Verdict::Never { reason } => (Settlement::Dead, Some(reason)),
            Verdict::Gone => {
                self.close_down();
                let reason = "the receiver is gone (410)".to_owned();
                (Settlement::Again(now), Some(reason))
            }
        };
        if let Some(error) = &error {
            tracing::warn!(
                sink = self.name, event_id = %parcel.event_id, attempt = made, http_status, error,
                dead = settlement == Settlement::Dead, "a delivery failed"
            );
        }
        AttemptRecord {
            delivery: delivery.id,
            settlement,
            at: now,
            http_status,
            error,
        }
    }

    fn after_failure(&self, made: u32, wish: Option<Duration>) -> Settlement {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        match retry::delay(made, wish, &mut *rng) {
            Some(delay) => Settlement::Again(later(self.clock.now(), delay)),
            None => Settlement::Dead,
        }
    }

    fn close_down(&self) {
        if !self.gone.swap(true, Ordering::Relaxed) {
            tracing::error!(
                sink = self.name,
                "the receiver answered 410 Gone: nothing is sent to this sink until jobwatch is restarted; what it is owed is kept"
            );
        }
    }

    /// How long nothing is due.
    async fn pause(&self) -> Duration {
        match self.store.next_delivery_due(&self.name).await {
            Ok(Some(due)) if !self.gone.load(Ordering::Relaxed) => {
                until(self.clock.now(), due).min(SLEEP_MAX)
            }
            Ok(_) => SLEEP_MAX,
            Err(_) => STORE_PAUSE,
        }
    }
}
