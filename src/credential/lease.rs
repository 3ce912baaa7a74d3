//! Decides when to renew a secret, and when to try again after a failure. Pure.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{later, until};

/// Renewal begins when this part of a lifetime is left: 10 minutes of an hour, which is
/// when the metadata service has the next key (Elastic Cloud Server, "Obtaining Metadata").
const MARGIN_PART: u32 = 6;
/// The longest margin: of a day, half an hour.
const MARGIN_MAX: Duration = Duration::from_mins(30);
/// The shortest margin, where the lifetime has room for it: Keystone cuts its times to whole
/// seconds, so that a token may end this much earlier.
const MARGIN_MIN: Duration = Duration::from_secs(1);

/// The first pause after a failure that may pass by itself, and the longest.
const PASSING: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// The first pause after a refusal, and the longest. Identity and Access Management locks
/// an account after a few wrong passwords.
const REFUSED: (Duration, Duration) = (Duration::from_mins(5), Duration::from_hours(1));

/// The time for which an issued secret may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The time from which the secret is to be renewed, while it can still be used.
    pub renew_at: Timestamp,
    /// The time from which the secret must not be used.
    pub until: Timestamp,
}

impl Lease {
    /// Returns a lease that begins `now` and lasts for `lifetime`.
    pub fn new(now: Timestamp, lifetime: Duration) -> Self {
        let margin = (lifetime / MARGIN_PART).clamp(MARGIN_MIN, MARGIN_MAX);
        let margin = margin.min(lifetime / 2);
        Self {
            renew_at: later(now, lifetime.saturating_sub(margin)),
            until: later(now, lifetime),
        }
    }

    /// True if the secret is to be renewed.
    pub fn is_due(&self, now: Timestamp) -> bool {
        now >= self.renew_at
    }

    /// True if the secret must not be used any more.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.until
    }

    /// Returns the time that is left.
    pub fn left(&self, now: Timestamp) -> Duration {
        until(now, self.until)
    }
}

/// The reasons why an issuer gave no secret. All but a refusal may pass by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// There was no complete answer: DNS, connect, TLS, timeout, broken body.
    Unreachable,
    /// The issuer failed: 5xx or 408.
    ServerError,
    /// The issuer was asked too often: 429.
    Throttled,
    /// Anything else that may pass: a file that cannot be read, an answer without a token.
    Unusable,
    /// The issuer understood the request and refused it: a person has to change something.
    Refused,
}

/// Returns the pause after the `run`th failure in a row, counted from 1.
pub fn pause(failing: Failing, run: u32) -> Duration {
    let (first, longest) = match failing {
        Failing::Unreachable | Failing::ServerError | Failing::Throttled | Failing::Unusable => {
            PASSING
        }
        Failing::Refused => REFUSED,
    };
    doubled(first, run, longest)
}

/// Returns `first`, doubled with each further failure, up to `longest`.
pub fn doubled(first: Duration, run: u32, longest: Duration) -> Duration {
    let factor = 2_u32.saturating_pow(run.saturating_sub(1));
    first.saturating_mul(factor).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn margin(lifetime: Duration) -> Duration {
        let lease = Lease::new(Timestamp::UNIX_EPOCH, lifetime);
        until(lease.renew_at, lease.until)
    }

    #[test]
    fn the_margin_is_scaled_to_the_lifetime() {
        assert_eq!(margin(24 * HOUR), Duration::from_mins(30));
        assert_eq!(margin(HOUR), Duration::from_mins(10));
        assert_eq!(margin(Duration::from_secs(12)), Duration::from_secs(2));
        assert_eq!(margin(Duration::from_secs(4)), Duration::from_secs(1));
        assert_eq!(margin(Duration::from_secs(1)), Duration::from_millis(500));
        assert_eq!(margin(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn a_lease_is_due_before_it_ends() {
        let start = Timestamp::UNIX_EPOCH;
        let lease = Lease::new(start, HOUR);
        let at = |minutes| later(start, Duration::from_mins(minutes));
        assert!(!lease.is_due(at(49)));
        assert!(lease.is_due(at(50)) && !lease.is_over(at(50)));
        assert!(lease.is_over(at(60)));
        assert_eq!(lease.left(at(45)), Duration::from_mins(15));
    }

    #[test]
    fn pauses_grow_to_their_limit() {
        let passing: Vec<u64> = (1..=8)
            .map(|run| pause(Failing::Unreachable, run).as_secs())
            .collect();
        assert_eq!(passing, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause(Failing::Refused, 1), Duration::from_mins(5));
        assert_eq!(pause(Failing::Refused, u32::MAX), HOUR);
    }
}
