//! Records how far the clocks of services are ahead of ours, by their `Date`. Pure.
//!
//! Each host has its own entry: a host with a wrong clock must not spoil the signatures for
//! others.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::credential::refusal::time_to_sign;

/// The smallest difference that is reported, in seconds.
const REPORTED_S: u64 = 60;
/// The time between two comparisons of one host's clock with ours.
const COMPARE_EVERY: Duration = Duration::from_secs(30);
/// The most hosts that are remembered.
const HOSTS_MAX: usize = 64;

/// The host that stands for the issuer; its clock is used for hosts whose clock is unknown.
pub const ISSUER: &str = "";

/// How far the clocks of hosts are ahead of ours.
#[derive(Debug, Default)]
pub struct Clocks(BTreeMap<String, Skew>);

#[derive(Debug, Clone, Copy)]
struct Skew {
    ahead_s: i64,
    reported_s: i64,
    compared_at: Duration,
}

impl Clocks {
    /// True if the clock of `host` was compared a short time ago.
    pub fn is_fresh(&self, host: &str, uptime: Duration) -> bool {
        self.0
            .get(host)
            .is_some_and(|skew| uptime.saturating_sub(skew.compared_at) < COMPARE_EVERY)
    }

    /// Records how far the clock of `host` is ahead. True if the difference is to be
    /// reported.
    pub fn note(&mut self, host: &str, ahead_s: i64, uptime: Duration) -> bool {
        if self.0.len() >= HOSTS_MAX && !self.0.contains_key(host) {
            return false;
        }
        let before = self.0.get(host).map_or(0, |skew| skew.reported_s);
        let is_changed = ahead_s.abs_diff(before) >= REPORTED_S;
        // If our clock is wrong, all hosts differ by the same amount.
        let is_known = self.0.values().any(|skew| {
            skew.reported_s.unsigned_abs() >= REPORTED_S
                && skew.reported_s.abs_diff(ahead_s) < REPORTED_S
        });
        let skew = Skew {
            ahead_s,
            reported_s: if is_changed { ahead_s } else { before },
            compared_at: uptime,
        };
        self.0.insert(host.to_owned(), skew);
        is_changed && !is_known && ahead_s.unsigned_abs() >= REPORTED_S
    }

    /// Returns the time to sign with for `host`.
    pub fn time_at(&self, host: &str, now: Timestamp) -> Timestamp {
        let known = self.0.get(host).or_else(|| self.0.get(ISSUER));
        time_to_sign(now, known.map(|skew| skew.ahead_s))
    }

    /// Returns the largest difference, in seconds.
    pub fn worst_s(&self) -> Option<i64> {
        let all = self.0.values().map(|skew| skew.ahead_s);
        all.max_by_key(|ahead_s| ahead_s.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPTIME: Duration = Duration::from_secs(100);
    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn a_clock_offset_is_reported_once_per_change() {
        let mut clocks = Clocks::default();
        let reported: Vec<bool> = [59, 1200, 1201, 1300, 0, 1200]
            .map(|ahead_s| clocks.note("a", ahead_s, UPTIME))
            .to_vec();
        assert_eq!(reported, [false, true, false, true, false, true]);
        assert!(!clocks.note("b", 1190, UPTIME), "the same of another host");
        assert!(clocks.note("c", -1200, UPTIME));
    }

    #[test]
    fn a_wrong_clock_affects_its_own_host_only() {
        let mut clocks = Clocks::default();
        clocks.note("wrong", 1200, UPTIME);
        assert_eq!(clocks.time_at("wrong", NOW).as_second(), 1200);
        assert_eq!(clocks.time_at("right", NOW), NOW);
        clocks.note(ISSUER, -600, UPTIME);
        assert_eq!(clocks.time_at("unknown", NOW).as_second(), -600);
        assert_eq!(clocks.time_at("wrong", NOW).as_second(), 1200);
        assert_eq!(clocks.worst_s(), Some(1200));
    }

    #[test]
    fn clocks_are_compared_at_intervals() {
        let mut clocks = Clocks::default();
        assert!(!clocks.is_fresh("a", UPTIME));
        clocks.note("a", 0, UPTIME);
        assert!(clocks.is_fresh("a", UPTIME));
        assert!(!clocks.is_fresh("a", UPTIME + COMPARE_EVERY));
    }

    #[test]
    fn the_number_of_hosts_is_bounded() {
        let mut clocks = Clocks::default();
        for n in 0..1000 {
            clocks.note(&n.to_string(), 0, UPTIME);
        }
        assert_eq!(clocks.0.len(), HOSTS_MAX);
    }
}
