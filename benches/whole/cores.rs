//! The two cores of a measurement: one for the daemon, one for everything around it.

use std::fmt;

use rustix::thread::{CpuSet, sched_getaffinity};

/// The cores that are used; `None` lets the kernel choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cores {
    /// The core of the daemon, and of the bare client beside it.
    pub(crate) daemon: Option<usize>,
    /// The core of the cloud, the receiver of webhooks and the clients.
    pub(crate) ours: Option<usize>,
}

/// Returns the first two cores that this process may use, or none if there is only one.
pub(crate) fn two() -> Cores {
    let allowed = sched_getaffinity(None).expect("the cores of this process");
    let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
    match (cores.next(), cores.next()) {
        (daemon @ Some(_), ours @ Some(_)) => Cores { daemon, ours },
        _ => Cores {
            daemon: None,
            ours: None,
        },
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.daemon, self.ours) {
            (Some(daemon), Some(ours)) => {
                write!(f, "the daemon on core {daemon}, all else on core {ours}")
            }
            _ => f.write_str("only one core: the daemon shares it, so the figures are too high"),
        }
    }
}
