//! Delivers what is owed: one loop for each sink, so that a slow sink delays no other.
//!
//! What is owed stands in the store. A delivery is claimed, attempted, and settled; when
//! the process dies in between, it is claimed again and sent again under the same event
//! id (invariant 4).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actions::Delivering;
use crate::clock::{SharedClock, later, until};
use crate::metrics::Metrics;
use crate::sink::{ANSWER_BYTES_MAX, AttemptResult, Parcel, SharedSink, SinkStatus, retry};
use crate::store::{AttemptRecord, Delivery, Settlement, SharedStore, StoreError};
use crate::wake::{Wake, woken_within};

/// How long a claimed delivery is left to its claimant: longer than any attempt takes.
const LEASE: Duration = Duration::from_mins(1);
/// The longest a loop sleeps without looking.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// How often a loop looks for what is due again while attempts are under way; what is new
/// wakes it.
const LOOK: Duration = Duration::from_secs(1);
/// How long a loop waits after the store failed once, and at most.
const STORE_PAUSE: Duration = Duration::from_secs(1);
const STORE_PAUSE_MAX: Duration = Duration::from_secs(15);

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
    /// What is counted.
    pub metrics: Arc<Metrics>,
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
    metrics: Arc<Metrics>,
    /// Since when the receiver is gone (410): nothing is sent until the configuration is
    /// read again.
    gone_since: Mutex<Option<Timestamp>>,
    /// Attempts that were made and could not be recorded. Nothing more is sent before
    /// they are, so they are no more than run at once.
    unrecorded: Mutex<Vec<AttemptRecord>>,
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
                metrics: Arc::clone(&parts.metrics),
                gone_since: Mutex::default(),
                unrecorded: Mutex::default(),
            }));
        }
        Self { rounds, wake }
    }

    /// Wakes the loops of all sinks.
    pub fn wake_handle(&self) -> Wake {
        self.wake.clone()
    }

    /// The sinks, by name.
    pub fn sinks(&self) -> impl Iterator<Item = SinkStatus> + '_ {
        self.rounds.iter().map(|round| SinkStatus {
            name: round.name.clone(),
            kind: round.sink.kind(),
            gone_since: round.gone_since(),
        })
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

impl Delivering for Courier {
    fn sink(&self, name: &str) -> Option<SinkStatus> {
        self.sinks().find(|status| status.name == name)
    }
}

impl Round {
    async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut failures = 0;
        while !stop.is_cancelled() {
            let pause = match self.deliver_due(&stop).await {
                Ok(_) => {
                    failures = 0;
                    self.pause().await
                }
                Err(error) => {
                    let error = anyhow::Error::from(error);
                    tracing::error!(
                        sink = self.name,
                        error = format!("{error:#}"),
                        "cannot work through what is owed; nothing is sent before the store returns"
                    );
                    failures += 1;
                    store_pause(failures)
                }
            };
            stop.run_until_cancelled(woken_within(pause, &self.woken))
                .await;
        }
    }

    /// Attempts what is due, a bounded number at a time, until nothing is due or `stop`.
    ///
    /// No more is claimed than can be attempted at once: what waited here for its turn
    /// could outlive its lease and be sent twice. What comes due meanwhile takes the places
    /// that are free: an event that its receiver swallows holds up no other. When the store
    /// fails, what is under way is not broken off: its records wait until the store returns.
    async fn deliver_due(self: &Arc<Self>, stop: &CancellationToken) -> Result<usize, StoreError> {
        self.record(Vec::new()).await?;
        let mut under_way = JoinSet::new();
        let mut ids = BTreeSet::new();
        let mut attempts = 0;
        let mut trouble = None;
        loop {
            let is_wanted = || !stop.is_cancelled() && self.gone_since().is_none();
            let is_open = trouble.is_none() && is_wanted();
            let free = self.sink.concurrency().saturating_sub(under_way.len());
            if free > 0 && is_open {
                match self.claim(free).await {
                    // The receiver went while they were claimed: they are owed as before.
                    Ok(_) if !is_wanted() => {}
                    Ok(claimed) => {
                        for delivery in claimed {
                            // One that outlasts its lease is still under way.
                            if ids.insert(delivery.id) {
                                under_way.spawn(Arc::clone(self).attempt(delivery));
                            }
                        }
                    }
                    Err(error) => trouble = Some(error),
                }
            }
            let has_room = under_way.len() < self.sink.concurrency();
            let ended = tokio::select! {
                biased;
                ended = under_way.join_next() => ended,
                () = woken_within(LOOK, &self.woken), if has_room && is_open => continue,
            };
            let Some(first) = ended else {
                return trouble.map_or(Ok(attempts), Err);
            };
            let mut records: Vec<AttemptRecord> = first.into_iter().collect();
            while let Some(other) = under_way.try_join_next() {
                records.extend(other);
            }
            for record in &records {
                ids.remove(&record.delivery);
            }
            attempts += records.len();
            if let Err(error) = self.record(records).await {
                trouble = Some(error);
            }
        }
    }

    /// Records attempts, and first those that could not be before.
    async fn record(&self, records: Vec<AttemptRecord>) -> Result<(), StoreError> {
        let mut all = std::mem::take(&mut *self.unrecorded());
        all.extend(records);
        if all.is_empty() {
            return Ok(());
        }
        let recorded = self.store.settle(all.clone()).await;
        if recorded.is_err() {
            *self.unrecorded() = all;
        }
        recorded
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
        let at = self.clock.now();
        let began = self.clock.uptime();
        let attempt = self.sink.deliver(&parcel, at).await;
        let took = self.clock.uptime().saturating_sub(began);
        let made = delivery.attempts.saturating_add(1);
        let http_status = attempt.http_status;
        let (settlement, error, result) = match attempt.result {
            AttemptResult::Delivered => (Settlement::Delivered, None, "delivered"),
            AttemptResult::Failed {
                reason,
                retry_after,
            } => match self.after_failure(made, retry_after) {
                Settlement::Dead => (Settlement::Dead, Some(reason), "dead"),
                again => (again, Some(reason), "failed"),
            },
            AttemptResult::Never { reason } => (Settlement::Dead, Some(reason), "dead"),
            AttemptResult::ReceiverGone => {
                self.close_down();
                let reason = "the receiver is gone (410)".to_owned();
                (Settlement::ReceiverGone, Some(reason), "gone")
            }
        };
        self.metrics.attempted(&self.name, result);
        if let Some(error) = &error {
            tracing::warn!(
                sink = self.name, event_id = %parcel.event_id, attempt = made, http_status, error,
                dead = settlement == Settlement::Dead, "a delivery failed"
            );
        }
        AttemptRecord {
            delivery: delivery.id,
            number: made,
            settlement,
            at,
            took,
            http_status,
            error,
            answer: attempt.answer.map(beginning),
        }
    }

    fn after_failure(&self, made: u32, retry_after: Option<Duration>) -> Settlement {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        match retry::delay(made, retry_after, &mut *rng) {
            Some(delay) => Settlement::RetryAt(later(self.clock.now(), delay)),
            None => Settlement::Dead,
        }
    }

    fn close_down(&self) {
        let mut gone_since = self
            .gone_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if gone_since.is_none() {
            *gone_since = Some(self.clock.now());
            self.metrics.sink_is_gone(&self.name);
            tracing::error!(
                sink = self.name,
                "the receiver answered 410 Gone: nothing is sent to this sink until jobwatch is restarted; what it is owed is kept"
            );
        }
    }

    fn gone_since(&self) -> Option<Timestamp> {
        *self
            .gone_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn unrecorded(&self) -> MutexGuard<'_, Vec<AttemptRecord>> {
        self.unrecorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How long nothing is due.
    async fn pause(&self) -> Duration {
        match self.store.next_delivery_due(&self.name).await {
            Ok(Some(due)) if self.gone_since().is_none() => {
                until(self.clock.now(), due).min(SLEEP_MAX)
            }
            Ok(_) => SLEEP_MAX,
            Err(_) => STORE_PAUSE,
        }
    }
}

/// Longer with each failure in a row, so that a disk that is full for a day is not told of
/// every second.
fn store_pause(failures: u32) -> Duration {
    STORE_PAUSE
        .saturating_mul(1 << failures.saturating_sub(1).min(8))
        .min(STORE_PAUSE_MAX)
}

/// As much of an answer as is kept.
fn beginning(mut answer: String) -> String {
    answer.truncate(answer.floor_char_boundary(ANSWER_BYTES_MAX));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_up_to_a_whole_character() {
        let kept = beginning("é".repeat(ANSWER_BYTES_MAX));
        assert_eq!(kept.len(), ANSWER_BYTES_MAX);
        let kept = beginning(format!("x{}", "é".repeat(ANSWER_BYTES_MAX)));
        assert_eq!(kept.len(), ANSWER_BYTES_MAX - 1);
    }

    #[test]
    fn the_store_is_asked_less_and_less_often() {
        let secs: Vec<u64> = (1..=6).map(|n| store_pause(n).as_secs()).collect();
        assert_eq!(secs, [1, 2, 4, 8, 15, 15]);
    }
}
