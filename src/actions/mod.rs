//! The operations on watches and deliveries, one file each.
//!
//! Every way in (HTTP API, command line, `[[watches]]` of the configuration) calls these, so
//! that each checks the same things and answers in the same words. An action that reports
//! success has committed (invariant 2).
//!
//! Actions see the poller and the courier only through [`Polling`] and [`Delivering`].

pub mod redrive;
pub mod stop;
pub mod submit;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rand::rngs::StdRng;

use crate::clock::SharedClock;
use crate::outbound::egress::Hosts;
use crate::service::Services;
use crate::sink::SinkStatus;
use crate::store::SharedStore;
use crate::wake::Wake;
use crate::watch::change::Composer;
use crate::watch::{Progress, WatchId};

/// The part of the poller that actions use.
#[async_trait]
pub trait Polling: Send + Sync {
    /// Saves the transitions that wait in memory for the store, once, unless that is under
    /// way already.
    async fn flush(&self);

    /// Returns the numbers of a watch that the store does not have yet; `None` for a watch
    /// that is not polled.
    fn progress(&self, id: WatchId) -> Option<Progress>;
}

/// The part of the courier that actions use.
pub trait Delivering: Send + Sync {
    /// Returns the status of a configured sink.
    fn sink(&self, name: &str) -> Option<SinkStatus>;
}

/// The parts that actions work with.
pub struct Parts {
    /// Keeps watches and deliveries.
    pub store: SharedStore,
    /// The services that jobs can be watched on.
    pub services: Services,
    /// Composes events.
    pub composer: Composer,
    /// The hosts that a `callback_url` may name; `None` where callbacks are off.
    pub callback_hosts: Option<Hosts>,
    /// The time.
    pub clock: SharedClock,
    /// Wakes the poller and the courier.
    pub wake: Wake,
    /// The poller.
    pub poller: Arc<dyn Polling>,
    /// The courier.
    pub courier: Arc<dyn Delivering>,
}

/// Carries out operations; see the module.
pub struct Actions {
    parts: Parts,
    rng: Mutex<StdRng>,
}

impl Actions {
    /// Actions on these parts; watch ids are drawn from `rng`.
    pub fn new(parts: Parts, rng: StdRng) -> Self {
        Self {
            parts,
            rng: Mutex::new(rng),
        }
    }
}
