//! Decides whether the store can commit, by the kinds of writes that failed last and by a test
//! write.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};

use crate::clock::until;

/// How long a successful test write counts.
const CONFIRMED_FOR: Duration = Duration::from_secs(1);

/// The kind of the test writes, which show that the store can commit.
pub(super) const TEST_WRITE: &str = "commit";

#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The kinds of writes whose last one failed.
    failing: BTreeSet<&'static str>,
    /// The number of failed writes since the store was opened.
    failures: u64,
    confirmed_at: Option<Timestamp>,
}

/// A test write that is about to begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct TestWrite {
    /// True if a write failed and no write of its kind has succeeded since. A small test would
    /// then show nothing.
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
        // A failed test write needs no success of its own kind: the next test replaces it.
        if doing != TEST_WRITE {
            state.failing.insert(doing);
        }
        state.failures += 1;
        state.confirmed_at = None;
    }

    /// True if a test write succeeded within the last second and no write has failed since.
    pub(super) fn is_confirmed(&self, now: Timestamp) -> bool {
        let confirmed_at = self.state().confirmed_at;
        confirmed_at.is_some_and(|at| until(at, now) < CONFIRMED_FOR)
    }

    /// Returns the test write that is needed now.
    pub(super) fn next_test(&self) -> TestWrite {
        let state = self.state();
        TestWrite {
            needs_room: !state.failing.is_empty(),
            failures: state.failures,
        }
    }

    /// Notes that a test write succeeded; ignores it if a write has failed since it began.
    pub(super) fn confirm(&self, test: TestWrite, now: Timestamp) {
        let mut state = self.state();
        if state.failures == test.failures {
            state.failing.clear();
            state.confirmed_at = Some(now);
        }
    }

    /// Forgets the last success, because the store is closing.
    pub(super) fn invalidate(&self) {
        self.state().confirmed_at = None;
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
    fn test_write_counts_for_a_second_or_until_a_write_fails() {
        let health = Health::default();
        assert!(!health.is_confirmed(at(0)));
        assert!(!health.next_test().needs_room);
        health.confirm(health.next_test(), at(0));
        assert!(health.is_confirmed(at(999)));
        assert!(!health.is_confirmed(at(1000)));
        health.note("write", false);
        assert!(!health.is_confirmed(at(1)));
        assert!(health.next_test().needs_room);
    }

    #[test]
    fn only_a_write_of_the_same_kind_makes_up_for_a_failed_one() {
        let health = Health::default();
        health.note("write much", false);
        health.note("write little", true);
        assert!(health.next_test().needs_room);
        health.note("write much", true);
        assert!(!health.next_test().needs_room);
    }

    #[test]
    fn write_that_fails_during_a_test_write_invalidates_it() {
        let health = Health::default();
        let test = health.next_test();
        health.note("write", false);
        health.confirm(test, at(0));
        assert!(!health.is_confirmed(at(0)));
        assert!(health.next_test().needs_room);
    }
}
