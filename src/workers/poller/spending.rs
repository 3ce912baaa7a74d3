//! The further requests of a poll under way, which spend its budget.

use std::sync::Arc;

use crate::schedule::budget::Budget;
use crate::service::spending::Spend;
use crate::workers::poller::Shared;
use crate::workers::poller::poll::Poll;

/// The budget of one poll.
pub(super) struct Spending {
    shared: Arc<Shared>,
    queue: Option<usize>,
}

impl Poll {
    /// Returns the budget for the further requests of this turn.
    pub(super) fn spending(&self) -> Spending {
        Spending {
            shared: Arc::clone(&self.shared),
            queue: self.turn.permit.as_ref().map(|(queue, _)| *queue),
        }
    }
}

impl Spending {
    fn with_budget(&self, spend: impl FnOnce(&mut Budget) -> bool) -> bool {
        let Some(queue) = self.queue else { return true };
        spend(&mut self.shared.state().queues.queue(queue).budget)
    }
}

impl Spend for Spending {
    fn charge(&self) {
        let uptime = self.shared.clock.uptime();
        self.with_budget(|budget| {
            budget.charge(uptime);
            true
        });
    }

    fn spend_page(&self) -> bool {
        let uptime = self.shared.clock.uptime();
        self.with_budget(|budget| budget.spend(uptime))
    }
}
