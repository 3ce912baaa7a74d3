//! The time by which a store in this process decides on retries and leases.
//!
//! It begins at the wall clock's time when the store is opened and advances with the uptime of
//! the process, so that setting the wall clock moves neither retries nor leases. A store on a
//! database server uses the time of the server instead.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock::{SharedClock, later};

#[derive(Clone)]
pub struct StoreTime {
    clock: SharedClock,
    opened_at: Timestamp,
    opened: Duration,
}

impl StoreTime {
    /// Makes the time of a store that is opened now.
    pub fn starting(clock: SharedClock) -> Self {
        Self {
            opened_at: clock.now(),
            opened: clock.uptime(),
            clock,
        }
    }

    /// Returns the current time of the store.
    pub fn now(&self) -> Timestamp {
        later(
            self.opened_at,
            self.clock.uptime().saturating_sub(self.opened),
        )
    }

    /// Converts a time of the store to wall-clock time, for people to read. The two clocks are
    /// read one after the other, so their difference is rounded to whole seconds.
    pub fn shown(&self, at: Timestamp) -> Timestamp {
        shown(at, self.now(), self.clock.now())
    }
}

/// Converts a time of a store to wall-clock time. `now` and `clock` are the present time of both.
pub(crate) fn shown(at: Timestamp, now: Timestamp, clock: Timestamp) -> Timestamp {
    let ahead = clock.duration_since(now);
    let seconds = (ahead.as_millis() + 500).div_euclid(1000);
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| at.checked_add(SignedDuration::from_secs(seconds)).ok())
        .unwrap_or(at)
}

impl fmt::Debug for StoreTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreTime").field(&self.now()).finish()
    }
}
