//! What to do when a service refuses the secret. Pure.
//!
//! A refusal is answered by one renewal and one replay. Where that cures nothing, each
//! further renewal waits longer than the last, so that a service that refuses every secret
//! does not have us log in at every poll; and until then the same secret is not shown to it
//! again, unless it accepts it from others.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::until;
use crate::credential::Generation;
use crate::credential::lease::doubled;

/// The first pause after a renewal that cured nothing, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));
/// After this long without a refusal all is forgotten.
const CALM: Duration = Duration::from_mins(15);

/// How a service took the secrets it was shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Refusals {
    accepted: Option<Generation>,
    fruitless: Option<Fruitless>,
}

/// Renewals in a row that cured nothing.
#[derive(Debug, Clone, Copy)]
struct Fruitless {
    /// The secret that was refused last.
    generation: Generation,
    run: u32,
    at: Timestamp,
}

impl Fruitless {
    /// What is left of the pause. A clock that went back ends it.
    fn left(&self, now: Timestamp) -> Duration {
        if now < self.at {
            return Duration::ZERO;
        }
        let pause = doubled(PAUSE.0, self.run, PAUSE.1);
        pause.saturating_sub(until(self.at, now))
    }
}

impl Refusals {
    /// How long this secret must not be shown to the service; zero when it may.
    pub fn quiet_for(&self, generation: Generation, now: Timestamp) -> Duration {
        match &self.fruitless {
            Some(last) if last.generation == generation && self.accepted != Some(generation) => {
                last.left(now)
            }
            _ => Duration::ZERO,
        }
    }

    /// Whether a refusal may be answered by a renewal.
    pub fn may_renew(&self, now: Timestamp) -> bool {
        self.fruitless.is_none_or(|last| last.left(now).is_zero())
    }

    /// The service accepted this secret.
    pub fn accepted(&mut self, generation: Generation) {
        self.accepted = Some(generation);
    }

    /// A renewal helped.
    pub fn cured(&mut self) {
        self.fruitless = None;
    }

    /// The renewal of `refused` gave no secret, or `renewed`, which was refused as well. Of
    /// many at once only the first counts.
    ///
    /// What accepted the one from others will accept the next from them: one job that is
    /// refused, as that of another project, must not keep all others from being asked for.
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
        assert!(
            !refusals.may_renew(START),
            "but nobody logs in for it again"
        );
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
