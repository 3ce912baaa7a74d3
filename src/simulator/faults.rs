//! What can go wrong with the polls of one job, and in which order.
//!
//! Faults combine. For each poll they apply in this order, the order in which the real
//! request would meet them:
//!
//! 1. *Credential*: no token, a token that is not accepted, or one that has expired
//!    (`token_expires_after`) is refused. A refused poll uses up none of the turns below.
//! 2. *Turns*: `server_errors`, then `throttle`, `forbidden`, `malformed` and `torn`, each
//!    for as many polls as it was given, one after the other: `server_errors = 2` with
//!    `throttle.polls = 1` means 502, 503, 429, and then the job.
//! 3. `not_found_for`: the service does not know the job yet.
//! 4. `unknown_status` in place of the running status.
//!
//! `slow` delays whatever comes of it. A torn answer is the one that would have come
//! (so also "unknown job"), broken off in the middle.

use std::time::Duration;

/// The longest a `slow` answer may take.
pub(super) const MAX_SLOW: Duration = Duration::from_mins(10);

/// How far ahead of the clock `retry_after: "http-date"` points.
pub(super) const DATE_AHEAD: Duration = Duration::from_secs(2);

/// Faults of one job. The default is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// This many polls answer 502, 503, 500, 502, … with the service's error body.
    pub server_errors: u32,
    /// Polls answered 429 by the gateway.
    pub throttle: Option<Throttle>,
    /// This many polls answer 403.
    pub forbidden: u32,
    /// This many polls answer 200 with an HTML page.
    pub malformed: u32,
    /// This many polls break off in the middle of the body.
    pub torn: u32,
    /// Every answer takes this long, in real time.
    pub slow: Duration,
    /// Until this long after its creation the job is unknown.
    pub not_found_for: Duration,
    /// Shown in place of the running status.
    pub unknown_status: Option<String>,
    /// The first token used for the job is refused this long after its first use.
    pub token_expires_after: Option<Duration>,
}

/// How the gateway throttles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttle {
    /// This many polls answer 429.
    pub polls: u32,
    /// What the answers say about trying again. The documented gateway says nothing.
    pub retry_after: RetryAfter,
}

/// The `Retry-After` header of a 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RetryAfter {
    /// No such header: what the gateway does.
    #[default]
    Absent,
    /// A number of seconds.
    Seconds(u32),
    /// A date, two seconds after the simulator's clock.
    HttpDate,
}

/// Which counted fault a poll meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    ServerError(u16),
    Throttled(RetryAfter),
    Forbidden,
    Malformed,
    Torn,
    Plain,
}

const SERVER_ERRORS: [u16; 3] = [502, 503, 500];

impl Faults {
    /// The fault that the poll after `served` others meets.
    pub(super) fn turn(&self, served: u64) -> Turn {
        let throttle = self.throttle.as_ref();
        let status = SERVER_ERRORS[(served % 3) as usize];
        let retry_after = throttle.map_or(RetryAfter::Absent, |t| t.retry_after);
        let turns = [
            (self.server_errors, Turn::ServerError(status)),
            (
                throttle.map_or(0, |t| t.polls),
                Turn::Throttled(retry_after),
            ),
            (self.forbidden, Turn::Forbidden),
            (self.malformed, Turn::Malformed),
            (self.torn, Turn::Torn),
        ];
        let mut passed = 0;
        for (polls, turn) in turns {
            passed += u64::from(polls);
            if served < passed {
                return turn;
            }
        }
        Turn::Plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_faults_come_in_a_fixed_order() {
        let faults = Faults {
            server_errors: 4,
            throttle: Some(Throttle {
                polls: 2,
                retry_after: RetryAfter::Seconds(9),
            }),
            forbidden: 1,
            malformed: 1,
            torn: 1,
            ..Faults::default()
        };
        let throttled = Turn::Throttled(RetryAfter::Seconds(9));
        let expected = [
            Turn::ServerError(502),
            Turn::ServerError(503),
            Turn::ServerError(500),
            Turn::ServerError(502),
            throttled,
            throttled,
            Turn::Forbidden,
            Turn::Malformed,
            Turn::Torn,
            Turn::Plain,
            Turn::Plain,
        ];
        for (served, turn) in (0..).zip(expected) {
            assert_eq!(faults.turn(served), turn, "after {served}");
        }
    }

    #[test]
    fn without_faults_every_poll_succeeds() {
        assert_eq!(Faults::default().turn(0), Turn::Plain);
        assert_eq!(Faults::default().turn(u64::MAX), Turn::Plain);
    }
}
