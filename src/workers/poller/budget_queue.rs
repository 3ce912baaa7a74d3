//! One queue for each budget. Watches that are due but not admitted wait here, in lines, so
//! that one slow service never delays another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::until;
use crate::schedule::agenda::Agenda;
use crate::schedule::budget::Budget;
use crate::schedule::lines::Lines;
use crate::service::{BudgetKey, Services};

/// The least time between two warnings about one budget.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// The least time between two searches of a queue for passed deadlines.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A budget that cannot keep up is reported once a poll waits for longer than this.
const LATE_IS_LOUD: Duration = Duration::from_secs(10);

/// One budget and its queue.
pub(super) struct BudgetQueue {
    pub(super) key: BudgetKey,
    pub(super) budget: Budget,
    pub(super) waiting: Lines,
    /// The last warning about each service.
    warned_at: HashMap<Arc<str>, Duration>,
    warned_late_at: Option<Duration>,
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

    /// Returns the uptime of the next search for passed deadlines while the budget pauses, and
    /// polls that begin do not lead to one.
    pub(super) fn next_end(&self, now: Timestamp, uptime: Duration) -> Option<Duration> {
        self.budget.paused(uptime)?;
        let deadline = self.waiting.earliest_deadline()?;
        let at = uptime.saturating_add(until(now, deadline));
        Some(at.max(self.swept_at.saturating_add(SWEEP_EVERY)))
    }

    /// True if a warning about this service is due: an outage is logged once a minute, not a
    /// thousand times a second.
    pub(super) fn may_warn(&mut self, service: &Arc<str>, uptime: Duration) -> bool {
        let mut warned_at = self.warned_at.get(service).copied();
        let may = may_repeat(&mut warned_at, uptime);
        if may {
            self.warned_at.insert(Arc::clone(service), uptime);
        }
        may
    }

    /// Returns how long the first poll of all lines has waited; zero if none waits.
    pub(super) fn lateness(&self, agenda: &Agenda, uptime: Duration) -> Duration {
        let due = self.waiting.firsts().filter_map(|it| agenda.due(it)).min();
        due.map_or(Duration::ZERO, |due| uptime.saturating_sub(due))
    }

    /// Lets the rate of the budget follow the lateness of the polls that still wait, and reports a
    /// budget that cannot keep up.
    pub(super) fn keep_up(&mut self, agenda: &Agenda, uptime: Duration) {
        let lateness = self.lateness(agenda, uptime);
        self.budget.keep_up(lateness, uptime);
        if lateness > LATE_IS_LOUD && may_repeat(&mut self.warned_late_at, uptime) {
            self.report_late(lateness, uptime);
        }
    }
}

fn may_repeat(warned_at: &mut Option<Duration>, uptime: Duration) -> bool {
    let may = warned_at.is_none_or(|at| uptime.saturating_sub(at) >= WARN_EVERY);
    if may {
        *warned_at = Some(uptime);
    }
    may
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
            let key = service.budget_key();
            let index = *by_key.entry(key.clone()).or_insert(queues.len());
            if let Some(queue) = queues.get_mut(index) {
                queue.budget = Budget::new(queue.budget.limits().stricter(service.limits));
            } else {
                queues.push(BudgetQueue {
                    key,
                    budget: Budget::new(service.limits),
                    waiting: Lines::default(),
                    warned_at: HashMap::new(),
                    warned_late_at: None,
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

    pub(super) fn get(&self, index: usize) -> &BudgetQueue {
        &self.queues[index]
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &BudgetQueue> {
        self.queues.iter()
    }

    pub(super) fn queue(&mut self, index: usize) -> &mut BudgetQueue {
        &mut self.queues[index]
    }
}
