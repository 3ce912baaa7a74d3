//! The faults of the polls of one job, and their order.
//!
//! Faults combine. For each poll they apply in this order, the order in which the real
//! request would meet them:
//!
//! 1. *Credential*: no token, a token that is not accepted, or one that has expired
//!    (`token_expires_after`) is refused. A refused poll does not count below.
//! 2. *Counted faults*: `server_errors`, then `throttle`, `forbidden`, `malformed` and `torn`, each
//!    for as many polls as it was given, one after the other: `server_errors = 2` with
//!    `throttle.polls = 1` means 502, 503, 429, and then the job.
//! 3. `not_found_for`: the service does not know the job yet.
//! 4. `unknown_status` in place of the running status.
//!
//! `slow` delays every answer. A torn answer is the answer of a poll without faults (also
//! "unknown job"), broken off in the middle.

use std::borrow::Cow;
use std::time::Duration;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

use crate::clock;

/// The longest delay of a `slow` answer.
pub(super) const MAX_SLOW: Duration = Duration::from_mins(10);

/// The time from now to the date of `retry_after: "http-date"`.
pub(super) const DATE_AHEAD: Duration = Duration::from_secs(2);

/// Faults of one job. The default is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// This many polls answer 502, 503, 500, 502, … with the service's error body.
    pub server_errors: u32,
    /// The gateway answers 429 to some polls.
    pub throttle: Option<Throttle>,
    /// This many polls answer 403.
    pub forbidden: u32,
    /// This many polls answer 200 with an HTML page.
    pub malformed: u32,
    /// This many polls break off in the middle of the body.
    pub torn: u32,
    /// Every answer takes this long, in real time.
    #[serde(deserialize_with = "duration")]
    pub slow: Duration,
    /// The job is unknown for this long after its creation.
    #[serde(deserialize_with = "duration")]
    pub not_found_for: Duration,
    /// The status that is shown in place of the running one.
    pub unknown_status: Option<String>,
    /// The first token used for the job is refused this long after its first use.
    #[serde(deserialize_with = "some_duration")]
    pub token_expires_after: Option<Duration>,
}

/// Answers 429 of the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Throttle {
    /// This many polls answer 429.
    pub polls: u32,
    /// The `Retry-After` header of these answers. The documented gateway sends none.
    #[serde(default)]
    pub retry_after: RetryAfter,
}

/// The `Retry-After` header of a 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "Cow<'_, str>")]
pub enum RetryAfter {
    /// No header, as the documented gateway does.
    #[default]
    Absent,
    /// The header with this number of seconds.
    Seconds(u32),
    /// A date, two seconds after the simulator's clock.
    HttpDate,
}

/// The counted fault that one poll meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    ServerError(u16),
    Throttled(RetryAfter),
    Forbidden,
    Malformed,
    Torn,
    None,
}

impl TryFrom<Cow<'_, str>> for RetryAfter {
    type Error = String;

    fn try_from(text: Cow<'_, str>) -> Result<Self, String> {
        if text == "http-date" {
            return Ok(Self::HttpDate);
        }
        text.parse().map(Self::Seconds).map_err(|_| {
            format!(
                "invalid value {text:?}, expected whole seconds such as \"2\", or \"http-date\""
            )
        })
    }
}

/// Reads a duration as the configuration does: `500ms`, `3s`, `2m`.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text: Cow<'_, str> = Cow::deserialize(deserializer)?;
    clock::parse_duration(&text)
        .map_err(|expected| D::Error::invalid_value(Unexpected::Str(&text), &expected.as_str()))
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

const SERVER_ERRORS: [u16; 3] = [502, 503, 500];

impl Faults {
    /// Returns the fault of the poll that comes after `served` others.
    pub(super) fn fault_after(&self, served: u64) -> Fault {
        let throttle = self.throttle.as_ref();
        let status = SERVER_ERRORS[(served % 3) as usize];
        let retry_after = throttle.map_or(RetryAfter::Absent, |t| t.retry_after);
        let in_order = [
            (self.server_errors, Fault::ServerError(status)),
            (
                throttle.map_or(0, |t| t.polls),
                Fault::Throttled(retry_after),
            ),
            (self.forbidden, Fault::Forbidden),
            (self.malformed, Fault::Malformed),
            (self.torn, Fault::Torn),
        ];
        let mut passed = 0;
        for (polls, fault) in in_order {
            passed += u64::from(polls);
            if served < passed {
                return fault;
            }
        }
        Fault::None
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
        let throttled = Fault::Throttled(RetryAfter::Seconds(9));
        let expected = [
            Fault::ServerError(502),
            Fault::ServerError(503),
            Fault::ServerError(500),
            Fault::ServerError(502),
            throttled,
            throttled,
            Fault::Forbidden,
            Fault::Malformed,
            Fault::Torn,
            Fault::None,
            Fault::None,
        ];
        for (served, turn) in (0..).zip(expected) {
            assert_eq!(faults.fault_after(served), turn, "after {served}");
        }
    }

    #[test]
    fn without_faults_every_poll_succeeds() {
        assert_eq!(Faults::default().fault_after(0), Fault::None);
        assert_eq!(Faults::default().fault_after(u64::MAX), Fault::None);
    }
}
