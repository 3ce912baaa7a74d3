//! What goes on by itself: polling jobs ([`poller`]) and delivering events ([`courier`]).
//!
//! Every worker follows one contract:
//! - `run_once` does everything that is due now and returns what it did; tests step the
//!   clock and call it;
//! - `run` does the same continuously, until it is told to stop;
//! - waking a worker carries no data: it rereads what is due from the store, so that a
//!   restart, a missed wake and the happy path share one code path.

pub mod courier;
pub mod poller;

use std::sync::Arc;

/// Told by the scheduler loop that it is alive; feeds the watchdog of the service manager.
pub type Heartbeat = Arc<dyn Fn() + Send + Sync>;
