//! Sends the deliveries that are owed, with one loop for each sink, so that a slow sink delays
//! no other.
//!
//! The store keeps the deliveries. Each is claimed, attempted and settled; if the process dies
//! in between, it is claimed and sent again under the same event id (invariant 4). The store
//! decides by its own time which deliveries are due, so setting the wall clock moves no retry.

mod attempt;
mod batch;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actions::Delivering;
use crate::clock::{Moment, SharedClock};
use crate::metrics::Metrics;
use crate::sink::{ATTEMPT_MAX, Attempt, AttemptResult, SharedSink, SinkStatus, retry};
use crate::store::{AttemptRecord, Claimed, Outbox, Settlement, StoreError};
use crate::wake::{Wake, woken_within};
use crate::workers::courier::attempt::{Begun, Ended, Round, beginning};

/// The duration of a claim on a delivery.
const LEASE: Duration = Duration::from_mins(1);
const _: () = assert!(
    ATTEMPT_MAX.as_millis() < LEASE.as_millis(),
    "a lease lasts longer than the longest attempt and its record"
);
/// The longest sleep of a loop before it reads the store again.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// The interval at which a loop claims retries while attempts are under way. New deliveries
/// wake it at once.
const CLAIM_EVERY: Duration = Duration::from_secs(1);
/// How long ended attempts wait for others, to be recorded in one transaction. If the process
/// dies in this time, their events are sent again.
const GATHER: Duration = Duration::from_millis(20);
/// The pause of a loop after one failure of the store, and the longest pause.
const STORE_PAUSE: Duration = Duration::from_secs(1);
const STORE_PAUSE_MAX: Duration = Duration::from_secs(15);

/// The parts from which a courier is made.
pub struct Parts {
    pub store: Arc<dyn Outbox>,
    /// The sinks by the name that deliveries in the store carry.
    pub sinks: BTreeMap<String, SharedSink>,
    pub clock: SharedClock,
    /// Seeds a generator for the jitter of each sink.
    pub rng: StdRng,
    pub metrics: Arc<Metrics>,
}

/// Delivers events to all sinks. Clones share the same loops.
#[derive(Clone)]
pub struct Courier {
    queues: Vec<Arc<SinkQueue>>,
    wake: Wake,
}

/// The deliveries to one sink.
struct SinkQueue {
    name: String,
    sink: SharedSink,
    store: Arc<dyn Outbox>,
    clock: SharedClock,
    rng: Mutex<StdRng>,
    woken: Arc<Notify>,
    metrics: Arc<Metrics>,
    /// The time of the answer 410; nothing is sent from then until a restart.
    gone_since: Mutex<Option<Timestamp>>,
    /// Attempts that could not be recorded. Nothing is sent until they are, so their number is
    /// at most that of concurrent attempts.
    unrecorded: Mutex<Vec<Ended>>,
}

impl Courier {
    /// Makes a courier with one loop for each sink.
    pub fn new(mut parts: Parts) -> Self {
        let mut wake = Wake::default();
        let mut queues = Vec::new();
        for (name, sink) in parts.sinks {
            let (one, woken) = Wake::new();
            wake.join(one);
            queues.push(Arc::new(SinkQueue {
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
        Self { queues, wake }
    }

    /// Returns a handle that wakes the loops of all sinks.
    pub fn wake_handle(&self) -> Wake {
        self.wake.clone()
    }

    /// Returns the status of each sink, sorted by name.
    pub fn sinks(&self) -> impl Iterator<Item = SinkStatus> + '_ {
        self.queues.iter().map(|queue| SinkStatus {
            name: queue.name.clone(),
            kind: queue.sink.kind(),
            gone_since: queue.gone_since(),
        })
    }

    /// Attempts every delivery that is due now, to every sink. Returns the number of attempts.
    ///
    /// # Errors
    /// The store failed.
    pub async fn run_once(&self) -> Result<usize, StoreError> {
        let mut attempts = 0;
        for queue in &self.queues {
            let stop = CancellationToken::new();
            attempts += queue.deliver_due(&stop, Duration::ZERO).await?;
        }
        Ok(attempts)
    }

    /// Delivers until `stop`. Each sink has its own task in `tracker`.
    pub fn run(&self, stop: &CancellationToken, tracker: &TaskTracker) {
        for queue in &self.queues {
            tracker.spawn(Arc::clone(queue).run(stop.clone()));
        }
    }
}

impl Delivering for Courier {
    fn sink(&self, name: &str) -> Option<SinkStatus> {
        self.sinks().find(|status| status.name == name)
    }
}

impl SinkQueue {
    async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut failures = 0;
        while !stop.is_cancelled() {
            let pause = match self.deliver_due(&stop, GATHER).await {
                Ok(_) => {
                    failures = 0;
                    self.pause().await
                }
                Err(error) => {
                    let error = anyhow::Error::from(error);
                    tracing::error!(
                        sink = self.name,
                        error = format!("{error:#}"),
                        "the store failed; deliveries to this sink wait until it works again"
                    );
                    failures += 1;
                    store_pause(failures)
                }
            };
            stop.run_until_cancelled(woken_within(pause, &self.woken))
                .await;
        }
    }

    /// Attempts the deliveries that are due, a limited number at once, until none is due or
    /// `stop`. Returns the number of attempts. Those that end within the time `gather` are recorded
    /// in one transaction.
    ///
    /// A delivery is claimed only if it can be attempted at once: if it waited here, its lease
    /// could end and it would be sent twice. Deliveries that become due meanwhile take free
    /// places, so a receiver that does not answer one event delays no other event. If the store
    /// fails, running attempts continue, and their records wait until the store works again.
    async fn deliver_due(
        self: &Arc<Self>,
        stop: &CancellationToken,
        gather: Duration,
    ) -> Result<usize, StoreError> {
        self.record(Vec::new()).await?;
        if self.sink.as_batch_sink().is_some() {
            return self.deliver_batches(stop, gather).await;
        }
        let mut round = Round::default();
        let mut window = pin!(sleep(gather));
        loop {
            self.fill(&mut round, stop).await;
            if round.is_over() {
                return round.failure.map_or(Ok(round.attempts), Err);
            }
            let claims_more = self.has_room(&round) && self.is_wanted(stop);
            tokio::select! {
                biased;
                Some(ended) = round.under_way.next() => {
                    if round.ended.is_empty() {
                        window.set(sleep(gather));
                    }
                    round.note(ended);
                }
                () = window.as_mut(), if !round.ended.is_empty() => self.record_of(&mut round).await,
                () = stop.cancelled(), if !round.ended.is_empty() => self.record_of(&mut round).await,
                () = woken_within(CLAIM_EVERY, &self.woken), if claims_more => round.is_drained = false,
            }
        }
    }

    /// True if another attempt may begin.
    fn has_room(&self, round: &Round) -> bool {
        round.failure.is_none() && round.under_way.tasks.len() < self.sink.concurrency()
    }

    /// Claims deliveries for the free places and starts their attempts. The next wake says that
    /// there may be more.
    async fn fill(self: &Arc<Self>, round: &mut Round, stop: &CancellationToken) {
        if round.is_drained || !self.has_room(round) || !self.is_wanted(stop) {
            return;
        }
        let free = self.sink.concurrency() - round.under_way.tasks.len();
        match self.store.claim_deliveries(&self.name, LEASE, free).await {
            Ok(claimed) => {
                round.is_drained = claimed.len() < free;
                // The receiver may have answered 410 during the claim; the deliveries stay pending.
                if self.is_wanted(stop) {
                    for one in claimed {
                        let attempt = Arc::clone(self).attempt(one.clone());
                        round.under_way.start(one.id, attempt);
                    }
                }
            }
            Err(error) => round.failure = Some(error),
        }
    }

    async fn record_of(&self, round: &mut Round) {
        let ended = std::mem::take(&mut round.ended);
        if let Err(error) = self.record(ended).await {
            round.failure = Some(error);
        }
    }

    fn is_wanted(&self, stop: &CancellationToken) -> bool {
        !stop.is_cancelled() && self.gone_since().is_none()
    }

    /// Records these attempts and those that could not be recorded before.
    async fn record(&self, ended: Vec<Ended>) -> Result<(), StoreError> {
        let mut all = std::mem::take(&mut *self.unrecorded.lock());
        all.extend(ended);
        if all.is_empty() {
            return Ok(());
        }
        let uptime = self.clock.uptime();
        let records = all.iter().map(|ended| ended.record_at(uptime)).collect();
        let recorded = self.store.settle(records).await;
        if recorded.is_err() {
            *self.unrecorded.lock() = all;
        }
        recorded
    }

    async fn attempt(self: Arc<Self>, claimed: Claimed) -> Ended {
        let begun = self.clock.moment();
        let attempt = self.sink.deliver(&claimed.delivery, begun.at).await;
        let ended = self.ended(&Begun::of(&claimed), attempt, begun);
        self.report(std::slice::from_ref(&ended));
        ended
    }

    /// Judges an attempt that began at `begun` and has just ended.
    fn ended(&self, about: &Begun, attempt: Attempt, begun: Moment) -> Ended {
        let uptime = self.clock.uptime();
        let number = about.number;
        let http_status = attempt.http_status;
        let (settlement, error, result) = self.judge(attempt.result, number);
        self.metrics.attempted(&self.name, result);
        let record = AttemptRecord {
            delivery: about.delivery,
            schedule_attempt: number,
            settlement,
            at: begun.at,
            took: uptime.saturating_sub(begun.uptime),
            http_status,
            error,
            answer: attempt.answer.map(beginning),
        };
        Ended {
            at: uptime,
            event: about.event,
            record,
        }
    }

    /// Warns of the failures among attempts that ended together, in one line.
    fn report(&self, ended: &[Ended]) {
        let mut failed = ended.iter().filter(|one| one.record.error.is_some());
        let Some(first) = failed.next() else { return };
        let record = &first.record;
        let others = failed.count();
        tracing::warn!(
            sink = self.name, event_id = %first.event, attempt = record.schedule_attempt,
            http_status = record.http_status, error = record.error,
            dead = record.settlement == Settlement::Dead,
            others = (others > 0).then_some(others), "a delivery failed"
        );
    }

    /// Returns the settlement of attempt `number` of a schedule, the reason if it failed, and
    /// the word for its result in metrics.
    fn judge(
        &self,
        result: AttemptResult,
        number: u32,
    ) -> (Settlement, Option<String>, &'static str) {
        match result {
            AttemptResult::Delivered => (Settlement::Delivered, None, "delivered"),
            AttemptResult::Failed {
                reason,
                retry_after,
            } => {
                let mut rng = self.rng.lock();
                match retry::delay(number, retry_after, &mut *rng) {
                    Some(delay) => (Settlement::RetryAfter(delay), Some(reason), "failed"),
                    None => (Settlement::Dead, Some(reason), "dead"),
                }
            }
            AttemptResult::Never { reason } => (Settlement::Dead, Some(reason), "dead"),
            AttemptResult::ReceiverGone => {
                self.close_down();
                let reason = "the receiver is gone (410)".to_owned();
                (Settlement::ReceiverGone, Some(reason), "gone")
            }
        }
    }

    fn close_down(&self) {
        let mut gone_since = self.gone_since.lock();
        if gone_since.is_none() {
            *gone_since = Some(self.clock.now());
            self.metrics.sink_is_gone(&self.name);
            tracing::error!(
                sink = self.name,
                "the receiver answered 410 Gone: nothing is sent to this sink until jobwatch is restarted; its deliveries are kept"
            );
        }
    }

    fn gone_since(&self) -> Option<Timestamp> {
        *self.gone_since.lock()
    }

    /// Returns the time until the next delivery is due, within limits.
    async fn pause(&self) -> Duration {
        match self.store.next_delivery_due(&self.name).await {
            Ok(Some(after)) if self.gone_since().is_none() => after.min(SLEEP_MAX),
            Ok(_) => SLEEP_MAX,
            Err(_) => STORE_PAUSE,
        }
    }
}

/// Returns a pause that grows with each failure in a row, so that a disk that is full for a day
/// does not fill the log.
fn store_pause(failures: u32) -> Duration {
    STORE_PAUSE
        .saturating_mul(1 << failures.saturating_sub(1).min(8))
        .min(STORE_PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_asked_less_and_less_often() {
        let secs: Vec<u64> = (1..=6).map(|n| store_pause(n).as_secs()).collect();
        assert_eq!(secs, [1, 2, 4, 8, 15, 15]);
    }
}
