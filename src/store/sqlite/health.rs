//! Whether the store can commit: the kinds of writes that failed last, and the last proof.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};

use crate::clock::until;

/// How long a proof stands.
const PROOF_STANDS: Duration = Duration::from_secs(1);

/// The kind of the writes that prove that the store can commit.
pub(super) const PROOF: &str = "commit";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Kinds of writes whose last one failed.
    failing: BTreeSet<&'static str>,
    /// Failures so far.
    failures: u64,
    proved_at: Option<Timestamp>,
}

/// A proof to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    /// A write failed and none of its kind has succeeded since: a small write proves nothing.
    pub(super) needs_room: bool,
    failures: u64,
}

impl Health {
    /// Notes the result of a write.
    pub(super) fn note(&self, doing: &'static str, has_succeeded: bool) {
        let mut state = self.state();
        if has_succeeded {
            state.failing.remove(doing);
            return;
        }
        // A proof that fails leaves no debt: the next one stands in for it.
        if doing != PROOF {
            state.failing.insert(doing);
        }
        state.failures += 1;
        state.proved_at = None;
    }

    /// True while the last proof stands.
    pub(super) fn is_proved(&self, now: Timestamp) -> bool {
        let proved_at = self.state().proved_at;
        proved_at.is_some_and(|at| until(at, now) < PROOF_STANDS)
    }

    /// What is to be proved now.
    pub(super) fn claim(&self) -> Claim {
        let state = self.state();
        Claim {
            needs_room: !state.failing.is_empty(),
            failures: state.failures,
        }
    }

    /// Notes that a proof has succeeded, unless a write has failed since it began.
    pub(super) fn proved(&self, claim: Claim, now: Timestamp) {
        let mut state = self.state();
        if state.failures == claim.failures {
            state.failing.clear();
            state.proved_at = Some(now);
        }
    }

    /// Ends the present proof: the store is closing.
    pub(super) fn void(&self) {
        self.state().proved_at = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    #[test]
    fn a_proof_stands_for_a_second_or_until_a_write_fails() {
        let health = Health::default();
        assert!(!health.is_proved(at(0)));
        assert!(!health.claim().needs_room);
        health.proved(health.claim(), at(0));
        assert!(health.is_proved(at(999)));
        assert!(!health.is_proved(at(1000)));
        health.note("write", false);
        assert!(!health.is_proved(at(1)));
        assert!(health.claim().needs_room);
    }

    #[test]
    fn a_failed_write_is_outdone_by_one_of_its_kind_only() {
        let health = Health::default();
        health.note("write much", false);
        health.note("write little", true);
        assert!(health.claim().needs_room);
        health.note("write much", true);
        assert!(!health.claim().needs_room);
    }

    #[test]
    fn a_write_that_fails_during_a_proof_voids_it() {
        let health = Health::default();
        let claim = health.claim();
        health.note("write", false);
        health.proved(claim, at(0));
        assert!(!health.is_proved(at(0)));
        assert!(health.claim().needs_room);
    }
}
