//! What a person should know of polls: said once, and not at every poll.

use std::sync::Arc;
use std::time::Duration;

use crate::service::Service;
use crate::watch::observation::{Observation, ProblemKind};
use crate::workers::poller::budget_queue::BudgetQueue;
use crate::workers::poller::poll::Decision;
use crate::workers::poller::{Shared, State};

/// How many unlisted status values are remembered.
const STATUSES_MAX: usize = 1000;

impl BudgetQueue {
    /// Pauses the budget when the service throttles.
    pub(super) fn note(&mut self, service: &Service, observation: &Observation, uptime: Duration) {
        if let Observation::Problem(problem) = observation
            && problem.kind == ProblemKind::Throttled
        {
            self.budget
                .throttled(uptime, |run| match problem.retry_after {
                    Some(retry_after) => service.timing.respected(retry_after),
                    None => service.timing.interval(run),
                });
        }
    }

    /// Warns of a problem, unless this budget has just warned of one.
    pub(super) fn report(
        &mut self,
        service: &Service,
        observation: &Observation,
        uptime: Duration,
    ) {
        if let Observation::Problem(problem) = observation
            && self.may_warn(uptime)
        {
            tracing::warn!(
                service = %service.name, problem = %problem.kind,
                http_status = problem.http_status, code = problem.code,
                detail = problem.message, "a poll met a problem; watches go on"
            );
        }
    }
}

impl State {
    /// Reports a status that the definition does not list (invariant 9), once for each value,
    /// and the oddities of an answer.
    pub(super) fn report_oddities(&mut self, service: &Arc<Service>, observation: &Observation) {
        let Observation::Sighting(sighting) = observation else {
            return;
        };
        for warning in &sighting.warnings {
            tracing::debug!(service = %service.name, warning, "an odd answer");
        }
        if !sighting.unknown_status {
            return;
        }
        let status = sighting.job.status.clone().unwrap_or_default();
        let key = (Arc::clone(&service.name), status);
        if self.warned.len() < STATUSES_MAX && !self.warned.contains(&key) {
            tracing::warn!(
                service = %service.name, status = key.1,
                "unknown_status: the definition does not list this status; it counts as still running"
            );
            self.warned.insert(key);
        }
    }
}

impl Shared {
    /// Reports that the store fails: loudly the first time only.
    pub(super) fn report_store_failure(&self, decision: &Decision, error: &anyhow::Error) {
        let is_first = self.state().backlog.len() == 0;
        let error = format!("{error:#}");
        if is_first {
            tracing::error!(
                watch_id = %decision.watch, error,
                "cannot commit a transition; it and those that follow are kept in memory until the store returns, and polling goes on"
            );
        } else {
            tracing::debug!(watch_id = %decision.watch, error, "cannot commit a transition");
        }
    }
}
