//! The interval before the next poll, and the only place that knows the `backoff` crate.
//!
//! The crate computes the growing, capped intervals. Its own randomisation stays off: it
//! jitters past the cap, cannot be seeded and reads the clock. We randomise here, from
//! the generator passed in. The crate is unmaintained (RUSTSEC-2025-0012, accepted in
//! `deny.toml`); a property test holds it to the closed form `initial·multiplier^(n-1)`,
//! so it can be replaced in this file alone.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use jiff::Timestamp;
use rand::{Rng, RngExt};

use crate::clock::until;
use crate::schedule::Next;
use crate::watch::transition::Tracking;

/// The most steps a schedule climbs before it stays where it is.
const STEPS_MAX: usize = 4096;

/// How many times an ended watch is looked at for a late verdict, unless that is too
/// often or too rare.
const LATE_LOOKS: u32 = 12;
const LATE_INTERVAL_MAX: Duration = Duration::from_hours(1);

/// The numbers of a schedule, as configured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Intervals {
    /// Delay before the first poll.
    pub first: Duration,
    /// The interval after the first poll.
    pub initial: Duration,
    /// What each interval is multiplied by to give the next; at least 1.
    pub multiplier: f64,
    /// The longest interval.
    pub max: Duration,
    /// The fraction by which an interval is randomised, up and down; 0 to 1.
    pub jitter: f64,
    /// The longest retry_after of a server that is respected.
    pub max_retry_after: Duration,
}

/// A schedule ready for use: the intervals, computed once.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    numbers: Intervals,
    ladder: Vec<Duration>,
}

impl Policy {
    /// Computes the intervals of `numbers`.
    pub fn new(numbers: Intervals) -> Self {
        Self {
            numbers,
            ladder: ladder(&numbers),
        }
    }

    /// Interval `n` (from 1), before it is randomised.
    pub fn interval(&self, n: u32) -> Duration {
        let last = self.ladder.len() - 1;
        let index = usize::try_from(n.saturating_sub(1)).unwrap_or(last);
        self.ladder[index.min(last)]
    }

    /// The delay before the first poll of a watch accepted at `now`.
    pub fn first_poll(&self, now: Timestamp, deadline: Timestamp) -> Next {
        Next::poll(self.numbers.first.min(until(now, deadline)))
    }

    /// The delay before the first poll after a restart: anywhere in the interval that a
    /// watch of this age had reached, so that a restart does not stampede.
    pub fn resumed_poll(
        &self,
        submitted_at: Timestamp,
        now: Timestamp,
        deadline: Timestamp,
        rng: &mut impl Rng,
    ) -> Next {
        let interval = self.interval_at_age(until(submitted_at, now));
        let after = interval.mul_f64(rng.random_range(0.0..=1.0));
        Next::poll(after.min(until(now, deadline)))
    }

    /// The delay before the poll that follows an observation made at `now`.
    ///
    /// Sightings and problems count their own intervals, so that one 502 does not stretch
    /// the schedule. A server's retry_after replaces the interval and is never undercut. The
    /// last poll falls exactly on the deadline.
    pub fn next_poll(
        &self,
        tracking: &Tracking,
        retry_after: Option<Duration>,
        now: Timestamp,
        deadline: Timestamp,
        rng: &mut impl Rng,
    ) -> Next {
        let left = until(now, deadline);
        if let Some(retry_after) = retry_after {
            let retry_after = self.respected(retry_after);
            return if retry_after > left {
                Next::expire(left)
            } else {
                Next::poll(self.spread_up(retry_after, rng).min(left))
            };
        }
        let n = match tracking.problems_in_a_row {
            0 => tracking.sightings,
            run => run,
        };
        Next::poll(self.spread(self.interval(n), rng).min(left))
    }

    /// The interval between looks at a watch that has ended, for a verdict that comes
    /// within `after_watch`: a dozen looks, an hour between them at most, and the longest
    /// interval of a watch that goes on at least.
    pub fn late_interval(&self, after_watch: Duration) -> Duration {
        (after_watch / LATE_LOOKS)
            .min(LATE_INTERVAL_MAX)
            .max(self.numbers.max)
    }

    /// The delay before the next such look; the last falls exactly on `ends_at`, and
    /// after it there is none. A server's retry_after is never undercut, so that one that goes
    /// beyond `ends_at` leaves no look at all. Neither does an `after_watch` of nothing,
    /// be `ends_at` in the future because the clock was set back.
    pub fn late_poll(
        &self,
        after_watch: Duration,
        retry_after: Option<Duration>,
        now: Timestamp,
        ends_at: Timestamp,
        rng: &mut impl Rng,
    ) -> Option<Next> {
        let left = until(now, ends_at);
        let retry_after =
            retry_after.map_or(Duration::ZERO, |retry_after| self.respected(retry_after));
        if after_watch.is_zero() || left.is_zero() || retry_after > left {
            return None;
        }
        let interval = self.spread(self.late_interval(after_watch), rng);
        Some(Next::poll_late(interval.max(retry_after).min(left)))
    }

    /// The longest that any retry_after is respected: how long a service whose last retry_after is not
    /// known any more may still want to be left alone.
    pub fn longest_retry_after(&self) -> Duration {
        self.respected(Duration::MAX)
    }

    /// How much of a server's retry_after is respected: not more than `max_retry_after`, and not
    /// less than the first interval. A retry_after of nothing, or a date that has passed by a
    /// clock that differs from ours, is no leave to ask without a pause.
    pub fn respected(&self, retry_after: Duration) -> Duration {
        retry_after
            .min(self.numbers.max_retry_after)
            .max(self.numbers.initial.min(self.numbers.max))
    }

    fn spread(&self, interval: Duration, rng: &mut impl Rng) -> Duration {
        let jitter = self.numbers.jitter;
        interval.mul_f64(rng.random_range(1.0 - jitter..=1.0 + jitter))
    }

    fn spread_up(&self, retry_after: Duration, rng: &mut impl Rng) -> Duration {
        retry_after.mul_f64(rng.random_range(1.0..=1.0 + self.numbers.jitter))
    }

    fn interval_at_age(&self, age: Duration) -> Duration {
        let mut begins = self.numbers.first;
        for &interval in &self.ladder {
            begins = begins.saturating_add(interval);
            if begins >= age {
                return interval;
            }
        }
        self.interval(u32::MAX)
    }
}

fn ladder(numbers: &Intervals) -> Vec<Duration> {
    let mut source = ExponentialBackoff {
        current_interval: numbers.initial.min(numbers.max),
        initial_interval: numbers.initial.min(numbers.max),
        randomization_factor: 0.0,
        multiplier: numbers.multiplier,
        max_interval: numbers.max,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    };
    let mut ladder: Vec<Duration> = Vec::new();
    while ladder.len() < STEPS_MAX {
        let interval = source
            .next_backoff()
            .map_or(numbers.max, whole_microseconds)
            .min(numbers.max);
        if ladder.last() == Some(&interval) {
            break;
        }
        ladder.push(interval);
    }
    ladder
}

/// The crate adds a random fraction of a nanosecond even with randomisation off.
fn whole_microseconds(interval: Duration) -> Duration {
    let micros = (interval.as_nanos() + 500) / 1000;
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{later, seeded_rng};
    use crate::schedule::Duty;
    use proptest::prelude::*;

    fn numbers() -> Intervals {
        Intervals {
            first: Duration::from_secs(2),
            initial: Duration::from_secs(2),
            multiplier: 1.5,
            max: Duration::from_mins(1),
            jitter: 0.2,
            max_retry_after: Duration::from_mins(10),
        }
    }

    fn start() -> Timestamp {
        "2026-11-22T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn intervals_grow_to_the_cap_and_stay() {
        let policy = Policy::new(numbers());
        let secs: Vec<f64> = (1..=10).map(|n| policy.interval(n).as_secs_f64()).collect();
        assert_eq!(secs[..4], [2.0, 3.0, 4.5, 6.75]);
        assert!((secs[8] - 51.257_813).abs() < 1e-5, "{secs:?}");
        assert!((secs[9] - 60.0).abs() < f64::EPSILON);
        assert_eq!(policy.interval(u32::MAX), Duration::from_mins(1));
        assert_eq!(policy.interval(0), Duration::from_secs(2));
    }

    #[test]
    fn a_multiplier_of_one_is_a_fixed_interval() {
        let policy = Policy::new(Intervals {
            multiplier: 1.0,
            ..numbers()
        });
        assert_eq!(policy.interval(1), policy.interval(500));
    }

    #[test]
    fn one_problem_does_not_stretch_the_schedule() {
        let policy = Policy::new(Intervals {
            jitter: 0.0,
            ..numbers()
        });
        let mut rng = seeded_rng(1);
        let deadline = later(start(), Duration::from_hours(1));
        let mut tracking = Tracking {
            sightings: 3,
            problems_in_a_row: 1,
            ..Tracking::default()
        };
        let after_problem = policy.next_poll(&tracking, None, start(), deadline, &mut rng);
        assert_eq!(after_problem, Next::poll(policy.interval(1)));
        tracking.problems_in_a_row = 0;
        let after_sighting = policy.next_poll(&tracking, None, start(), deadline, &mut rng);
        assert_eq!(after_sighting, Next::poll(policy.interval(3)));
    }

    #[test]
    fn a_wish_beyond_the_deadline_ends_the_watch_without_a_poll() {
        let policy = Policy::new(numbers());
        let deadline = later(start(), Duration::from_secs(30));
        let next = policy.next_poll(
            &Tracking::default(),
            Some(Duration::from_secs(31)),
            start(),
            deadline,
            &mut seeded_rng(1),
        );
        assert_eq!(next, Next::expire(Duration::from_secs(30)));
    }

    #[test]
    fn late_looks_are_rare_and_the_last_falls_on_the_end() {
        let policy = Policy::new(Intervals {
            jitter: 0.0,
            ..numbers()
        });
        for (after_watch, secs) in [(60, 60), (3600, 300), (6 * 3600, 1800), (864_000, 3600)] {
            let interval = policy.late_interval(Duration::from_secs(after_watch));
            assert_eq!(interval, Duration::from_secs(secs), "{after_watch}");
        }
        let next = |left: u64| next_late(&policy, Duration::from_hours(1), None, left);
        assert_eq!(next(1000), Some(300));
        assert_eq!(next(7), Some(7));
        assert_eq!(next(0), None);
    }

    /// The seconds until the next late look, when so many are left.
    fn next_late(
        policy: &Policy,
        after: Duration,
        retry_after: Option<u64>,
        left: u64,
    ) -> Option<u64> {
        let ends_at = later(start(), Duration::from_secs(left));
        let retry_after = retry_after.map(Duration::from_secs);
        let next = policy.late_poll(after, retry_after, start(), ends_at, &mut seeded_rng(1));
        next.map(|next| next.after.as_secs())
    }

    #[test]
    fn a_late_look_respects_the_servers_wish() {
        let policy = Policy::new(Intervals {
            jitter: 0.0,
            max_retry_after: Duration::from_mins(15),
            ..numbers()
        });
        let next = |retry_after, left| {
            next_late(&policy, Duration::from_hours(1), Some(retry_after), left)
        };
        assert_eq!(next(20, 3600), Some(300), "not sooner because of it");
        assert_eq!(next(600, 3600), Some(600));
        assert_eq!(next(600, 601), Some(600));
        assert_eq!(next(600, 599), None, "it ends before the retry_after does");
        assert_eq!(next(10_000, 3600), Some(900));
        assert_eq!(policy.longest_retry_after().as_secs(), 900);
    }

    #[test]
    fn there_is_no_late_look_without_after_watch_though_the_clock_was_set_back() {
        let policy = Policy::new(numbers());
        assert_eq!(next_late(&policy, Duration::ZERO, None, 27), None);
    }

    prop_compose! {
        fn any_intervals()(
            first in 0_u64..10_000, initial in 1_u64..120_000, multiplier in 1.01_f64..4.0,
            max in 1_u64..600_000, jitter in 0.0_f64..1.0, cap in 1_u64..3_600_000,
        ) -> Intervals {
            Intervals {
                first: Duration::from_millis(first),
                initial: Duration::from_millis(initial),
                multiplier,
                max: Duration::from_millis(max.max(initial)),
                jitter,
                max_retry_after: Duration::from_millis(cap),
            }
        }
    }

    proptest! {
        #[test]
        fn the_crate_equals_the_closed_form(numbers in any_intervals(), n in 1_u32..400) {
            let closed = numbers.initial.as_secs_f64() * numbers.multiplier.powi(i32::try_from(n).unwrap() - 1);
            let expected = closed.min(numbers.max.as_secs_f64());
            let got = Policy::new(numbers).interval(n).as_secs_f64();
            // Each step rounds down to whole nanoseconds, and the error grows with the interval.
            prop_assert!((got - expected).abs() <= 1e-5 + expected * 1e-5, "{got} {expected}");
        }

        #[test]
        fn a_schedule_never_passes_its_deadline_and_stays_within_jitter(
            numbers in any_intervals(), seed: u64, left in 0_u64..100_000_000,
            sightings in 1_u32..50, problems_in_a_row in 0_u32..50,
        ) {
            let policy = Policy::new(numbers);
            let left = Duration::from_millis(left);
            let tracking = Tracking { sightings, problems_in_a_row, ..Tracking::default() };
            let n = if problems_in_a_row == 0 { sightings } else { problems_in_a_row };
            let next = policy.next_poll(&tracking, None, start(), later(start(), left), &mut seeded_rng(seed));
            prop_assert!(next.after <= left);
            let interval = policy.interval(n);
            prop_assert!(next.after <= interval.mul_f64(1.0 + numbers.jitter) + Duration::from_nanos(1));
            prop_assert!(next.after <= numbers.max.mul_f64(1.0 + numbers.jitter) + Duration::from_nanos(1));
            prop_assert!(next.after + Duration::from_nanos(1) >= interval.mul_f64(1.0 - numbers.jitter).min(left));
        }

        #[test]
        fn a_schedule_never_undercuts_a_servers_wish(
            numbers in any_intervals(), seed: u64, left in 0_u64..100_000_000, retry_after in 0_u64..100_000_000,
        ) {
            let policy = Policy::new(numbers);
            let left = Duration::from_millis(left);
            let retry_after = Duration::from_millis(retry_after);
            let deadline = later(start(), left);
            let next = policy.next_poll(&Tracking::default(), Some(retry_after), start(), deadline, &mut seeded_rng(seed));
            if next.duty == Duty::Poll {
                prop_assert!(next.after >= policy.respected(retry_after));
                prop_assert!(next.after <= left);
            } else {
                prop_assert_eq!(next, Next::expire(left));
                prop_assert!(policy.respected(retry_after) > left);
            }
        }

        #[test]
        fn a_resumed_poll_stays_within_the_longest_interval(
            numbers in any_intervals(), seed: u64, age in 0_u64..100_000_000, left in 0_u64..100_000_000,
        ) {
            let policy = Policy::new(numbers);
            let now = later(start(), Duration::from_millis(age));
            let left = Duration::from_millis(left);
            let next = policy.resumed_poll(start(), now, later(now, left), &mut seeded_rng(seed));
            prop_assert!(next.after <= numbers.max);
            prop_assert!(next.after <= left);
        }
    }
}
