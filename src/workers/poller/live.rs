//! What only the agenda knows of a watch, for people who ask: polls that showed nothing
//! new are counted here and written nowhere.

use async_trait::async_trait;

use crate::actions::Polling;
use crate::clock::later;
use crate::watch::{Progress, WatchId};
use crate::workers::poller::Poller;

impl Poller {
    /// The present numbers of a watch; `None` when it is not on the agenda.
    pub fn progress(&self, id: WatchId) -> Option<Progress> {
        let now = self.shared.clock.now();
        let uptime = self.shared.clock.uptime();
        let board = self.shared.board();
        let (entry, due) = board.agenda.look_up(id)?;
        let tracking = &entry.tracking;
        Some(Progress {
            polls: tracking.polls,
            problems: tracking.problems,
            last_problem: tracking.last_problem.as_deref().cloned(),
            next_poll_at: later(now, due.saturating_sub(uptime)),
        })
    }

    /// Whether every stored watch is on the agenda.
    pub fn is_loaded(&self) -> bool {
        self.shared.board().position.is_some()
    }

    /// How many watches are on the agenda.
    pub fn watching(&self) -> usize {
        self.shared.board().agenda.len()
    }

    /// How many transitions wait in memory for the store.
    pub fn unwritten(&self) -> usize {
        self.shared.board().unwritten.len()
    }
}

#[async_trait]
impl Polling for Poller {
    async fn flush(&self) {
        Self::flush(self).await;
    }

    fn progress(&self, id: WatchId) -> Option<Progress> {
        Self::progress(self, id)
    }
}
