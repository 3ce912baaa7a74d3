//! The reason for the time of the next duty of a watch, for a person who asks why. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::schedule::{Duty, Next};
use crate::timing::Timing;
use crate::watch::observation::AskedWait;
use crate::watch::tracking::Tracking;

/// The reason for the time of the next duty of a watch. One byte: a million are in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is the first poll, after the setting `first`.
    First,
    /// The daemon has started, and spreads the first polls.
    Restart,
    /// The interval between two polls.
    Interval,
    /// The answer names the time after which a poll is worthwhile.
    Pace,
    /// The service asked for this time in `Retry-After`.
    RetryAfter,
    /// The service was asked too often, so that its whole budget pauses.
    Pause,
    /// An end was seen, and must be seen again before it counts.
    Confirm,
    /// It is the last poll, exactly on the deadline; or the end on the deadline without a poll.
    Deadline,
    /// A decision could not be saved.
    Unsaved,
    /// One request for several jobs did not show this one.
    Alone,
    /// A person or a hint asked for a poll.
    Asked,
    /// No job of the service can be seen, so that only probes are made.
    Blind,
    /// The service can be asked again, and the polls that waited for that are spread.
    Sighted,
}

impl Reason {
    /// All reasons, in the order of the documents.
    pub const ALL: [Self; 13] = [
        Self::First,
        Self::Restart,
        Self::Interval,
        Self::Pace,
        Self::RetryAfter,
        Self::Pause,
        Self::Confirm,
        Self::Deadline,
        Self::Unsaved,
        Self::Alone,
        Self::Asked,
        Self::Blind,
        Self::Sighted,
    ];

    /// Returns the word that the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Restart => "restart",
            Self::Interval => "interval",
            Self::Pace => "pace",
            Self::RetryAfter => "retry_after",
            Self::Pause => "pause",
            Self::Confirm => "confirm",
            Self::Deadline => "deadline",
            Self::Unsaved => "unsaved",
            Self::Alone => "alone",
            Self::Asked => "asked",
            Self::Blind => "blind",
            Self::Sighted => "sighted",
        }
    }

    /// Returns the reason for `next`, which follows an answer; `left` is the time to the deadline.
    pub fn of(
        next: Next,
        tracking: &Tracking,
        wait: AskedWait,
        left: Duration,
        timing: &Timing,
    ) -> Self {
        let retry_after = wait.retry_after.map(|asked| timing.respected(asked));
        let waits = tracking.waits_for_confirmation();
        let pace = wait.pace.filter(|_| !waits);
        if next.duty == Duty::Expire || next.after >= left {
            Self::Deadline
        } else if retry_after.is_some() && retry_after >= pace {
            Self::RetryAfter
        } else if pace.is_some() {
            Self::Pace
        } else if waits && tracking.problems_in_a_row == 0 {
            Self::Confirm
        } else {
            Self::Interval
        }
    }
}
