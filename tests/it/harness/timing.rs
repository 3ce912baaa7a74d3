//! Poll settings for tests that make a service or the terms of a watch themselves.

use std::ops::RangeInclusive;
use std::time::Duration;

use jobwatch::timing::{PollSettings, Source};

/// A source in which every setting has the least value that it may have.
struct Least;

impl Source for Least {
    fn duration(&mut self, _: &str, least: Duration) -> Option<Duration> {
        Some(least)
    }

    fn number(&mut self, _: &str, range: RangeInclusive<f64>) -> Option<f64> {
        Some(*range.start())
    }

    fn whole(&mut self, _: &str, range: RangeInclusive<u32>) -> Option<u32> {
        Some(*range.start())
    }
}

/// All settings, each as small as it may be.
pub(crate) fn least() -> PollSettings {
    PollSettings::read(Least)
}
