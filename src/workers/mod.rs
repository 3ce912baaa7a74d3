//! The background workers: the [`poller`] polls jobs, the [`courier`] delivers events, the
//! [`announcer`] announces them to waiting clients, [`groups`] finishes groups of watches, the
//! [`pruner`] deletes old watches, and the [`drop_folder`] takes submissions from files.
//!
//! Every worker follows one contract:
//! - `run_once` does everything that is due now and returns a count; tests step the clock and
//!   call it;
//! - `run` does the same continuously, until the stop token is cancelled;
//! - a wake carries no data: the worker reads the due work from the store, so that a restart,
//!   a missed wake and the normal case share one code path.

pub mod announcer;
pub mod courier;
pub mod drop_folder;
pub mod groups;
pub mod poller;
pub mod pruner;

use std::sync::Arc;

/// Called by the loop of the poller, at least every 2 s, while it is alive; it feeds the
/// watchdog of the service manager.
pub type Heartbeat = Arc<dyn Fn() + Send + Sync>;
