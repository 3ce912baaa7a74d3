//! The time until the next poll: an interval of a [`Timing`], randomised here with the
//! generator that the caller gives, and kept within the deadline.

use std::time::Duration;

use jiff::Timestamp;
use rand::{Rng, RngExt};

use crate::clock::until;
use crate::schedule::Next;
use crate::timing::Timing;
use crate::watch::observation::AskedWait;
use crate::watch::tracking::Tracking;

/// The number of late polls of a watch that ended without a verdict, unless the interval
/// would then be too short or too long.
const LATE_POLLS: u32 = 12;
const LATE_INTERVAL_MAX: Duration = Duration::from_hours(1);

impl Timing {
    /// Returns the delay before the first poll of a watch that was accepted at `now`.
    pub fn first_poll(&self, now: Timestamp, deadline: Timestamp) -> Next {
        Next::poll(self.first().min(until(now, deadline)))
    }

    /// Returns the delay before the first poll after a restart: a random part of the interval
    /// that a watch of this age had reached, so that not all watches are polled at once.
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

    /// Returns the delay before the poll that follows an observation made at `now`.
    ///
    /// Sightings and problems count their own intervals, so that one 502 does not stretch the
    /// schedule. The `retry_after` of a server and the pace of an answer replace the interval, and
    /// the delay is never shorter. An end that waits to be believed is looked at again after the
    /// first interval. The last poll falls exactly on the deadline.
    pub fn next_poll(
        &self,
        tracking: &Tracking,
        wait: AskedWait,
        now: Timestamp,
        deadline: Timestamp,
        rng: &mut impl Rng,
    ) -> Next {
        let left = until(now, deadline);
        let retry_after = wait
            .retry_after
            .map(|retry_after| self.respected(retry_after));
        if retry_after.is_some_and(|retry_after| retry_after > left) {
            return Next::expire(left);
        }
        // A pace is about the progress of the job. An end that waits to be believed has none.
        let pace = wait.pace.filter(|_| !tracking.waits_for_confirmation());
        let pace = pace.map(|pace| self.paced(pace));
        if let Some(asked) = retry_after.max(pace) {
            return Next::poll(self.spread_up(asked, rng).min(left));
        }
        let n = match tracking.problems_in_a_row {
            0 if tracking.waits_for_confirmation() => 1,
            0 => tracking.sightings,
            run => run,
        };
        Next::poll(self.spread(self.interval(n), rng).min(left))
    }

    /// Returns the interval between late polls, for a verdict that comes within `after_watch`:
    /// twelve polls, at most an hour apart, and at least the longest interval of a watch that
    /// continues.
    pub fn late_interval(&self) -> Duration {
        (self.after_watch() / LATE_POLLS)
            .min(LATE_INTERVAL_MAX)
            .max(self.max())
    }

    /// Returns the delay before the next late poll; the last falls exactly on `ends_at`. `None`
    /// if no more follow: after `ends_at`, if the `retry_after` of the server goes beyond it, and
    /// if `after_watch` is zero. The latter is checked by itself, since a clock that was set
    /// back can put `ends_at` into the future.
    pub fn late_poll(
        &self,
        retry_after: Option<Duration>,
        now: Timestamp,
        ends_at: Timestamp,
        rng: &mut impl Rng,
    ) -> Option<Next> {
        let left = until(now, ends_at);
        let retry_after =
            retry_after.map_or(Duration::ZERO, |retry_after| self.respected(retry_after));
        if self.after_watch().is_zero() || left.is_zero() || retry_after > left {
            return None;
        }
        let interval = self.spread(self.late_interval(), rng);
        Some(Next::poll_late(interval.max(retry_after).min(left)))
    }

    /// Returns the longest `retry_after` that is respected: the longest time for which a service
    /// may still want no requests when its last `retry_after` is not known any more.
    pub fn longest_retry_after(&self) -> Duration {
        self.respected(Duration::MAX)
    }

    /// Returns the pace of an answer within limits: at most `max_retry_after`, and at least a tenth
    /// of the first interval.
    fn paced(&self, pace: Duration) -> Duration {
        pace.min(self.max_retry_after()).max(self.initial() / 10)
    }

    /// Returns the `retry_after` of a server within limits: at most `max_retry_after`, and at
    /// least the first interval. Zero, or a date that has passed because the clock of the server
    /// differs from ours, does not allow requests without a pause.
    pub fn respected(&self, retry_after: Duration) -> Duration {
        retry_after
            .min(self.max_retry_after())
            .max(self.initial().min(self.max()))
    }

    fn spread(&self, interval: Duration, rng: &mut impl Rng) -> Duration {
        let jitter = self.jitter();
        interval.mul_f64(rng.random_range(1.0 - jitter..=1.0 + jitter))
    }

    fn spread_up(&self, retry_after: Duration, rng: &mut impl Rng) -> Duration {
        retry_after.mul_f64(rng.random_range(1.0..=1.0 + self.jitter()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{later, seeded_rng};
    use crate::schedule::Duty;
    use crate::timing::PollSettings;
    use crate::timing::sample::least;
    use proptest::prelude::*;

    fn numbers() -> PollSettings {
        PollSettings {
            first: Some(Duration::from_secs(2)),
            initial: Some(Duration::from_secs(2)),
            multiplier: Some(1.5),
            max: Some(Duration::from_mins(1)),
            jitter: Some(0.2),
            max_retry_after: Some(Duration::from_mins(10)),
            ..least()
        }
    }

    fn without_jitter() -> PollSettings {
        PollSettings {
            jitter: Some(0.0),
            ..numbers()
        }
    }

    fn timing(numbers: PollSettings) -> Timing {
        numbers.complete().unwrap()
    }

    fn retry(after: Duration) -> AskedWait {
        AskedWait {
            retry_after: Some(after),
            pace: None,
        }
    }

    fn start() -> Timestamp {
        "2026-11-22T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn one_problem_does_not_lengthen_the_interval() {
        let timing = timing(without_jitter());
        let mut rng = seeded_rng(1);
        let deadline = later(start(), Duration::from_hours(1));
        let mut tracking = Tracking {
            sightings: 3,
            problems_in_a_row: 1,
            ..Tracking::default()
        };
        let after_problem =
            timing.next_poll(&tracking, AskedWait::default(), start(), deadline, &mut rng);
        assert_eq!(after_problem, Next::poll(timing.interval(1)));
        tracking.problems_in_a_row = 0;
        let after_sighting =
            timing.next_poll(&tracking, AskedWait::default(), start(), deadline, &mut rng);
        assert_eq!(after_sighting, Next::poll(timing.interval(3)));
    }

    #[test]
    fn retry_after_beyond_the_deadline_ends_without_a_poll() {
        let timing = timing(numbers());
        let deadline = later(start(), Duration::from_secs(30));
        let next = timing.next_poll(
            &Tracking::default(),
            retry(Duration::from_secs(31)),
            start(),
            deadline,
            &mut seeded_rng(1),
        );
        assert_eq!(next, Next::expire(Duration::from_secs(30)));
    }

    #[test]
    fn late_polls_are_rare_and_the_last_is_at_the_end() {
        for (after_watch, secs) in [(60, 60), (3600, 300), (6 * 3600, 1800), (864_000, 3600)] {
            let interval = with_after_watch(without_jitter(), after_watch).late_interval();
            assert_eq!(interval, Duration::from_secs(secs), "{after_watch}");
        }
        let timing = with_after_watch(without_jitter(), 3600);
        let next = |left: u64| next_late(&timing, None, left);
        assert_eq!(next(1000), Some(300));
        assert_eq!(next(7), Some(7));
        assert_eq!(next(0), None);
    }

    /// The timing with an `after_watch` of `secs` seconds.
    fn with_after_watch(numbers: PollSettings, secs: u64) -> Timing {
        timing(PollSettings {
            after_watch: Some(Duration::from_secs(secs)),
            ..numbers
        })
    }

    /// The seconds until the next late poll when `left` seconds are left.
    fn next_late(timing: &Timing, retry_after: Option<u64>, left: u64) -> Option<u64> {
        let ends_at = later(start(), Duration::from_secs(left));
        let retry_after = retry_after.map(Duration::from_secs);
        let next = timing.late_poll(retry_after, start(), ends_at, &mut seeded_rng(1));
        next.map(|next| next.after.as_secs())
    }

    #[test]
    fn late_poll_respects_retry_after() {
        let numbers = PollSettings {
            max_retry_after: Some(Duration::from_mins(15)),
            ..without_jitter()
        };
        let timing = with_after_watch(numbers, 3600);
        let next = |retry_after, left| next_late(&timing, Some(retry_after), left);
        assert_eq!(next(20, 3600), Some(300), "the interval is not shortened");
        assert_eq!(next(600, 3600), Some(600));
        assert_eq!(next(600, 601), Some(600));
        assert_eq!(next(600, 599), None, "the end comes before the retry_after");
        assert_eq!(next(10_000, 3600), Some(900));
        assert_eq!(timing.longest_retry_after().as_secs(), 900);
    }

    #[test]
    fn no_late_poll_without_after_watch_when_clock_is_set_back() {
        let timing = with_after_watch(numbers(), 0);
        assert_eq!(next_late(&timing, None, 27), None);
    }

    prop_compose! {
        fn any_timing()(
            first in 0_u64..10_000, initial in 1_u64..120_000, multiplier in 1.01_f64..4.0,
            max in 1_u64..600_000, jitter in 0.0_f64..1.0, cap in 1_u64..3_600_000,
        ) -> Timing {
            timing(PollSettings {
                first: Some(Duration::from_millis(first)),
                initial: Some(Duration::from_millis(initial)),
                multiplier: Some(multiplier),
                max: Some(Duration::from_millis(max.max(initial))),
                jitter: Some(jitter),
                max_retry_after: Some(Duration::from_millis(cap)),
                ..least()
            })
        }
    }

    proptest! {
        #[test]
        fn schedule_stays_within_deadline_and_jitter(
            timing in any_timing(), seed: u64, left in 0_u64..100_000_000,
            sightings in 1_u32..50, problems_in_a_row in 0_u32..50,
        ) {
            let left = Duration::from_millis(left);
            let tracking = Tracking { sightings, problems_in_a_row, ..Tracking::default() };
            let n = if problems_in_a_row == 0 { sightings } else { problems_in_a_row };
            let next = timing.next_poll(&tracking, AskedWait::default(), start(), later(start(), left), &mut seeded_rng(seed));
            prop_assert!(next.after <= left);
            let interval = timing.interval(n);
            prop_assert!(next.after <= interval.mul_f64(1.0 + timing.jitter()) + Duration::from_nanos(1));
            prop_assert!(next.after <= timing.max().mul_f64(1.0 + timing.jitter()) + Duration::from_nanos(1));
            prop_assert!(next.after + Duration::from_nanos(1) >= interval.mul_f64(1.0 - timing.jitter()).min(left));
        }

        #[test]
        fn schedule_is_never_sooner_than_retry_after(
            timing in any_timing(), seed: u64, left in 0_u64..100_000_000, retry_after in 0_u64..100_000_000,
        ) {
            let left = Duration::from_millis(left);
            let retry_after = Duration::from_millis(retry_after);
            let deadline = later(start(), left);
            let next = timing.next_poll(&Tracking::default(), retry(retry_after), start(), deadline, &mut seeded_rng(seed));
            if next.duty == Duty::Poll {
                prop_assert!(next.after >= timing.respected(retry_after));
                prop_assert!(next.after <= left);
            } else {
                prop_assert_eq!(next, Next::expire(left));
                prop_assert!(timing.respected(retry_after) > left);
            }
        }

        #[test]
        fn resumed_poll_stays_within_the_longest_interval(
            timing in any_timing(), seed: u64, age in 0_u64..100_000_000, left in 0_u64..100_000_000,
        ) {
            let now = later(start(), Duration::from_millis(age));
            let left = Duration::from_millis(left);
            let next = timing.resumed_poll(start(), now, later(now, left), &mut seeded_rng(seed));
            prop_assert!(next.after <= timing.max());
            prop_assert!(next.after <= left);
        }
    }
}
