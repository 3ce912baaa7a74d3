//! A duration as the value of an option, such as `--timeout 10m`.

use std::time::Duration;

use crate::clock::parse_duration_from;

const LEAST: Duration = Duration::from_millis(1);

/// Reads a duration that is longer than zero.
pub(super) fn time_limit(text: &str) -> Result<Duration, String> {
    parse_duration_from(LEAST, text)
}
