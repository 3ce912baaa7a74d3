//! One queue for each budget. Watches that are due but not admitted wait here, in order, so
//! that one slow service never delays another.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::schedule::agenda::Ticket;
use crate::schedule::budget::Budget;
use crate::service::{BudgetKey, Services};

/// The least time between two warnings about one budget.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// The least time between two searches of a queue for passed deadlines.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// One budget and its queue.
pub(super) struct BudgetQueue {
    pub(super) budget: Budget,
    pub(super) waiting: VecDeque<Ticket>,
    warned_at: Option<Duration>,
    swept_at: Duration,
}

impl BudgetQueue {
    /// True if the queue may be searched for passed deadlines now.
    pub(super) fn may_sweep(&mut self, uptime: Duration) -> bool {
        let may = !self.waiting.is_empty() && uptime.saturating_sub(self.swept_at) >= SWEEP_EVERY;
        if may {
            self.swept_at = uptime;
        }
        may
    }

    /// True if a warning is due: an outage is logged once a minute, not a thousand times a second.
    pub(super) fn may_warn(&mut self, uptime: Duration) -> bool {
        let quiet = self
            .warned_at
            .is_none_or(|at| uptime.saturating_sub(at) >= WARN_EVERY);
        if quiet {
            self.warned_at = Some(uptime);
        }
        quiet
    }
}

/// All queues, and the services that use them.
pub(super) struct BudgetQueues {
    queues: Vec<BudgetQueue>,
    by_service: HashMap<Arc<str>, usize>,
}

impl BudgetQueues {
    pub(super) fn new(services: &Services) -> Self {
        let mut by_key: HashMap<BudgetKey, usize> = HashMap::new();
        let mut queues: Vec<BudgetQueue> = Vec::new();
        let mut by_service = HashMap::new();
        for service in services.all() {
            let index = *by_key.entry(service.budget_key()).or_insert(queues.len());
            if let Some(queue) = queues.get_mut(index) {
                queue.budget = Budget::new(queue.budget.limits().stricter(service.limits));
            } else {
                queues.push(BudgetQueue {
                    budget: Budget::new(service.limits),
                    waiting: VecDeque::new(),
                    warned_at: None,
                    swept_at: Duration::ZERO,
                });
            }
            by_service.insert(Arc::clone(&service.name), index);
        }
        Self { queues, by_service }
    }

    /// Returns the queue of a service; `None` when the service is not configured.
    pub(super) fn index_of(&self, service: &str) -> Option<usize> {
        self.by_service.get(service).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.queues.len()
    }

    pub(super) fn queue(&mut self, index: usize) -> &mut BudgetQueue {
        &mut self.queues[index]
    }
}
