//! The receivers behind the sinks: they fail, are slow, take an event and do not say so, or
//! want none any more. Each keeps a book of what it took.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use jobwatch::sink::{Attempt, AttemptResult, Sink};
use jobwatch::watch::delivery::Delivery;
use uuid::Uuid;

use crate::simulation::plan::{SINK_TIMEOUT, SinkFault};
use crate::simulation::world::World;

/// What one receiver saw.
#[derive(Debug, Clone, Default)]
pub(super) struct Book {
    /// How often each event was taken.
    pub(super) taken: BTreeMap<Uuid, usize>,
    /// How often each was tried.
    pub(super) tried: BTreeMap<Uuid, usize>,
    /// Takings that the sender cannot know of.
    pub(super) untold: usize,
    under_way: BTreeSet<Uuid>,
    in_flight: usize,
    gone_at: Option<Duration>,
    quiet_until: BTreeMap<Uuid, Duration>,
}

impl Book {
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
    /// An attempt begins: may it?
    fn admit(&self, delivery: &Delivery) {
        let plan = &self.world.plan;
        let is_stored = {
            let rows = self.world.memory.rows();
            let stored = rows.event(delivery.event_id);
            stored.is_some_and(|logged| logged.event.body == delivery.body)
        };
        let uptime = self.world.uptime();
        let mut wrongs = Vec::new();
        let mut state = self.world.state();
        let book = &mut state.books[self.index];
        *book.tried.entry(delivery.event_id).or_default() += 1;
        book.in_flight += 1;
        if !is_stored {
            wrongs.push(("3", "an event was sent that is not stored as it was sent"));
        }
        if !book.under_way.insert(delivery.event_id) {
            wrongs.push(("the lease", "an event is sent twice at the same time"));
        }
        if book.in_flight > plan.sink_concurrency {
            wrongs.push(("10", "more attempts at once than the sink allows"));
        }
        if book.gone_at.is_some_and(|at| at < uptime) {
            wrongs.push(("410", "a sink was disabled, and was sent an event"));
        }
        let quiet = book.quiet_until.get(&delivery.event_id);
        if quiet.is_some_and(|until| uptime < *until) && plan.is_orderly() {
            wrongs.push(("Retry-After of a sink", "an event was sent too early"));
        }
        drop(state);
        for (invariant, what) in wrongs {
            let id = delivery.event_id;
            self.world
                .wrong(invariant, &format!("{what}: {id} at {uptime:?}"));
        }
    }

    async fn receive(&self, delivery: &Delivery) -> AttemptResult {
        let failed = |reason: &str, wish: Option<u64>| AttemptResult::Failed {
            reason: reason.to_owned(),
            retry_after: wish.map(Duration::from_secs),
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
            Some(SinkFault::Wish(wish)) => failed("503", Some(wish)),
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

    fn take(&self, delivery: &Delivery, untold: usize) {
        let mut state = self.world.state();
        let book = &mut state.books[self.index];
        *book.taken.entry(delivery.event_id).or_default() += 1;
        book.untold += untold;
    }

    fn close(&self, delivery: &Delivery, verdict: &AttemptResult) {
        let uptime = self.world.uptime();
        let mut state = self.world.state();
        let book = &mut state.books[self.index];
        book.under_way.remove(&delivery.event_id);
        match verdict {
            AttemptResult::Failed {
                retry_after: Some(wish),
                ..
            } => {
                book.quiet_until.insert(delivery.event_id, uptime + *wish);
            }
            AttemptResult::ReceiverGone => {
                book.gone_at.get_or_insert(uptime);
            }
            _ => {}
        }
    }
}

/// An attempt ends, be it because nobody waits for it any more.
struct UnderWay<'a>(&'a Receiver, Uuid);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut state = self.0.world.state();
        let book = &mut state.books[self.0.index];
        book.in_flight -= 1;
        book.under_way.remove(&self.1);
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
