//! What the status values of a family mean.

use std::collections::HashMap;

use crate::definition::language::StatesTable;
use crate::watch::observation::JobState;

/// The listed status values, each with its normalised state.
#[derive(Debug, Clone)]
pub struct States {
    ignore_case: bool,
    by_status: HashMap<String, JobState>,
}

impl States {
    pub(crate) fn compile(table: &StatesTable) -> Result<Self, String> {
        let mut states = Self {
            ignore_case: table.ignore_case,
            by_status: HashMap::new(),
        };
        states.list("failed", &table.failed, JobState::Failed)?;
        states.list("cancelled", &table.cancelled, JobState::Cancelled)?;
        states.list("succeeded", &table.succeeded, JobState::Succeeded)?;
        states.list("held", &table.held, JobState::Held)?;
        states.list("pending", &table.pending, JobState::Pending)?;
        states.list("running", &table.running, JobState::Running)?;
        Ok(states)
    }

    fn list(&mut self, key: &str, statuses: &[String], state: JobState) -> Result<(), String> {
        for status in statuses {
            if status.is_empty() {
                return Err(format!("states.{key}: an empty status is no status"));
            }
            if let Some(earlier) = self.by_status.insert(self.folded(status), state) {
                return Err(format!(
                    "states.{key}: \"{status}\" is listed already, as {}",
                    earlier.as_str()
                ));
            }
        }
        Ok(())
    }

    /// The state that `status` means; `None` when it is not listed (invariant 9).
    pub fn of(&self, status: &str) -> Option<JobState> {
        if self.ignore_case {
            self.by_status.get(&status.to_lowercase()).copied()
        } else {
            self.by_status.get(status).copied()
        }
    }

    /// Every listed status with its state, sorted by status.
    pub fn listed(&self) -> Vec<(&str, JobState)> {
        let mut listed: Vec<_> = self
            .by_status
            .iter()
            .map(|(status, state)| (status.as_str(), *state))
            .collect();
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
