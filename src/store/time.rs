//! The time by which a store in this process decides on retries and leases.
//!
//! It is the time of the wall clock when the store was opened and goes on with the uptime of the
//! process, so that a wall clock that is set moves neither retries nor leases. A store on a
//! server has the server's time instead.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock::{SharedClock, later};

/// See the module.
#[derive(Clone)]
pub struct StoreTime {
    clock: SharedClock,
    opened_at: Timestamp,
    opened: Duration,
}

impl StoreTime {
    /// The time of a store that is opened now.
    pub fn starting(clock: SharedClock) -> Self {
        Self {
            opened_at: clock.now(),
            opened: clock.uptime(),
            clock,
        }
    }

    /// The present time of the store.
    pub fn now(&self) -> Timestamp {
        later(
            self.opened_at,
            self.clock.uptime().saturating_sub(self.opened),
        )
    }

    /// Returns the time of the wall clock when the store's time is `at`, for people to read.
    /// The clocks are read one after the other: they differ by whole seconds or not at all.
    pub fn shown(&self, at: Timestamp) -> Timestamp {
        let ahead = self.clock.now().duration_since(self.now());
        let seconds = (ahead.as_millis() + 500).div_euclid(1000);
        i64::try_from(seconds)
            .ok()
            .and_then(|seconds| at.checked_add(SignedDuration::from_secs(seconds)).ok())
            .unwrap_or(at)
    }
}

impl fmt::Debug for StoreTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreTime").field(&self.now()).finish()
    }
}
