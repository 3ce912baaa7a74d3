//! The services and their budgets as they are now, for the API and the metrics.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::later;
use crate::schedule::budget::Limits;
use crate::schedule::rate::LATE;
use crate::workers::poller::budget_queue::BudgetQueue;
use crate::workers::poller::{Poller, State};

/// A service of the configuration, and the budget that its polls spend.
#[derive(Debug, Clone)]
pub struct ServiceStatus {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// The name of its definition.
    pub definition: String,
    /// Its base URL, or the catalog that has it.
    pub endpoint: String,
    /// The budget; services with the same host and credential share one.
    pub budget: BudgetStatus,
}

/// The budget of one host and credential.
#[derive(Debug, Clone)]
pub struct BudgetStatus {
    /// The host, with scheme and port; or the types and region of the catalog.
    pub host: String,
    /// The name of the credential.
    pub credential: String,
    /// The limits, the strictest of all services that share the budget.
    pub limits: Limits,
    /// The present polls a second, and the most.
    pub rate: f64,
    pub ceiling: f64,
    pub in_flight: usize,
    /// The number of polls that are due and wait.
    pub waiting: usize,
    /// The number of those that have waited for more than a second.
    pub late: usize,
    /// How long the first of them has waited.
    pub lateness: Duration,
    /// The end of the pause that the service asked for.
    pub paused_until: Option<Timestamp>,
}

impl Poller {
    /// Returns the configured services, by name.
    pub fn services(&self) -> Vec<ServiceStatus> {
        let budgets = self.budgets();
        let state = self.shared.state();
        let services = self.shared.services.all().filter_map(|service| {
            let index = state.queues.index_of(&service.name)?;
            Some(ServiceStatus {
                name: Arc::clone(&service.name),
                definition: service.definition.name.clone(),
                endpoint: service.base.to_string(),
                budget: budgets.get(index)?.clone(),
            })
        });
        let mut services: Vec<_> = services.collect();
        services.sort_by(|one, other| one.name.cmp(&other.name));
        services
    }

    /// Returns each budget once, in no particular order.
    pub fn budgets(&self) -> Vec<BudgetStatus> {
        let now = self.shared.clock.now();
        let uptime = self.shared.clock.uptime();
        let state = self.shared.state();
        let queues = state.queues.all();
        queues
            .map(|queue| state.look_at(queue, now, uptime))
            .collect()
    }
}

impl State {
    fn look_at(&self, queue: &BudgetQueue, now: Timestamp, uptime: Duration) -> BudgetStatus {
        let BudgetQueue {
            key,
            budget,
            waiting,
            ..
        } = queue;
        let waited = |due: Duration| uptime.saturating_sub(due);
        let is_late = |ticket| {
            self.agenda
                .due(ticket)
                .is_some_and(|due| waited(due) > LATE)
        };
        let late = waiting.count_late(is_late);
        let lateness = queue.lateness(&self.agenda, uptime);
        let pause = budget.paused(uptime);
        BudgetStatus {
            host: key.endpoint.clone(),
            credential: key.credential.clone(),
            limits: budget.limits(),
            rate: budget.rate(),
            ceiling: budget.ceiling(),
            in_flight: budget.in_flight(),
            waiting: waiting.len(),
            late,
            lateness: if late > 0 { lateness } else { Duration::ZERO },
            paused_until: pause.map(|end| later(now, end.saturating_sub(uptime))),
        }
    }
}
