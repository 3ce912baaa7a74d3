//! What only the agenda knows of a watch, for people who ask: polls that showed nothing
//! new are counted here and written nowhere.

use jiff::Timestamp;

use crate::clock::later;
use crate::watch::WatchId;
use crate::watch::observation::ProblemNote;
use crate::workers::poller::Poller;

/// The present numbers of one watch.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    /// Polls made.
    pub polls: u32,
    /// Polls that were problems.
    pub problems: u32,
    /// The last problem met.
    pub last_problem: Option<ProblemNote>,
    /// When the next poll is due.
    pub next_poll_at: Timestamp,
}

impl Poller {
    /// The present numbers of a watch; `None` when it is not on the agenda.
    pub fn live(&self, id: WatchId) -> Option<Live> {
        let now = self.shared.clock.now();
        let uptime = self.shared.clock.uptime();
        let board = self.shared.board();
        let (entry, due) = board.agenda.look_up(id)?;
        let tracking = &entry.tracking;
        Some(Live {
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
