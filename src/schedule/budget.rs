//! The limits of one endpoint and credential: a rate, a burst, a number of polls in flight,
//! and a pause when the service says that there were too many requests.
//!
//! The rate is kept as a *theoretical arrival time* (the generic cell rate algorithm, a
//! token bucket without a refill timer): one instant per budget, and a pure function of
//! the uptime that the caller gives. When the rate changes, the part of the burst that is in use
//! stays the same, so no window ever has more polls than the ceiling and the burst allow.

use std::sync::Arc;
use std::time::Duration;

use crate::schedule::rate::{CEILING, Rate};

/// The limits of a budget, as configured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// The most polls a second on average, more than 0; `None` if the budget finds its own rate.
    pub rate: Option<f64>,
    /// The number of polls that may start at once after a quiet time; at least 1.
    pub burst: u32,
    /// The number of polls that may be in flight; at least 1.
    pub concurrency: u32,
}

impl Limits {
    /// Returns the stricter value of each limit, for services that share a budget. A service
    /// without a rate leaves it to the others.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        let rates = [self.rate, other.rate].into_iter().flatten();
        Self {
            rate: rates.reduce(f64::min),
            burst: self.burst.min(other.burst),
            concurrency: self.concurrency.min(other.concurrency),
        }
    }

    /// Returns the most polls a second on average, whether configured or not.
    pub fn ceiling(self) -> f64 {
        self.rate.unwrap_or(CEILING)
    }
}

/// The permission for one poll in flight. Dropping it gives it back to the budget.
#[derive(Debug)]
pub struct Permit {
    /// The budget counts the clones.
    _counted: Arc<()>,
    since: Duration,
}

impl Permit {
    /// Returns the uptime at which it was granted.
    pub fn since(&self) -> Duration {
        self.since
    }
}

/// The answer of a budget to one more poll.
#[derive(Debug)]
pub enum Admission {
    /// The poll may start; the permit must live as long as the poll.
    Granted(Permit),
    /// The poll may not start before this uptime.
    NotBefore(Duration),
    /// The poll may not start before another one ends.
    Full,
}

/// The shared limits of one endpoint and credential, in use.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    rate: Rate,
    /// One clone for each permit in use.
    permits: Arc<()>,
    /// The permits in use of the budgets that were merged into this one.
    merged: Vec<Arc<()>>,
    arrival: Duration,
    paused_until: Duration,
    /// The length of the last pause.
    last_pause: Duration,
    throttled_run: u32,
    /// The part of the limits that this replica has, and the whole.
    share: (u16, u16),
}

impl Budget {
    /// Makes a budget that allows a full burst.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            rate: Rate::new(limits.rate),
            permits: Arc::default(),
            merged: Vec::new(),
            arrival: Duration::ZERO,
            paused_until: Duration::ZERO,
            last_pause: Duration::ZERO,
            throttled_run: 0,
            share: (1, 1),
        }
    }

    /// Sets the part of the limits that this replica has; others have the rest of the whole.
    pub fn share(&mut self, part: u16, whole: u16, uptime: Duration) {
        let before = self.rate();
        self.share = (part.clamp(1, whole), whole);
        self.stretch(before, uptime);
    }

    /// Admits one poll at `uptime`, or says when to try again.
    pub fn admit(&mut self, uptime: Duration) -> Admission {
        if let Some(until) = self.paused(uptime) {
            return Admission::NotBefore(until);
        }
        if self.in_flight() >= self.part_of(self.limits.concurrency) as usize {
            return Admission::Full;
        }
        let earliest = self.earliest();
        if earliest > uptime {
            return Admission::NotBefore(earliest);
        }
        self.charge(uptime);
        Admission::Granted(Permit {
            _counted: Arc::clone(&self.permits),
            since: uptime,
        })
    }

    /// Spends a further request of a poll that is under way: the next page of a list. Returns false
    /// and spends nothing if rate, burst or a pause do not allow it now.
    pub fn spend(&mut self, uptime: Duration) -> bool {
        let is_allowed = self.paused(uptime).is_none() && self.earliest() <= uptime;
        if is_allowed {
            self.charge(uptime);
        }
        is_allowed
    }

    /// Spends a further request that cannot wait; the next polls wait for it.
    pub fn charge(&mut self, uptime: Duration) {
        self.arrival = self.arrival.max(uptime) + self.spacing();
    }

    /// Returns the uptime from which on rate and burst allow a request.
    fn earliest(&self) -> Duration {
        // The time that a burst may run ahead of the rate.
        let ahead = self.part_of(self.limits.burst).saturating_sub(1);
        let tolerance = self.spacing().saturating_mul(ahead);
        self.arrival.saturating_sub(tolerance)
    }

    /// Returns the time between two polls at the present rate.
    /// Returns this replica's part of a number; at least 1, or it could make no poll.
    fn part_of(&self, number: u32) -> u32 {
        let (part, whole) = self.share;
        let part = u64::from(number) * u64::from(part) / u64::from(whole);
        u32::try_from(part).unwrap_or(number).max(1)
    }

    fn spacing(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate())
    }

    /// Returns the number of polls in flight.
    pub fn in_flight(&self) -> usize {
        let all = std::iter::once(&self.permits).chain(&self.merged);
        all.map(|permits| Arc::strong_count(permits) - 1).sum()
    }

    /// Merges another budget into this one, because both are for one endpoint. The stricter limits
    /// count, and what either has spent, paused and started counts for both.
    pub fn merge(&mut self, other: Self, uptime: Duration) {
        let spent = |it: &Self| {
            it.arrival
                .saturating_sub(uptime)
                .div_duration_f64(it.spacing())
        };
        let spent = spent(self) + spent(&other);
        self.limits = self.limits.stricter(other.limits);
        self.rate = self.rate.merged(&other.rate, self.limits.rate);
        self.arrival = uptime + self.spacing().mul_f64(spent);
        self.paused_until = self.paused_until.max(other.paused_until);
        self.last_pause = self.last_pause.max(other.last_pause);
        self.throttled_run = self.throttled_run.max(other.throttled_run);
        self.merged.push(other.permits);
        self.merged.extend(other.merged);
        self.merged.retain(|permits| Arc::strong_count(permits) > 1);
    }

    /// Returns the present polls a second.
    pub fn rate(&self) -> f64 {
        let (part, whole) = self.share;
        self.rate.now() * f64::from(part) / f64::from(whole)
    }

    /// Returns the most polls a second.
    pub fn ceiling(&self) -> f64 {
        self.rate.ceiling()
    }

    /// Notes the duration of an answer.
    pub fn answered(&mut self, took: Duration) {
        self.rate.answered(took);
    }

    /// Notes a poll that the service could not answer.
    pub fn failed(&mut self, uptime: Duration) {
        self.rate.failed(uptime);
    }

    /// Lets the rate grow if it may, while the oldest poll that waits is `lateness` late.
    pub fn keep_up(&mut self, lateness: Duration, uptime: Duration) {
        self.change_rate(uptime, |rate| rate.step(lateness, uptime));
    }

    /// Changes the rate, and keeps the part of the burst that is in use.
    fn change_rate(&mut self, uptime: Duration, change: impl FnOnce(&mut Rate) -> bool) {
        let before = self.rate();
        if change(&mut self.rate) {
            self.stretch(before, uptime);
        }
    }

    /// Keeps the part of the burst that is in use, after the rate was `before`.
    fn stretch(&mut self, before: f64, uptime: Duration) {
        if self.arrival > uptime {
            let ahead = self.arrival.saturating_sub(uptime);
            self.arrival = uptime + ahead.mul_f64(before / self.rate());
        }
    }

    /// Returns the uptime at which the pause of the service ends; `None` without a pause.
    pub fn paused(&self, uptime: Duration) -> Option<Duration> {
        (self.paused_until > uptime).then_some(self.paused_until)
    }

    /// True if the service throttles, or did not long ago: the rate grows slowly.
    pub fn was_throttled(&self, uptime: Duration) -> bool {
        self.rate.is_cautious(uptime)
    }

    /// Pauses all polls of this budget and halves its rate, because the service throttled one.
    /// Answers to polls that were already in flight count as the same throttling.
    ///
    /// `pause` returns the length for the nth throttling in a row. A throttling continues the
    /// row if the time since the end of the last pause is at most the length of that pause. A
    /// normal answer in between does not end the row: a service that throttles still answers
    /// some requests.
    pub fn throttled(&mut self, uptime: Duration, pause: impl FnOnce(u32) -> Duration) {
        if self.paused(uptime).is_none() {
            let is_in_a_row = uptime <= self.paused_until.saturating_add(self.last_pause);
            let run = if is_in_a_row { self.throttled_run } else { 0 };
            self.throttled_run = run.saturating_add(1);
            self.change_rate(uptime, |rate| {
                rate.halve();
                true
            });
        }
        let length = pause(self.throttled_run);
        let until = uptime.saturating_add(length);
        if until > self.paused_until {
            self.paused_until = until;
            self.last_pause = length;
        }
        self.rate.rest(self.paused_until);
    }

    /// Returns the limits that this budget was made with.
    pub fn limits(&self) -> Limits {
        self.limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn budget(rate: f64, burst: u32, concurrency: u32) -> Budget {
        Budget::new(Limits {
            rate: Some(rate),
            burst,
            concurrency,
        })
    }

    fn is_granted(admission: &Admission) -> bool {
        matches!(admission, Admission::Granted(_))
    }

    fn not_before(admission: &Admission) -> Option<Duration> {
        match admission {
            Admission::NotBefore(at) => Some(*at),
            _ => None,
        }
    }

    fn is_close(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-9
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn burst_passes_and_then_the_rate_holds() {
        let mut budget = budget(10.0, 3, 100);
        for _ in 0..3 {
            assert!(is_granted(&budget.admit(ms(1000))));
        }
        assert_eq!(not_before(&budget.admit(ms(1000))), Some(ms(1100)));
        assert!(is_granted(&budget.admit(ms(1100))));
        assert_eq!(not_before(&budget.admit(ms(1100))), Some(ms(1200)));
    }

    #[test]
    fn pages_of_a_list_spend_like_polls() {
        let mut budget = budget(10.0, 3, 100);
        let poll = budget.admit(ms(1000));
        assert!(is_granted(&poll));
        let pages = [1000, 1000, 1000, 1100].map(|at| budget.spend(ms(at)));
        assert_eq!(pages, [true, true, false, true]);
        budget.charge(ms(1100));
        assert_eq!(not_before(&budget.admit(ms(1100))), Some(ms(1300)));
        budget.throttled(ms(1500), |_| ms(500));
        assert!(!budget.spend(ms(1999)), "in the pause");
    }

    #[test]
    fn polls_in_flight_are_bounded() {
        let mut budget = budget(1000.0, 100, 2);
        let permits = [budget.admit(ms(0)), budget.admit(ms(0))];
        assert!(permits.iter().all(is_granted));
        assert!(matches!(budget.admit(ms(0)), Admission::Full));
        drop(permits);
        assert!(is_granted(&budget.admit(ms(0))));
    }

    #[test]
    fn throttling_pauses_the_budget_and_counts_once_in_flight() {
        let mut budget = budget(1000.0, 100, 100);
        let mut runs = Vec::new();
        for at in [0, 1, 2] {
            budget.throttled(ms(at), |run| {
                runs.push(run);
                ms(500)
            });
        }
        assert_eq!(runs, [1, 1, 1]);
        assert_eq!(not_before(&budget.admit(ms(3))), Some(ms(502)));
        assert!(is_granted(&budget.admit(ms(502))));
    }

    #[test]
    fn row_of_throttlings_ends_after_a_quiet_time() {
        let mut budget = budget(1000.0, 100, 100);
        let mut throttle = |at: u64| {
            let mut counted = 0;
            budget.throttled(ms(at), |run| {
                counted = run;
                ms(500)
            });
            counted
        };
        assert_eq!([throttle(0), throttle(600), throttle(1600)], [1, 2, 3]);
        assert_eq!(
            throttle(2601),
            1,
            "a pause of 500 ms, and then more than 500 ms without a throttling"
        );
    }

    fn grants(budget: &mut Budget, uptime: Duration) -> usize {
        std::iter::repeat_with(|| budget.admit(uptime))
            .take_while(is_granted)
            .count()
    }

    #[test]
    fn a_replica_has_its_share_of_the_limits() {
        let mut budget = budget(16.0, 8, 6);
        budget.share(64, 256, ms(0));
        assert!(is_close(budget.rate(), 4.0));
        let permits = [budget.admit(ms(0)), budget.admit(ms(0))];
        assert!(is_granted(&permits[0]));
        assert!(matches!(permits[1], Admission::Full), "a quarter of 6");
        drop(permits);
        assert!(is_granted(&budget.admit(ms(0))), "a quarter of the burst");
        assert_eq!(not_before(&budget.admit(ms(0))), Some(ms(250)));
        budget.share(256, 256, ms(0));
        assert!(is_granted(&budget.admit(ms(0))));
        budget.share(0, 256, ms(0));
        assert!(is_close(budget.rate(), 1.0 / 16.0), "one shard at least");
    }

    #[test]
    fn throttling_halves_the_rate_and_keeps_the_burst_in_use() {
        let mut budget = budget(10.0, 4, 100);
        assert_eq!(grants(&mut budget, ms(1000)), 4);
        assert!(!budget.was_throttled(ms(1000)));
        budget.throttled(ms(1000), |_| ms(100));
        assert!(budget.was_throttled(ms(2000)));
        assert!(is_close(budget.rate(), 5.0));
        assert_eq!(not_before(&budget.admit(ms(1100))), Some(ms(1200)));
        budget.throttled(ms(1050), |_| ms(150));
        assert!(is_close(budget.rate(), 5.0), "one throttling");
    }

    /// All are due at once, and each answer takes 200 ms.
    #[test]
    fn a_budget_without_a_rate_makes_400_polls_in_28_s() {
        let mut budget = Budget::new(Limits {
            rate: None,
            burst: 5,
            concurrency: 8,
        });
        let mut in_flight: Vec<(Duration, Permit)> = Vec::new();
        let (mut left, mut now) = (400, Duration::ZERO);
        while left > 0 {
            in_flight.retain(|(ends, _)| *ends > now);
            while left > 0
                && let Admission::Granted(permit) = budget.admit(now)
            {
                in_flight.push((now + ms(200), permit));
                budget.answered(ms(200));
                left -= 1;
            }
            budget.keep_up(now, now);
            now += ms(50);
        }
        assert!(now > ms(20_000) && now <= ms(28_000), "{now:?}");
    }

    #[test]
    fn merged_budgets_spend_and_pause_as_one() {
        let mut one = budget(10.0, 4, 3);
        let mut other = budget(2.0, 2, 8);
        let mut permits: Vec<Admission> = (0..2).map(|_| one.admit(ms(0))).collect();
        permits.push(other.admit(ms(0)));
        one.merge(other, ms(0));
        assert_eq!(one.in_flight(), 3);
        assert!(matches!(one.admit(ms(9000)), Admission::Full));
        permits.clear();
        assert_eq!(one.in_flight(), 0);
        let next = not_before(&one.admit(ms(0)));
        assert_eq!(next, Some(ms(1000)), "three were spent of a burst of two");
        let mut paused = budget(10.0, 4, 3);
        paused.throttled(ms(1000), |_| ms(5000));
        one.merge(paused, ms(2000));
        assert_eq!(not_before(&one.admit(ms(2000))), Some(ms(6000)));
        assert!(one.rate() <= 2.0);
    }

    #[test]
    fn a_service_without_a_rate_leaves_it_to_the_others() {
        let limits = |rate| Limits {
            rate,
            burst: 5,
            concurrency: 8,
        };
        let both = |one, other| limits(one).stricter(limits(other)).rate;
        assert_eq!(both(None, Some(50.0)), Some(50.0));
        assert_eq!(both(Some(2.0), Some(50.0)), Some(2.0));
        assert_eq!(both(None, None), None);
        assert!(is_close(limits(None).ceiling(), 20.0));
    }

    /// The deeds of a simple client: it polls, is throttled, or waits.
    fn deeds() -> impl Strategy<Value = Vec<(u8, u64)>> {
        prop::collection::vec((0_u8..10, 0_u64..400), 1..300)
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_rate_and_burst(
            configured in prop::option::of(1.0_f64..50.0), burst in 1_u32..20, deeds in deeds(),
        ) {
            let limits = Limits { rate: configured, burst, concurrency: u32::MAX };
            let mut budget = Budget::new(limits);
            let mut now = 0;
            let mut polls: Vec<u64> = Vec::new();
            for (deed, wait) in deeds {
                now += wait;
                match deed {
                    0 => budget.throttled(ms(now), |_| ms(wait)),
                    1 => budget.failed(ms(now)),
                    _ => budget.answered(ms(wait)),
                }
                budget.keep_up(ms(wait * 10), ms(now));
                polls.extend(std::iter::repeat_n(now, grants(&mut budget, ms(now))));
            }
            for (i, from) in polls.iter().enumerate() {
                for (j, to) in polls.iter().enumerate().skip(i) {
                    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                    let allowed =
                        f64::from(burst) + (to - from) as f64 / 1000.0 * limits.ceiling() + 1e-3;
                    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                    let got = (j - i + 1) as f64;
                    prop_assert!(got <= allowed, "{got} polls within {} ms", to - from);
                }
            }
        }
    }
}
