//! Poll settings for the tests of other modules.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::timing::{PollSettings, Source};

/// A source in which every setting has the least allowed value.
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

/// Returns all settings, each with the least allowed value.
pub(crate) fn least() -> PollSettings {
    PollSettings::read(Least)
}
