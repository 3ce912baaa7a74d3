//! The polls a second of one budget: as many as the service answers well, up to a ceiling. Pure:
//! a function of lateness, answers, throttling and uptime.
//!
//! A configured rate is the ceiling, and the budget starts there. Without one, the budget starts
//! at [`START`], and [`CEILING`] is the ceiling. Then:
//!
//! - Throttling halves the rate, down to a quarter of the start.
//! - Below the start it recovers with time.
//! - Above the start it grows while polls are late and the service answers well: for
//!   [`STEADY`] every poll got an answer, and on average an answer takes less than [`QUICK`], or at
//!   most twice as long as the quickest one.
//!
//! A step is a twentieth of the ceiling. Steps are [`STEP_EVERY`] apart, and
//! [`CAUTIOUS_STEP_EVERY`] in the [`CAUTIOUS_FOR`] after a throttling.

use std::time::Duration;

/// The polls a second of a budget without a configured rate: at the start, and at most.
pub const START: f64 = 5.0;
pub const CEILING: f64 = 20.0;

/// A poll is late if it waits for its budget for longer than this.
pub const LATE: Duration = Duration::from_secs(1);

/// The steps from zero to the ceiling.
const STEPS: f64 = 20.0;
const STEP_EVERY: Duration = Duration::from_secs(1);
const CAUTIOUS_STEP_EVERY: Duration = Duration::from_secs(10);
const CAUTIOUS_FOR: Duration = Duration::from_mins(10);
const STEADY: Duration = Duration::from_secs(10);
const QUICK: Duration = Duration::from_secs(1);
/// The least rate, as a part of the start.
const LEAST: f64 = 0.25;
/// The weight of the newest answer in the mean.
const WEIGHT: u32 = 8;

/// The rate of one budget, in use.
#[derive(Debug, Clone)]
pub(super) struct Rate {
    now: f64,
    start: f64,
    ceiling: f64,
    /// The uptime of the last step, or the end of the last pause.
    stepped_at: Duration,
    /// The end of the last pause.
    throttled_until: Option<Duration>,
    /// The uptime of the last poll without an answer.
    failed_at: Option<Duration>,
    /// How long the service takes to answer; `None` before its first answer.
    answers: Option<AnswerTimes>,
}

#[derive(Debug, Clone, Copy)]
struct AnswerTimes {
    mean: Duration,
    least: Duration,
}

impl Rate {
    pub(super) fn new(configured: Option<f64>) -> Self {
        let start = configured.unwrap_or(START);
        Self {
            now: start,
            start,
            ceiling: configured.unwrap_or(CEILING),
            stepped_at: Duration::ZERO,
            throttled_until: None,
            failed_at: None,
            answers: None,
        }
    }

    /// Returns the rate of two budgets that are merged, with this configured rate: the lower one.
    pub(super) fn merged(&self, other: &Self, configured: Option<f64>) -> Self {
        let fresh = Self::new(configured);
        Self {
            now: self.now.min(other.now).min(fresh.ceiling),
            stepped_at: self.stepped_at.max(other.stepped_at),
            throttled_until: self.throttled_until.max(other.throttled_until),
            failed_at: self.failed_at.max(other.failed_at),
            answers: self.answers.or(other.answers),
            ..fresh
        }
    }

    /// Returns the polls a second.
    pub(super) fn now(&self) -> f64 {
        self.now
    }

    /// Returns the most polls a second.
    pub(super) fn ceiling(&self) -> f64 {
        self.ceiling
    }

    /// Notes the duration of an answer.
    pub(super) fn answered(&mut self, took: Duration) {
        let answers = self.answers.get_or_insert(AnswerTimes {
            mean: took,
            least: took,
        });
        answers.mean = (answers.mean * (WEIGHT - 1) + took) / WEIGHT;
        answers.least = answers.least.min(took);
    }

    /// Notes a poll that the service could not answer.
    pub(super) fn failed(&mut self, uptime: Duration) {
        self.failed_at = Some(uptime);
    }

    /// Halves the rate, because the service throttled a poll.
    pub(super) fn halve(&mut self) {
        self.now = (self.now / 2.0).max(self.start * LEAST);
    }

    /// Notes that the service wants no polls before this uptime; nothing grows before it.
    pub(super) fn rest(&mut self, until: Duration) {
        self.throttled_until = self.throttled_until.max(Some(until));
        self.stepped_at = self.stepped_at.max(until);
    }

    /// Makes the steps that are due while the oldest waiting poll is `lateness` late. Returns true
    /// if the rate changed.
    pub(super) fn step(&mut self, lateness: Duration, uptime: Duration) -> bool {
        let steps = self.steps_due(uptime);
        if steps == 0 {
            return false;
        }
        let step = self.ceiling / STEPS;
        let next = if self.now < self.start {
            (self.now + step * f64::from(steps)).min(self.start)
        } else if self.now < self.ceiling && lateness > LATE && self.is_answered_well(uptime) {
            (self.now + step).min(self.ceiling)
        } else {
            return false;
        };
        self.now = next;
        self.stepped_at = uptime;
        true
    }

    /// True during a pause and for [`CAUTIOUS_FOR`] after it.
    pub(super) fn is_cautious(&self, uptime: Duration) -> bool {
        let is_recent = |until: Duration| uptime <= until.saturating_add(CAUTIOUS_FOR);
        self.throttled_until.is_some_and(is_recent)
    }

    fn steps_due(&self, uptime: Duration) -> u32 {
        let every = if self.is_cautious(uptime) {
            CAUTIOUS_STEP_EVERY
        } else {
            STEP_EVERY
        };
        let steps = uptime.saturating_sub(self.stepped_at).as_secs() / every.as_secs();
        u32::try_from(steps).unwrap_or(u32::MAX)
    }

    fn is_answered_well(&self, uptime: Duration) -> bool {
        let is_steady = self
            .failed_at
            .is_none_or(|at| uptime.saturating_sub(at) > STEADY);
        let is_quick = |it: AnswerTimes| it.mean < QUICK || it.mean <= it.least * 2;
        is_steady && self.answers.is_some_and(is_quick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn answered(configured: Option<f64>) -> Rate {
        let mut rate = Rate::new(configured);
        rate.answered(ms(50));
        rate
    }

    fn is_at(rate: &Rate, expected: f64) -> bool {
        (rate.now() - expected).abs() < 1e-9
    }

    /// Steps once a second while polls are late. Returns the rate after each second.
    fn while_late(rate: &mut Rate, seconds: std::ops::Range<u64>) -> Vec<f64> {
        let late = |n| {
            rate.step(secs(2), secs(n));
            rate.now()
        };
        seconds.map(late).collect()
    }

    #[test]
    fn a_found_rate_grows_to_the_ceiling_while_polls_are_late() {
        let mut rate = answered(None);
        assert!(!rate.step(LATE, secs(10)), "nothing is late");
        assert_eq!(while_late(&mut rate, 11..14), [6.0, 7.0, 8.0]);
        assert!(!rate.step(HOUR, ms(13_900)), "one step a second");
        while_late(&mut rate, 14..40);
        assert!(is_at(&rate, CEILING));
    }

    #[test]
    fn a_found_rate_grows_only_while_answers_are_quick() {
        let mut unanswered = Rate::new(None);
        assert!(!unanswered.step(HOUR, secs(10)));
        let mut slow = answered(None);
        for _ in 0..50 {
            slow.answered(ms(1500));
        }
        assert!(!slow.step(HOUR, secs(10)), "50 ms have become 1.5 s");
        let mut always_slow = Rate::new(None);
        for _ in 0..50 {
            always_slow.answered(ms(1500));
        }
        assert!(always_slow.step(HOUR, secs(10)), "it is always like that");
    }

    #[test]
    fn a_poll_without_an_answer_stops_the_growth_for_a_time() {
        let mut rate = answered(None);
        rate.failed(secs(10));
        assert!(!rate.step(HOUR, secs(20)));
        assert!(rate.step(HOUR, secs(21)));
    }

    #[test]
    fn throttling_halves_a_found_rate_which_then_grows_slowly() {
        let mut rate = answered(None);
        while_late(&mut rate, 1..30);
        rate.halve();
        rate.rest(secs(60));
        assert_eq!(while_late(&mut rate, 30..70).pop(), Some(10.0));
        assert_eq!(while_late(&mut rate, 70..80).pop(), Some(11.0));
        let later = 60 + CAUTIOUS_FOR.as_secs();
        assert_eq!(
            while_late(&mut rate, later + 1..later + 3),
            [12.0, 13.0],
            "every second again"
        );
    }

    #[test]
    fn a_configured_rate_is_a_ceiling_to_which_it_recovers() {
        let mut rate = answered(Some(40.0));
        assert!(!rate.step(HOUR, secs(10)));
        rate.halve();
        rate.rest(secs(100));
        assert!(!rate.step(Duration::ZERO, secs(109)), "{rate:?}");
        assert!(rate.step(Duration::ZERO, secs(110)));
        assert!(is_at(&rate, 22.0));
        assert!(rate.step(Duration::ZERO, secs(500)));
        assert!(is_at(&rate, 40.0), "quiet time counts");
    }

    #[test]
    fn throttling_leaves_a_quarter_of_the_start() {
        let mut rate = Rate::new(None);
        for _ in 0..10 {
            rate.halve();
        }
        assert!(is_at(&rate, 1.25));
    }

    proptest! {
        #[test]
        fn the_rate_stays_between_its_limits(
            configured in prop::option::of(0.01_f64..1000.0),
            deeds in prop::collection::vec((0_u8..4, 0_u64..20_000), 1..200),
        ) {
            let mut rate = Rate::new(configured);
            let mut uptime = Duration::ZERO;
            for (deed, n) in deeds {
                uptime += ms(n);
                match deed {
                    0 => rate.answered(ms(n % 2000)),
                    1 => rate.failed(uptime),
                    2 => { rate.halve(); rate.rest(uptime + ms(n)); }
                    _ => { rate.step(ms(n), uptime); }
                }
                let start = configured.unwrap_or(START);
                prop_assert!(rate.now() <= rate.ceiling() && rate.now() >= start * LEAST);
            }
        }
    }
}
