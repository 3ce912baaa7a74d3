//! One lane for each budget: what may start on it, and what waits for it.
//!
//! Watches that are due but not admitted wait here, in order, so that one slow service
//! never holds up another.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::schedule::agenda::Ticket;
use crate::schedule::budget::Budget;
use crate::service::{BudgetKey, Services};

/// How often one lane warns of its problems.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// How often what waits on a lane is looked through for deadlines.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// One budget and its queue.
pub(super) struct Lane {
    pub(super) budget: Budget,
    pub(super) waiting: VecDeque<Ticket>,
    warned_at: Option<Duration>,
    swept_at: Duration,
}

impl Lane {
    /// Whether what waits may be looked through now.
    pub(super) fn may_sweep(&mut self, uptime: Duration) -> bool {
        let may = !self.waiting.is_empty() && uptime.saturating_sub(self.swept_at) >= SWEEP_EVERY;
        if may {
            self.swept_at = uptime;
        }
        may
    }

    /// Whether a problem should be warned of now: an outage is changes once, not a thousand
    /// times a second.
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

/// All lanes, and which service uses which.
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    by_service: HashMap<Arc<str>, usize>,
}

impl Lanes {
    pub(super) fn new(services: &Services) -> Self {
        let mut by_key: HashMap<BudgetKey, usize> = HashMap::new();
        let mut lanes: Vec<Lane> = Vec::new();
        let mut by_service = HashMap::new();
        for service in services.all() {
            let index = *by_key.entry(service.budget_key()).or_insert(lanes.len());
            if let Some(lane) = lanes.get_mut(index) {
                lane.budget = Budget::new(lane.budget.limits().stricter(service.limits));
            } else {
                lanes.push(Lane {
                    budget: Budget::new(service.limits),
                    waiting: VecDeque::new(),
                    warned_at: None,
                    swept_at: Duration::ZERO,
                });
            }
            by_service.insert(Arc::clone(&service.name), index);
        }
        Self { lanes, by_service }
    }

    /// The lane of a service; `None` when it is not configured.
    pub(super) fn index_of(&self, service: &str) -> Option<usize> {
        self.by_service.get(service).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    pub(super) fn lane(&mut self, index: usize) -> &mut Lane {
        &mut self.lanes[index]
    }
}
