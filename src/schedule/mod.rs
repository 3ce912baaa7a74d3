//! When to poll: intervals ([`backoff`]), the order of next polls ([`agenda`]), and how much
//! one endpoint may be asked ([`budget`]). Pure: time and randomness are arguments.

pub mod agenda;
pub mod backoff;
pub mod budget;

use std::time::Duration;

/// The duty that is due for a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Poll the job.
    Poll,
    /// Poll the job of a watch that ended without a verdict: a verdict now is a late result.
    PollLate,
    /// End the watch without a poll: its deadline is here and the service asked to be left
    /// alone until after it.
    Expire,
}

/// The next duty of a watch, and the time until it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// The duty.
    pub duty: Duty,
    /// The time until it is due.
    pub after: Duration,
}

impl Next {
    /// A poll after this long.
    pub fn poll(after: Duration) -> Self {
        Self {
            duty: Duty::Poll,
            after,
        }
    }

    /// An end without a poll after this long.
    pub fn expire(after: Duration) -> Self {
        Self {
            duty: Duty::Expire,
            after,
        }
    }

    /// A late poll after this long.
    pub fn poll_late(after: Duration) -> Self {
        Self {
            duty: Duty::PollLate,
            after,
        }
    }
}
