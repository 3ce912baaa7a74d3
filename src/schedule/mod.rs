//! The schedule of polls: intervals ([`backoff`]), the order of the next polls ([`agenda`]), and
//! the limits of one endpoint ([`budget`]): how many polls a second ([`rate`]), and which of those
//! that are due go first ([`lines`]). [`blindness`] says whether the jobs of a service can be seen at
//! all. A [`reason`] explains the time of a poll. Pure: time and randomness are arguments.

pub mod agenda;
pub mod backoff;
pub mod blindness;
pub mod budget;
pub mod lines;
mod places;
pub mod rate;
pub mod reason;
mod sight;

use std::time::Duration;

/// The duty that is due for a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Poll the job of a watch without an outcome.
    Poll,
    /// Poll the job of a watch that ended without a verdict: a verdict is then a late result.
    PollLate,
    /// End the watch at its deadline without a poll, because the service asked for no requests
    /// until after the deadline.
    Expire,
}

/// The next duty of a watch, and the time until it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// The kind of duty: a poll, a late poll, or the end.
    pub duty: Duty,
    /// The time from now until it is due.
    pub after: Duration,
}

impl Next {
    /// Makes a poll after this time.
    pub fn poll(after: Duration) -> Self {
        Self {
            duty: Duty::Poll,
            after,
        }
    }

    /// Makes an end without a poll after this time.
    pub fn expire(after: Duration) -> Self {
        Self {
            duty: Duty::Expire,
            after,
        }
    }

    /// Makes a late poll after this time.
    pub fn poll_late(after: Duration) -> Self {
        Self {
            duty: Duty::PollLate,
            after,
        }
    }
}
