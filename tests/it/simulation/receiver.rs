//! The receivers behind the sinks: they fail, are slow, accept an event without a reply, or
//! answer 410. Each keeps a ledger of its events.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use jobwatch::sink::{Attempt, AttemptResult, Sink};
use jobwatch::watch::delivery::Delivery;
use uuid::Uuid;

use crate::simulation::plan::{SINK_TIMEOUT, SinkFault};
use crate::simulation::world::World;

/// The attempts at one receiver.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    /// The number of accepted attempts, by event.
    pub(super) taken: BTreeMap<Uuid, usize>,
    /// The number of attempts, by event.
    pub(super) tried: BTreeMap<Uuid, usize>,
    /// The number of accepted attempts without a reply.
    pub(super) unconfirmed: usize,
    under_way: BTreeSet<Uuid>,
    in_flight: usize,
    gone_at: Option<Duration>,
    quiet_until: BTreeMap<Uuid, Duration>,
}

impl Ledger {
    pub(super) fn begin_life(&mut self) {
        self.under_way.clear();
        self.in_flight = 0;
        self.gone_at = None;
        self.quiet_until.clear();
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone_at.is_some()
    }
}

/// One sink.
pub(super) struct Receiver {
    pub(super) world: World,
    pub(super) index: usize,
}

impl Receiver {
    /// Records the begin of an attempt and checks that it is allowed.
    fn admit(&self, delivery: &Delivery) {
        let plan = &self.world.plan;
        let is_stored = {
            let rows = self.world.memory.rows();
            let stored = rows.event(delivery.event_id);
            stored.is_some_and(|logged| logged.event.body == delivery.body)
        };
        let uptime = self.world.uptime();
        let mut violations = Vec::new();
        let mut state = self.world.state();
        let ledger = &mut state.ledgers[self.index];
        *ledger.tried.entry(delivery.event_id).or_default() += 1;
        ledger.in_flight += 1;
        if !is_stored {
            violations.push(("3", "the stored event differs from the sent event"));
        }
        if !ledger.under_way.insert(delivery.event_id) {
            violations.push(("the lease", "an event is sent twice at the same time"));
        }
        if ledger.in_flight > plan.sink_concurrency {
            violations.push(("10", "more attempts at once than the sink allows"));
        }
        if ledger.gone_at.is_some_and(|at| at < uptime) {
            violations.push(("410", "an event was sent to a disabled sink"));
        }
        let quiet = ledger.quiet_until.get(&delivery.event_id);
        if quiet.is_some_and(|until| uptime < *until) && plan.is_orderly() {
            violations.push(("Retry-After of a sink", "an event was sent too early"));
        }
        drop(state);
        for (invariant, what) in violations {
            let id = delivery.event_id;
            self.world
                .violated(invariant, &format!("{what}: {id} at {uptime:?}"));
        }
    }

    async fn receive(&self, delivery: &Delivery) -> AttemptResult {
        let failed = |reason: &str, retry_after: Option<u64>| AttemptResult::Failed {
            reason: reason.to_owned(),
            retry_after: retry_after.map(Duration::from_secs),
        };
        let fault = self.world.draw(&self.world.plan.sinks[self.index]);
        let is_dead = self.world.plan.dead_sink == Some(self.index);
        let fault = fault.or(is_dead.then_some(SinkFault::Fails));
        self.world.lasts(self.world.millis(500)).await;
        match fault {
            None => {
                self.take(delivery, 0);
                AttemptResult::Delivered
            }
            Some(SinkFault::Fails) => failed("500", None),
            Some(SinkFault::RetryAfter(retry_after)) => failed("503", Some(retry_after)),
            Some(SinkFault::TakesAndHangs) => {
                self.take(delivery, 1);
                self.world.lasts(SINK_TIMEOUT).await;
                failed("timed out", None)
            }
            Some(SinkFault::Hangs) => {
                self.world.lasts(SINK_TIMEOUT).await;
                failed("timed out", None)
            }
            Some(SinkFault::Gone) => AttemptResult::ReceiverGone,
        }
    }

    fn take(&self, delivery: &Delivery, unconfirmed: usize) {
        let mut state = self.world.state();
        let ledger = &mut state.ledgers[self.index];
        *ledger.taken.entry(delivery.event_id).or_default() += 1;
        ledger.unconfirmed += unconfirmed;
    }

    fn close(&self, delivery: &Delivery, verdict: &AttemptResult) {
        let uptime = self.world.uptime();
        let mut state = self.world.state();
        let ledger = &mut state.ledgers[self.index];
        ledger.under_way.remove(&delivery.event_id);
        match verdict {
            AttemptResult::Failed {
                retry_after: Some(retry_after),
                ..
            } => {
                ledger
                    .quiet_until
                    .insert(delivery.event_id, uptime + *retry_after);
            }
            AttemptResult::ReceiverGone => {
                ledger.gone_at.get_or_insert(uptime);
            }
            _ => {}
        }
    }
}

/// An attempt that is under way; it ends when this is dropped.
struct UnderWay<'a>(&'a Receiver, Uuid);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut state = self.0.world.state();
        let ledger = &mut state.ledgers[self.0.index];
        ledger.in_flight -= 1;
        ledger.under_way.remove(&self.1);
    }
}

#[async_trait]
impl Sink for Receiver {
    fn kind(&self) -> &'static str {
        "model"
    }

    fn concurrency(&self) -> usize {
        self.world.plan.sink_concurrency
    }

    async fn deliver(&self, delivery: &Delivery, _now: Timestamp) -> Attempt {
        self.world.step().await;
        self.admit(delivery);
        let under_way = UnderWay(self, delivery.event_id);
        let verdict = self.receive(delivery).await;
        self.world.step().await;
        drop(under_way);
        self.close(delivery, &verdict);
        self.world
            .note(|| format!("sink {}: {} {verdict:?}", self.index, delivery.event_id));
        Attempt::of(verdict)
    }
}
