//! The numbers of the poller, for the API and the log.

use std::time::Duration;

use async_trait::async_trait;

use crate::actions::Polling;
use crate::clock::later;
use crate::watch::{Progress, Watch, WatchId};
use crate::workers::poller::{Poller, Shared, State};

/// The least time between an answer and a poll because of a hint.
pub(super) const HINT_EVERY: Duration = Duration::from_secs(5);

impl Poller {
    /// True once every stored watch is on the agenda.
    pub fn is_loaded(&self) -> bool {
        self.shared.state().changes_read.is_some()
    }

    /// Returns the number of watches without an outcome on the agenda.
    pub fn watching(&self) -> usize {
        self.shared.state().agenda.watching()
    }

    /// Returns the number of shards whose watches are polled here.
    pub fn shards(&self) -> usize {
        self.shared.state().owned.shards.len()
    }

    /// Returns the number of decisions that wait in memory for the store.
    pub fn unsaved(&self) -> usize {
        self.shared.state().backlog.len()
    }
}

#[async_trait]
impl Polling for Poller {
    async fn flush(&self) {
        self.shared.flush().await;
    }

    fn accept(&self, watches: &[&Watch]) {
        for watch in watches {
            self.shared.add_new(watch);
        }
    }

    fn forget(&self, id: WatchId) {
        self.shared.end(id, None);
    }

    fn poll_now(&self, id: WatchId) -> bool {
        self.shared.poll_now(id)
    }

    fn poll_soon(&self, id: WatchId) -> bool {
        let uptime = self.shared.clock.uptime();
        let agenda = &mut self.shared.state().agenda;
        let answered = agenda.planned(id).and_then(|planned| planned.answered);
        let earliest = answered.map_or(uptime, |answered| answered + HINT_EVERY);
        agenda.hasten(id, earliest.max(uptime), uptime)
    }

    fn progress(&self, id: WatchId) -> Option<Progress> {
        let now = self.shared.clock.now();
        let uptime = self.shared.clock.uptime();
        let state = self.shared.state();
        let (entry, _) = state.agenda.look_up(id)?;
        let planned = state.expected(entry, state.agenda.planned(id)?, now, uptime);
        let tracking = &entry.tracking;
        Some(Progress {
            polls: tracking.polls,
            problems: tracking.problems,
            problems_in_a_row: tracking.problems_in_a_row,
            last_problem: tracking.last_problem.as_deref().cloned(),
            next_poll_at: later(now, planned.due.saturating_sub(uptime)),
            deadline: state.blind.deadline_of(entry, now),
        })
    }
}

impl Shared {
    /// Makes the next poll of a watch due now. Returns false if it is not polled here.
    pub(super) fn poll_now(&self, id: WatchId) -> bool {
        let uptime = self.clock.uptime();
        let mut state = self.state();
        let State { agenda, blind, .. } = &mut *state;
        let entry = agenda.look_up(id).map(|(entry, _)| entry);
        let becomes_probe = entry.is_some_and(|entry| blind.sight.ask(&entry.service, id));
        becomes_probe || agenda.hasten(id, uptime, uptime)
    }
}
