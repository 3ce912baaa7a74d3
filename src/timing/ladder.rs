//! The intervals, which grow up to a limit. Only this file uses the `backoff` crate.
//!
//! The randomisation of the crate stays off: it goes beyond the limit, cannot be seeded and
//! reads the clock. The crate is unmaintained (RUSTSEC-2025-0012, accepted in `deny.toml`).
//! A property test compares it with the closed form `initial·multiplier^(n-1)`, so that it
//! can be replaced in this file alone.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

/// The most steps; the interval of the last is then used for all later polls.
const STEPS_MAX: usize = 4096;

/// Returns the intervals from `initial` up to the longest; at least one.
pub(super) fn of(initial: Duration, multiplier: f64, max: Duration) -> Vec<Duration> {
    let mut source = ExponentialBackoff {
        current_interval: initial.min(max),
        initial_interval: initial.min(max),
        randomization_factor: 0.0,
        multiplier,
        max_interval: max,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    };
    let mut ladder: Vec<Duration> = Vec::new();
    while ladder.len() < STEPS_MAX {
        let interval = source
            .next_backoff()
            .map_or(max, whole_microseconds)
            .min(max);
        if ladder.last() == Some(&interval) {
            break;
        }
        ladder.push(interval);
    }
    ladder
}

/// Rounds to microseconds: the crate adds a random fraction of a nanosecond even with
/// randomisation off.
fn whole_microseconds(interval: Duration) -> Duration {
    let micros = (interval.as_nanos() + 500) / 1000;
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn intervals_grow_to_the_cap_and_stay() {
        let ladder = of(Duration::from_secs(2), 1.5, Duration::from_mins(1));
        let secs: Vec<f64> = ladder.iter().map(Duration::as_secs_f64).collect();
        assert_eq!(secs[..4], [2.0, 3.0, 4.5, 6.75]);
        assert!((secs[8] - 51.257_813).abs() < 1e-5, "{secs:?}");
        assert!((secs[9] - 60.0).abs() < f64::EPSILON);
        assert_eq!(secs.len(), 10);
    }

    #[test]
    fn a_multiplier_of_one_is_a_fixed_interval() {
        let second = Duration::from_secs(1);
        assert_eq!(of(second, 1.0, Duration::from_mins(1)), [second]);
    }

    proptest! {
        #[test]
        fn the_crate_equals_the_closed_form(
            initial in 1_u64..120_000, multiplier in 1.01_f64..4.0, max in 1_u64..600_000, n in 0_usize..400,
        ) {
            let (initial, max) = (Duration::from_millis(initial), Duration::from_millis(max.max(initial)));
            let ladder = of(initial, multiplier, max);
            let closed = initial.as_secs_f64() * multiplier.powi(i32::try_from(n).unwrap());
            let expected = closed.min(max.as_secs_f64());
            let got = ladder[n.min(ladder.len() - 1)].as_secs_f64();
            // Each step rounds down to whole nanoseconds, and the error grows with the interval.
            prop_assert!((got - expected).abs() <= 1e-5 + expected * 1e-5, "{got} {expected}");
        }
    }
}
