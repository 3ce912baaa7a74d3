//! The status values of a family of APIs, and the state that each means.

use std::collections::HashMap;
use std::sync::Arc;

use crate::definition::pattern::Pattern;
use crate::watch::observation::JobState;

/// The listed status values with their states.
///
/// Exact values are tried first. Of the patterns that match, those that contain another one
/// that matches are left out; the first of the others in the order of the lists decides,
/// which is failure before success.
#[derive(Debug, Clone, Default)]
pub struct States {
    ignore_case: bool,
    exact: HashMap<String, Entry>,
    patterns: Vec<PatternEntry>,
}

/// A listed value with its state.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The state that it means.
    pub state: JobState,
    /// The value as it is written; in lower case if it is a pattern and case does not count.
    pub written: String,
    /// The entry as it stands in events and explanations.
    pub rule: Arc<str>,
    /// The place of the entry in the file, as `states.failed.2`.
    place: String,
}

#[derive(Debug, Clone)]
struct PatternEntry {
    pattern: Pattern,
    entry: Entry,
    /// The patterns that are strictly narrower, by their number.
    narrower: Vec<usize>,
}

/// The reason why a value cannot be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// A status is never empty.
    Empty,
    /// An earlier entry has the same value, or matches the same texts.
    Taken {
        /// The state that the earlier entry means.
        state: JobState,
        /// The earlier entry as it is written.
        written: String,
        /// The place of the earlier entry in the file.
        place: String,
    },
}

impl States {
    /// Makes an empty list. With `ignore_case` upper and lower case do not differ.
    pub fn new(ignore_case: bool) -> Self {
        Self {
            ignore_case,
            ..Self::default()
        }
    }

    /// Adds `status`, exact or with `*`, with its `state`; `place` is where it stands.
    ///
    /// # Errors
    /// The status is empty, or can never decide because of an earlier one.
    pub fn list(&mut self, status: &str, state: JobState, place: &str) -> Result<(), Refused> {
        if status.is_empty() {
            return Err(Refused::Empty);
        }
        let key = self.folded(status);
        let is_pattern = Pattern::is_pattern(&key);
        let written = if is_pattern { &key } else { status };
        let entry = Entry {
            state,
            written: written.to_owned(),
            rule: Arc::from(format!("states.{}: \"{written}\"", state.as_str())),
            place: place.to_owned(),
        };
        if is_pattern {
            return self.add_pattern(Pattern::new(&key), entry);
        }
        if let Some(earlier) = self.exact.get(&key) {
            return Err(earlier.is_taken());
        }
        self.exact.insert(key, entry);
        Ok(())
    }

    fn add_pattern(&mut self, pattern: Pattern, entry: Entry) -> Result<(), Refused> {
        let is_same =
            |it: &&PatternEntry| it.pattern.contains(&pattern) && pattern.contains(&it.pattern);
        if let Some(earlier) = self.patterns.iter().find(is_same) {
            return Err(earlier.entry.is_taken());
        }
        let number = self.patterns.len();
        let mut narrower = Vec::new();
        for (n, other) in self.patterns.iter_mut().enumerate() {
            if pattern.is_wider_than(&other.pattern) {
                narrower.push(n);
            } else if other.pattern.is_wider_than(&pattern) {
                other.narrower.push(number);
            }
        }
        self.patterns.push(PatternEntry {
            pattern,
            entry,
            narrower,
        });
        Ok(())
    }

    /// True if no status is listed.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty()
    }

    /// Returns the state that `status` means; `None` if it is not listed (invariant 9).
    pub fn of(&self, status: &str) -> Option<JobState> {
        self.entry(status).map(|entry| entry.state)
    }

    /// Returns the entry of the list that decides on `status`.
    pub fn entry(&self, status: &str) -> Option<&Entry> {
        let folded;
        let key = if self.ignore_case {
            folded = status.to_lowercase();
            folded.as_str()
        } else {
            status
        };
        if let Some(entry) = self.exact.get(key) {
            return Some(entry);
        }
        let matches = |number: &usize| self.patterns[*number].pattern.matches(key);
        let decides =
            |it: &&PatternEntry| it.pattern.matches(key) && !it.narrower.iter().any(matches);
        self.patterns.iter().find(decides).map(|it| &it.entry)
    }

    /// Returns all listed status values with their states, sorted by status.
    pub fn listed(&self) -> Vec<(&str, JobState)> {
        let patterns = self.patterns.iter().map(|it| &it.entry);
        let all = self.exact.values().chain(patterns);
        let mut listed: Vec<_> = all.map(|it| (it.written.as_str(), it.state)).collect();
        listed.sort_unstable_by_key(|(status, _)| *status);
        listed
    }

    fn folded(&self, status: &str) -> String {
        if self.ignore_case {
            status.to_lowercase()
        } else {
            status.to_owned()
        }
    }
}

impl Entry {
    fn is_taken(&self) -> Refused {
        Refused::Taken {
            state: self.state,
            written: self.written.clone(),
            place: self.place.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn states(ignore_case: bool, listed: &[(&str, JobState)]) -> States {
        let mut states = States::new(ignore_case);
        for (status, state) in listed {
            states.list(status, *state, "states").unwrap();
        }
        states
    }

    #[test]
    fn exact_values_come_before_patterns_and_failure_first() {
        let states = states(
            false,
            &[
                ("*_FAILED", JobState::Failed),
                ("ROLLBACK_*", JobState::Failed),
                ("*_COMPLETE", JobState::Succeeded),
                ("CHECK_FAILED", JobState::Running),
            ],
        );
        assert_eq!(states.of("CREATE_FAILED"), Some(JobState::Failed));
        assert_eq!(states.of("ROLLBACK_COMPLETE"), Some(JobState::Failed));
        assert_eq!(states.of("CREATE_COMPLETE"), Some(JobState::Succeeded));
        assert_eq!(states.of("CHECK_FAILED"), Some(JobState::Running));
        assert_eq!(states.of("create_failed"), None);
    }

    #[test]
    fn narrower_pattern_decides_before_failure() {
        let states = states(
            false,
            &[
                ("*", JobState::Failed),
                ("stopped/*", JobState::Failed),
                ("error*", JobState::Failed),
                ("stopped/WARNINGS:*", JobState::Succeeded),
                ("OK*", JobState::Succeeded),
                ("*deleting", JobState::Running),
            ],
        );
        for (status, state) in [
            ("stopped/WARNINGS: 2", JobState::Succeeded),
            ("stopped/other", JobState::Failed),
            ("OK then", JobState::Succeeded),
            ("error_deleting", JobState::Failed),
            ("deleting", JobState::Running),
            ("any", JobState::Failed),
        ] {
            assert_eq!(states.of(status), Some(state), "{status}");
        }
    }

    #[test]
    fn case_is_ignored_only_with_ignore_case() {
        let states = states(
            true,
            &[
                ("Succeeded", JobState::Succeeded),
                ("PENDING_*", JobState::Pending),
            ],
        );
        assert_eq!(states.of("SUCCEEDED"), Some(JobState::Succeeded));
        assert_eq!(states.of("Pending_Create"), Some(JobState::Pending));
        assert_eq!(states.listed()[0].0, "Succeeded");
    }

    #[test]
    fn entry_that_never_decides_is_refused() {
        let mut states = states(
            false,
            &[("FAIL", JobState::Failed), ("X*", JobState::Failed)],
        );
        let mut list = |status: &str| states.list(status, JobState::Running, "states.running.0");
        for (status, earlier) in [("FAIL", "FAIL"), ("X*", "X*"), ("X**", "X*")] {
            let Err(Refused::Taken { written, place, .. }) = list(status) else {
                panic!("{status} is accepted")
            };
            assert_eq!((written.as_str(), place.as_str()), (earlier, "states"));
        }
        assert_eq!(list(""), Err(Refused::Empty));
        assert_eq!(list("XY*"), Ok(()));
    }

    proptest! {
        /// An entry that is accepted decides on some text: for a pattern, one with letters for
        /// its `*` that no other entry has.
        #[test]
        fn each_accepted_entry_decides_on_a_text(listed in proptest::collection::vec(("[ab*]{1,4}", 0_usize..3), 1..8)) {
            let mut states = States::new(false);
            let all = [JobState::Failed, JobState::Succeeded, JobState::Running];
            let mut accepted = Vec::new();
            for (status, state) in listed {
                if states.list(&status, all[state], &status).is_ok() {
                    accepted.push(status);
                }
            }
            for status in accepted {
                let text = status.replace('*', "z");
                prop_assert_eq!(&states.entry(&text).unwrap().place, &status);
            }
        }
    }
}
