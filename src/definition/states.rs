//! The status values of a family of APIs, and the state that each means.

use std::collections::HashMap;

use crate::definition::pattern::Pattern;
use crate::watch::observation::JobState;

/// The listed status values with their states. Exact values are tried first, then patterns in
/// the order of the lists: failure before success.
#[derive(Debug, Clone, Default)]
pub struct States {
    ignore_case: bool,
    exact: HashMap<String, (JobState, String)>,
    patterns: Vec<(Pattern, JobState)>,
}

impl States {
    /// Makes an empty list. With `ignore_case` upper and lower case do not differ.
    pub fn new(ignore_case: bool) -> Self {
        Self {
            ignore_case,
            ..Self::default()
        }
    }

    /// Adds `status`, exact or with `*`, with its `state`.
    ///
    /// # Errors
    /// The status is empty, or listed already.
    pub fn list(&mut self, status: &str, state: JobState) -> Result<(), String> {
        if status.is_empty() {
            return Err("a status must not be empty".to_owned());
        }
        let folded = self.folded(status);
        if Pattern::is_pattern(&folded) {
            let pattern = Pattern::new(&folded);
            if self.patterns.iter().any(|(known, _)| *known == pattern) {
                return Err(format!("\"{status}\" is listed already"));
            }
            self.patterns.push((pattern, state));
            return Ok(());
        }
        let listed = (state, status.to_owned());
        match self.exact.insert(folded, listed) {
            None => Ok(()),
            Some((earlier, _)) => Err(format!(
                "\"{status}\" is listed already, as {}",
                earlier.as_str()
            )),
        }
    }

    /// True if no status is listed.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty()
    }

    /// Returns the state that `status` means; `None` if it is not listed (invariant 9).
    pub fn of(&self, status: &str) -> Option<JobState> {
        self.entry(status).map(|(state, _)| state)
    }

    /// Returns the state that `status` means, and the entry of the list that matches it.
    pub fn entry(&self, status: &str) -> Option<(JobState, &str)> {
        let folded;
        let key = if self.ignore_case {
            folded = status.to_lowercase();
            folded.as_str()
        } else {
            status
        };
        if let Some((state, written)) = self.exact.get(key) {
            return Some((*state, written));
        }
        self.patterns
            .iter()
            .find(|(pattern, _)| pattern.matches(key))
            .map(|(pattern, state)| (*state, pattern.source()))
    }

    /// Returns all listed status values with their states, sorted by status.
    pub fn listed(&self) -> Vec<(&str, JobState)> {
        let exact = self
            .exact
            .values()
            .map(|(state, written)| (written.as_str(), *state));
        let patterns = self
            .patterns
            .iter()
            .map(|(pattern, state)| (pattern.source(), *state));
        let mut listed: Vec<_> = exact.chain(patterns).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn states(ignore_case: bool, listed: &[(&str, JobState)]) -> States {
        let mut states = States::new(ignore_case);
        for (status, state) in listed {
            states.list(status, *state).unwrap();
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
    fn status_cannot_be_listed_twice() {
        let mut states = states(
            false,
            &[("FAIL", JobState::Failed), ("X*", JobState::Failed)],
        );
        assert!(
            states
                .list("FAIL", JobState::Running)
                .unwrap_err()
                .contains("as failed")
        );
        assert!(states.list("X*", JobState::Running).is_err());
        assert!(states.list("", JobState::Running).is_err());
    }
}
