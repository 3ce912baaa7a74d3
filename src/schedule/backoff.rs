//! The interval before the next poll: what a [`Timing`] says, randomised here from the
//! generator passed in and kept within the deadline.

use std::time::Duration;

use jiff::Timestamp;
use rand::{Rng, RngExt};

use crate::clock::until;
use crate::schedule::Next;
use crate::timing::Timing;
use crate::watch::transition::Tracking;

/// How many times an ended watch is looked at for a late verdict, unless that is too
/// often or too rare.
const LATE_LOOKS: u32 = 12;
const LATE_INTERVAL_MAX: Duration = Duration::from_hours(1);

impl Timing {
    /// The delay before the first poll of a watch accepted at `now`.
    pub fn first_poll(&self, now: Timestamp, deadline: Timestamp) -> Next {
        Next::poll(self.first().min(until(now, deadline)))
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
    pub fn late_interval(&self) -> Duration {
        (self.after_watch() / LATE_LOOKS)
            .min(LATE_INTERVAL_MAX)
            .max(self.max())
    }

    /// The delay before the next such look; the last falls exactly on `ends_at`, and
    /// after it there is none. A server's retry_after is never undercut, so that one that goes
    /// beyond `ends_at` leaves no look at all. Neither does an `after_watch` of nothing,
    /// be `ends_at` in the future because the clock was set back.
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

    fn start() -> Timestamp {
        "2026-11-22T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn one_problem_does_not_stretch_the_schedule() {
        let timing = timing(without_jitter());
        let mut rng = seeded_rng(1);
        let deadline = later(start(), Duration::from_hours(1));
        let mut tracking = Tracking {
            sightings: 3,
            problems_in_a_row: 1,
            ..Tracking::default()
        };
        let after_problem = timing.next_poll(&tracking, None, start(), deadline, &mut rng);
        assert_eq!(after_problem, Next::poll(timing.interval(1)));
        tracking.problems_in_a_row = 0;
        let after_sighting = timing.next_poll(&tracking, None, start(), deadline, &mut rng);
        assert_eq!(after_sighting, Next::poll(timing.interval(3)));
    }

    #[test]
    fn a_wish_beyond_the_deadline_ends_the_watch_without_a_poll() {
        let timing = timing(numbers());
        let deadline = later(start(), Duration::from_secs(30));
        let next = timing.next_poll(
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
        for (after_watch, secs) in [(60, 60), (3600, 300), (6 * 3600, 1800), (864_000, 3600)] {
            let interval = looking_for(without_jitter(), after_watch).late_interval();
            assert_eq!(interval, Duration::from_secs(secs), "{after_watch}");
        }
        let timing = looking_for(without_jitter(), 3600);
        let next = |left: u64| next_late(&timing, None, left);
        assert_eq!(next(1000), Some(300));
        assert_eq!(next(7), Some(7));
        assert_eq!(next(0), None);
    }

    /// The timing with so many seconds of `after_watch`.
    fn looking_for(numbers: PollSettings, secs: u64) -> Timing {
        timing(PollSettings {
            after_watch: Some(Duration::from_secs(secs)),
            ..numbers
        })
    }

    /// The seconds until the next late look, when so many are left.
    fn next_late(timing: &Timing, retry_after: Option<u64>, left: u64) -> Option<u64> {
        let ends_at = later(start(), Duration::from_secs(left));
        let retry_after = retry_after.map(Duration::from_secs);
        let next = timing.late_poll(retry_after, start(), ends_at, &mut seeded_rng(1));
        next.map(|next| next.after.as_secs())
    }

    #[test]
    fn a_late_look_respects_the_servers_wish() {
        let numbers = PollSettings {
            max_retry_after: Some(Duration::from_mins(15)),
            ..without_jitter()
        };
        let timing = looking_for(numbers, 3600);
        let next = |retry_after, left| next_late(&timing, Some(retry_after), left);
        assert_eq!(next(20, 3600), Some(300), "not sooner because of it");
        assert_eq!(next(600, 3600), Some(600));
        assert_eq!(next(600, 601), Some(600));
        assert_eq!(next(600, 599), None, "it ends before the retry_after does");
        assert_eq!(next(10_000, 3600), Some(900));
        assert_eq!(timing.longest_retry_after().as_secs(), 900);
    }

    #[test]
    fn there_is_no_late_look_without_after_watch_though_the_clock_was_set_back() {
        let timing = looking_for(numbers(), 0);
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
        fn a_schedule_never_passes_its_deadline_and_stays_within_jitter(
            timing in any_timing(), seed: u64, left in 0_u64..100_000_000,
            sightings in 1_u32..50, problems_in_a_row in 0_u32..50,
        ) {
            let left = Duration::from_millis(left);
            let tracking = Tracking { sightings, problems_in_a_row, ..Tracking::default() };
            let n = if problems_in_a_row == 0 { sightings } else { problems_in_a_row };
            let next = timing.next_poll(&tracking, None, start(), later(start(), left), &mut seeded_rng(seed));
            prop_assert!(next.after <= left);
            let interval = timing.interval(n);
            prop_assert!(next.after <= interval.mul_f64(1.0 + timing.jitter()) + Duration::from_nanos(1));
            prop_assert!(next.after <= timing.max().mul_f64(1.0 + timing.jitter()) + Duration::from_nanos(1));
            prop_assert!(next.after + Duration::from_nanos(1) >= interval.mul_f64(1.0 - timing.jitter()).min(left));
        }

        #[test]
        fn a_schedule_never_undercuts_a_servers_wish(
            timing in any_timing(), seed: u64, left in 0_u64..100_000_000, retry_after in 0_u64..100_000_000,
        ) {
            let left = Duration::from_millis(left);
            let retry_after = Duration::from_millis(retry_after);
            let deadline = later(start(), left);
            let next = timing.next_poll(&Tracking::default(), Some(retry_after), start(), deadline, &mut seeded_rng(seed));
            if next.duty == Duty::Poll {
                prop_assert!(next.after >= timing.respected(retry_after));
                prop_assert!(next.after <= left);
            } else {
                prop_assert_eq!(next, Next::expire(left));
                prop_assert!(timing.respected(retry_after) > left);
            }
        }

        #[test]
        fn a_resumed_poll_stays_within_the_longest_interval(
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
