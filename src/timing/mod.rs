//! The settings of polling, in two shapes: [`PollSettings`] as written, each part optional,
//! and [`Timing`], complete and ready for use.
//!
//! The table below declares each setting once: its meaning, its name, its kind and its
//! range. Reading, inheritance and completeness follow from it. A new setting is a row
//! here, its default in `config/default.toml`, and the place that uses it.

mod ladder;
#[cfg(test)]
pub(crate) mod sample;

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::tree::reader::Reader;

const MILLISECOND: Duration = Duration::from_millis(1);

/// A table that poll settings are read from. An implementation reports the values that it
/// refuses.
pub trait Source {
    /// Returns the duration of `key`, which must be at least `least`.
    fn duration(&mut self, key: &str, least: Duration) -> Option<Duration>;

    /// Returns the number of `key`, which must be in `range`.
    fn number(&mut self, key: &str, range: RangeInclusive<f64>) -> Option<f64>;

    /// Returns the whole number of `key`, which must be in `range`.
    fn whole(&mut self, key: &str, range: RangeInclusive<u32>) -> Option<u32>;
}

impl Source for &Reader<'_> {
    fn duration(&mut self, key: &str, least: Duration) -> Option<Duration> {
        Reader::duration(self, key, least)
    }

    fn number(&mut self, key: &str, range: RangeInclusive<f64>) -> Option<f64> {
        Reader::number(self, key, range)
    }

    fn whole(&mut self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        Reader::whole(self, key, range)
    }
}

macro_rules! poll_settings {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ty = $read:ident($allowed:expr);)+) => {
        /// The poll settings that one place sets; the others are inherited.
        #[derive(Debug, Clone, Copy, PartialEq, Default)]
        pub struct PollSettings {
            $($(#[doc = $doc])+ pub $name: Option<$kind>,)+
        }

        impl PollSettings {
            /// The names of all poll settings.
            pub const KEYS: &[&str] = &[$(stringify!($name)),+];

            /// Reads every poll setting that `source` has.
            pub fn read(mut source: impl Source) -> Self {
                Self { $($name: source.$read(stringify!($name), $allowed),)+ }
            }

            /// Returns these settings; those that are absent come from `base`.
            #[must_use]
            pub fn over(self, base: Self) -> Self {
                Self { $($name: self.$name.or(base.$name),)+ }
            }

            /// Returns the settings ready for use; `None` if one is absent.
            pub fn complete(self) -> Option<Timing> {
                let mut timing = Timing { $($name: self.$name?,)+ ladder: Vec::new() };
                timing.ladder = ladder::of(timing.initial, timing.multiplier, timing.max);
                Some(timing)
            }
        }

        /// The complete poll settings of a service.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Timing {
            $($name: $kind,)+
            /// The intervals, computed once; never empty.
            ladder: Vec<Duration>,
        }

        impl Timing {
            $($(#[doc = $doc])+ pub fn $name(&self) -> $kind { self.$name })+
        }
    };
}

poll_settings! {
    /// The delay before the first poll.
    first: Duration = duration(Duration::ZERO);
    /// The interval after the first poll.
    initial: Duration = duration(MILLISECOND);
    /// The factor from each interval to the next.
    multiplier: f64 = number(1.0..=100.0);
    /// The longest interval between two polls.
    max: Duration = duration(MILLISECOND);
    /// The fraction by which an interval is randomised, up and down.
    jitter: f64 = number(0.0..=1.0);
    /// The longest duration of a watch without a deadline of its own.
    deadline: Duration = duration(MILLISECOND);
    /// The longest duration of one request.
    request_timeout: Duration = duration(MILLISECOND);
    /// The time after a submission in which the service need not know the job yet.
    not_found_grace: Duration = duration(Duration::ZERO);
    /// The time for which a job that was seen must stay away before the watch ends as `lost`.
    gone_after: Duration = duration(Duration::ZERO);
    /// The time for which an end that was seen before any progress must hold.
    settle: Duration = duration(Duration::ZERO);
    /// The number of sightings in a row that must agree on an end.
    confirm: u32 = whole(1..=100);
    /// The time for which the service may refuse before the watch ends as `unknown`.
    give_up_after: Duration = duration(Duration::ZERO);
    /// The time without an answer about any job after which the service counts as blind; zero
    /// means never.
    blind_after: Duration = duration(Duration::ZERO);
    /// The longest `Retry-After` of a server that is respected.
    max_retry_after: Duration = duration(MILLISECOND);
    /// The time for which a watch that ended without a verdict is polled for a late one; zero
    /// means never.
    after_watch: Duration = duration(Duration::ZERO);
}

impl Timing {
    /// Returns interval `n` (from 1), before it is randomised.
    pub fn interval(&self, n: u32) -> Duration {
        let last = self.ladder.len() - 1;
        let index = usize::try_from(n.saturating_sub(1)).unwrap_or(last);
        self.ladder[index.min(last)]
    }

    /// Returns the interval that a watch of this `age` has reached, before it is randomised.
    pub fn interval_at_age(&self, age: Duration) -> Duration {
        let mut begins = self.first;
        for &interval in &self.ladder {
            begins = begins.saturating_add(interval);
            if begins >= age {
                return interval;
            }
        }
        self.interval(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timing::sample::least;

    #[test]
    fn own_settings_win_over_inherited_ones() {
        let own = PollSettings {
            first: Some(Duration::from_secs(1)),
            ..PollSettings::default()
        };
        let merged = own.over(PollSettings {
            first: Some(Duration::from_secs(2)),
            max: Some(Duration::from_secs(3)),
            ..least()
        });
        assert_eq!(merged.first, Some(Duration::from_secs(1)));
        assert_eq!(merged.max, Some(Duration::from_secs(3)));
        assert!(merged.complete().is_some());
        assert_eq!(own.complete(), None, "most are absent");
    }

    #[test]
    fn intervals_stay_at_the_last_step() {
        let settings = PollSettings {
            initial: Some(Duration::from_secs(2)),
            multiplier: Some(2.0),
            max: Some(Duration::from_secs(5)),
            ..least()
        };
        let timing = settings.complete().unwrap();
        let secs = |n| timing.interval(n).as_secs();
        assert_eq!([0, 1, 2, 3, u32::MAX].map(secs), [2, 2, 4, 5, 5]);
    }
}
