//! Decides when a failed delivery is tried again, and when it becomes a dead letter.

use std::time::Duration;

use rand::{Rng, RngExt};

use crate::watch::delivery::RETRY_DELAY_MAX;

/// The delay before each attempt after the first. If the last attempt fails, the delivery is
/// dead. The sum is about 15 hours 43 minutes, so a receiver may be down overnight.
const DELAYS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
    Duration::from_mins(30),
    Duration::from_hours(1),
    Duration::from_hours(2),
    Duration::from_hours(4),
    Duration::from_hours(8),
];
/// The largest random increase of a delay, as a fraction: a receiver that comes back must not
/// get all deliveries at once.
const JITTER: f64 = 0.1;
/// The longest `retry_after` that is respected; a longer one is shortened to this.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// Returns the delay after `attempts` failed attempts; `None` if the last one was made.
///
/// A receiver's `retry_after` lengthens the delay and never shortens it. It is randomised too,
/// because deliveries that were refused together would otherwise come back together.
pub fn delay(attempts: u32, retry_after: Option<Duration>, rng: &mut impl Rng) -> Option<Duration> {
    let index = usize::try_from(attempts.checked_sub(1)?).ok()?;
    let scheduled = *DELAYS.get(index)?;
    let retry_after = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
    let spread = rng.random_range(1.0..=1.0 + JITTER);
    let delay = scheduled.max(retry_after).mul_f64(spread);
    Some(delay.min(RETRY_DELAY_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::seeded_rng;

    #[test]
    fn a_delivery_is_dead_after_ten_attempts() {
        let mut rng = seeded_rng(7);
        for (n, expected) in DELAYS.iter().enumerate() {
            let got = delay(u32::try_from(n).unwrap() + 1, None, &mut rng).unwrap();
            assert!(got >= *expected && got <= expected.mul_f64(1.0 + JITTER));
        }
        assert_eq!(delay(10, None, &mut rng), None);
    }

    #[test]
    fn retry_after_lengthens_and_never_shortens_the_pause() {
        let mut rng = seeded_rng(7);
        for (attempts, hours, least_h) in [(1, 1, 1), (9, 1, 8), (1, 1000, 24)] {
            let retry_after = Duration::from_hours(hours);
            let got = delay(attempts, Some(retry_after), &mut rng).unwrap();
            let least = Duration::from_hours(least_h);
            assert!(
                got >= least && got <= least.mul_f64(1.0 + JITTER),
                "{got:?}"
            );
        }
    }

    #[test]
    fn retries_of_concurrent_failures_are_spread() {
        let mut rng = seeded_rng(7);
        let minute = Duration::from_mins(1);
        let mut delays: Vec<_> = (0..20).map(|_| delay(1, Some(minute), &mut rng)).collect();
        delays.dedup();
        assert_eq!(delays.len(), 20);
    }
}
