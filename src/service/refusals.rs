//! Decides how to continue after a service refused a secret. Pure.
//!
//! After a refusal the secret is renewed and the request sent once more. If the new secret
//! is refused too, each further renewal waits longer than the last, so that a service that
//! refuses every secret does not cause a login at every poll. During that wait the same
//! secret is not sent to it again, unless the service accepts the secret for other jobs.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::until;
use crate::credential::Generation;
use crate::credential::lease::doubled;

/// The first pause after a renewal that did not help, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));
/// After this time without a refusal the count starts again.
const CALM: Duration = Duration::from_mins(15);

/// The secrets that a service accepted and refused.
#[derive(Debug, Clone, Copy, Default)]
pub struct Refusals {
    accepted: Option<Generation>,
    fruitless: Option<Fruitless>,
}

/// Renewals in a row that did not help.
#[derive(Debug, Clone, Copy)]
struct Fruitless {
    /// The secret of the last refusal.
    generation: Generation,
    run: u32,
    at: Timestamp,
}

impl Fruitless {
    /// Returns the rest of the pause. A clock that was set back ends it.
    fn left(&self, now: Timestamp) -> Duration {
        if now < self.at {
            return Duration::ZERO;
        }
        let pause = doubled(PAUSE.0, self.run, PAUSE.1);
        pause.saturating_sub(until(self.at, now))
    }
}

impl Refusals {
    /// Returns a state in which a refused secret is not renewed until a pause has passed.
    pub fn without_renewal(now: Timestamp) -> Self {
        let none = Generation(u64::MAX);
        let mut refusals = Self::default();
        refusals.cured_nothing(none, none, now);
        refusals
    }

    /// Returns how long this secret must not be sent to the service; zero if it may.
    pub fn quiet_for(&self, generation: Generation, now: Timestamp) -> Duration {
        match &self.fruitless {
            Some(last) if last.generation == generation && self.accepted != Some(generation) => {
                last.left(now)
            }
            _ => Duration::ZERO,
        }
    }

    /// Returns how often in a row the service refused this secret and its predecessors; zero if it
    /// accepts it.
    pub fn in_a_row(&self, generation: Generation) -> u32 {
        let last = self.fruitless.filter(|last| last.generation == generation);
        let is_accepted = self.accepted == Some(generation);
        last.filter(|_| !is_accepted).map_or(0, |last| last.run)
    }

    /// True if the secret may be renewed after a refusal.
    pub fn may_renew(&self, now: Timestamp) -> bool {
        self.fruitless.is_none_or(|last| last.left(now).is_zero())
    }

    /// Records that the service accepted this secret.
    pub fn accepted(&mut self, generation: Generation) {
        self.accepted = Some(generation);
    }

    /// Records that a renewal helped.
    pub fn cured(&mut self) {
        self.fruitless = None;
    }

    /// Notes that a renewal did not help: after `refused` there was no new secret, or
    /// `renewed`, which was refused as well. Of many refusals at once only the first counts.
    ///
    /// A service that accepted `refused` for other jobs will accept `renewed` for them: one
    /// job that is refused, as one of another project, must not stop the polls of all others.
    pub fn cured_nothing(&mut self, refused: Generation, renewed: Generation, now: Timestamp) {
        if self.accepted == Some(refused) {
            self.accepted = Some(renewed);
        }
        let before = self.fruitless.filter(|last| until(last.at, now) < CALM);
        if before.is_some_and(|last| !last.left(now).is_zero()) {
            return;
        }
        self.fruitless = Some(Fruitless {
            generation: renewed,
            run: before.map_or(1, |last| last.run.saturating_add(1)),
            at: now,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::later;

    const START: Timestamp = Timestamp::UNIX_EPOCH;
    const FIRST: Generation = Generation(1);

    fn at(seconds: u64) -> Timestamp {
        later(START, Duration::from_secs(seconds))
    }

    #[test]
    fn a_refused_secret_is_not_sent_again_at_once() {
        let mut refusals = Refusals::default();
        assert!(refusals.may_renew(START));
        refusals.cured_nothing(FIRST, FIRST, START);
        assert_eq!(refusals.quiet_for(FIRST, at(1)).as_secs(), 4);
        assert!(refusals.quiet_for(Generation(2), at(1)).is_zero());
        assert!(!refusals.may_renew(at(1)));
        assert!(refusals.quiet_for(FIRST, at(5)).is_zero() && refusals.may_renew(at(5)));
    }

    #[test]
    fn pauses_grow_and_concurrent_refusals_count_once() {
        let mut refusals = Refusals::default();
        let mut now = 0;
        let mut pauses = Vec::new();
        for generation in 1..=9 {
            let generation = Generation(generation);
            for _ in 0..10 {
                refusals.cured_nothing(generation, generation, at(now));
            }
            let quiet = refusals.quiet_for(generation, at(now)).as_secs();
            pauses.push(quiet);
            now += quiet;
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        refusals.cured_nothing(FIRST, FIRST, at(now + 3600));
        assert_eq!(refusals.quiet_for(FIRST, at(now + 3600)).as_secs(), 5);
    }

    #[test]
    fn a_secret_accepted_elsewhere_stays_in_use() {
        let mut refusals = Refusals::default();
        refusals.accepted(FIRST);
        refusals.cured_nothing(FIRST, FIRST, START);
        assert!(refusals.quiet_for(FIRST, START).is_zero());
        assert!(!refusals.may_renew(START), "but it causes no other login");
    }

    #[test]
    fn the_successor_of_an_accepted_secret_stays_in_use() {
        let mut refusals = Refusals::default();
        refusals.accepted(FIRST);
        refusals.cured_nothing(FIRST, Generation(2), START);
        assert!(refusals.quiet_for(Generation(2), at(1)).is_zero());
        refusals.cured_nothing(Generation(2), Generation(3), at(5));
        assert!(refusals.quiet_for(Generation(3), at(6)).is_zero());
    }

    #[test]
    fn a_clock_set_back_does_not_prolong_a_pause() {
        let mut refusals = Refusals::default();
        refusals.cured_nothing(FIRST, FIRST, at(7200));
        assert!(refusals.quiet_for(FIRST, START).is_zero());
    }
}
