//! Times as people read them: how long ago, or how soon. `--utc` shows the instants instead.

use jiff::Timestamp;

use crate::clock::SystemClock;

/// The way in which a command shows times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    now: Timestamp,
    is_utc: bool,
}

impl Times {
    pub(super) fn new(now: Timestamp, is_utc: bool) -> Self {
        Self { now, is_utc }
    }

    /// Shows times as seen now.
    pub(super) fn from_now(is_utc: bool) -> Self {
        Self::new(SystemClock::shared().now(), is_utc)
    }

    /// Returns `2h 10m ago`, `in 3m`, or the instant.
    pub(super) fn show(self, at: Timestamp) -> String {
        if self.is_utc {
            return utc(at);
        }
        match self.seconds_since(at) {
            since @ 0.. => format!("{} ago", rounded_age(since)),
            until => format!("in {}", rounded_age(-until)),
        }
    }

    /// Returns the age alone, for a column of that name; or the instant.
    pub(super) fn age(self, at: Timestamp) -> String {
        if self.is_utc {
            return utc(at);
        }
        // A clock that is behind that of the daemon shows no negative age.
        rounded_age(self.seconds_since(at).max(0))
    }

    pub(super) fn is_utc(self) -> bool {
        self.is_utc
    }

    fn seconds_since(self, at: Timestamp) -> i64 {
        self.now.as_second() - at.as_second()
    }
}

/// Formats a time as RFC 3339 in UTC, to the second.
pub(super) fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Writes a number of seconds with its two largest units: `45s`, `3m`, `2h 10m`, `3d 4h`.
pub(super) fn rounded_age(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let two = |large: i64, unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit} {small}{small_unit}"),
    };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m"),
        (0, ..) => two(hours, "h", minutes % 60, "m"),
        (1..14, ..) => two(days, "d", hours % 24, "h"),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rounded_age_has_its_two_largest_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (200, "3m"),
            (3600, "1h"),
            (7800, "2h 10m"),
            (86_400, "1d"),
            (270_000, "3d 3h"),
            (2_000_000, "23d"),
        ] {
            assert_eq!(rounded_age(seconds), text);
        }
    }

    #[test]
    fn times_are_before_or_after_now() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let times = Times::new(at(10_000), false);
        assert_eq!(times.show(at(9_800)), "3m ago");
        assert_eq!(times.show(at(10_045)), "in 45s");
        assert_eq!(times.age(at(10_045)), "0s");
        let utc = Times::new(at(10_000), true);
        assert_eq!(utc.show(at(0)), "1970-01-01T00:00:00Z");
        assert_eq!(utc.age(at(0)), "1970-01-01T00:00:00Z");
    }
}
