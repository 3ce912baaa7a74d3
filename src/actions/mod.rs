//! The operations on watches and deliveries, one file each.
//!
//! The HTTP API, the command line and `[[watches]]` of the configuration all call these, so
//! that each checks the same rules and answers in the same words. An action that reports
//! success has committed (invariant 2).
//!
//! Actions see the poller and the courier only through [`Polling`] and [`Delivering`].

pub mod group;
pub mod hint;
pub(crate) mod json_request;
pub mod poll;
pub mod redrive;
pub mod stop;
pub mod submit;

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use rand::rngs::StdRng;

use crate::actions::hint::HintSources;
use crate::clock::SharedClock;
use crate::outbound::egress::Hosts;
use crate::service::Services;
use crate::sink::SinkStatus;
use crate::store::SharedStore;
use crate::wake::Wake;
use crate::watch::change::Composer;
use crate::watch::event::EventKind;
use crate::watch::{Progress, Watch, WatchId};

/// The part of the poller that actions use.
#[async_trait]
pub trait Polling: Send + Sync {
    /// Tries once to save the transitions that wait in memory for the store. Does nothing while
    /// another flush is under way.
    async fn flush(&self);

    /// Puts watches that were just accepted on the agenda.
    fn accept(&self, watches: &[&Watch]);

    /// Polls a watch no more, which has ended.
    fn forget(&self, id: WatchId);

    /// Makes the next poll of a watch due soon, within its budget: now, or a few seconds after the
    /// last answer. Returns false if the watch is not polled.
    fn poll_soon(&self, id: WatchId) -> bool;

    /// Makes the next poll of a watch due now, within its budget. Returns false if the watch is not
    /// polled.
    fn poll_now(&self, id: WatchId) -> bool;

    /// Returns the numbers of a watch since its last commit; `None` for a watch that is not
    /// polled.
    fn progress(&self, id: WatchId) -> Option<Progress>;
}

/// The part of the courier that actions use.
pub trait Delivering: Send + Sync {
    /// Returns the status of a sink; `None` if it is not configured.
    fn sink(&self, name: &str) -> Option<SinkStatus>;
}

/// The parts that actions work with.
pub struct Parts {
    /// The store of watches, events and deliveries.
    pub store: SharedStore,
    /// The services that jobs can be watched on.
    pub services: Services,
    /// Composes the events of accepted and ended watches.
    pub composer: Composer,
    /// The hosts that a `callback_url` may name; `None` where callbacks are off.
    pub callback_hosts: Option<Hosts>,
    /// The hints about jobs, for the services that take some.
    pub hints: HintSources,
    /// The clock, which a test may step.
    pub clock: SharedClock,
    /// Wakes the poller and the courier.
    pub wake: Wake,
    /// Wakes the worker that finishes groups.
    pub groups: Wake,
    /// The poller, for decisions and numbers that the store does not have yet.
    pub poller: Arc<dyn Polling>,
    /// The courier, for the status of sinks.
    pub courier: Arc<dyn Delivering>,
}

/// Carries out operations; see the module.
pub struct Actions {
    parts: Parts,
    rng: Mutex<StdRng>,
}

impl Actions {
    /// Makes actions on these parts; `rng` gives the random part of watch ids.
    pub fn new(parts: Parts, rng: StdRng) -> Self {
        Self {
            parts,
            rng: Mutex::new(rng),
        }
    }

    /// Returns the names of the sinks that receive an event of `kind` on this watch.
    pub fn receivers(&self, watch: &Watch, kind: EventKind) -> Vec<String> {
        let owed = self.parts.composer.subscriptions().owed(watch, kind);
        owed.into_iter().map(|owed| owed.sink).collect()
    }
}
