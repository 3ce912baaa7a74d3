//! The log of polls: a repeated problem or status is logged once, not at every poll.

use std::sync::Arc;
use std::time::Duration;

use crate::service::Service;
use crate::watch::observation::{Observation, Problem, ProblemKind};
use crate::workers::poller::budget_queue::BudgetQueue;
use crate::workers::poller::decision::Decision;
use crate::workers::poller::{Shared, State};

/// The number of warnings that are remembered, so that they are not repeated.
const WARNINGS_MAX: usize = 1000;

impl BudgetQueue {
    /// Reports the observation and the duration of a poll to the budget, which pauses if the service
    /// throttled the poll.
    pub(super) fn note(
        &mut self,
        service: &Service,
        observation: &Observation,
        took: Duration,
        uptime: Duration,
    ) {
        match observation {
            Observation::Problem(problem) if problem.pauses_budget() => {
                self.throttled();
                self.budget
                    .throttled(uptime, |run| match problem.retry_after {
                        Some(retry_after) => service.timing.respected(retry_after),
                        None => service.timing.interval(run),
                    });
            }
            Observation::Problem(Problem {
                kind: ProblemKind::Unreachable | ProblemKind::ServerError,
                ..
            }) => self.budget.failed(uptime),
            _ => self.budget.answered(took),
        }
    }

    /// Logs that polls wait for too long, at most once a minute for one budget.
    pub(super) fn report_late(&self, lateness: Duration, uptime: Duration) {
        let budget = &self.budget;
        let hint = if self.budget.was_throttled(uptime) {
            "the service throttles this endpoint and credential; lower `rate`, or lengthen the intervals of [poll]"
        } else if budget.in_flight() >= budget.limits().concurrency as usize {
            "all polls that may be in flight wait for their answers; raise `concurrency` if the service permits it"
        } else {
            "raise `rate` if the service permits it, or lengthen the intervals of [poll]"
        };
        tracing::warn!(
            hint,
            endpoint = self.key.endpoint,
            credential = self.key.credential,
            waiting = self.waiting.len(),
            late_seconds = lateness.as_secs(),
            rate = budget.rate(),
            ceiling = budget.ceiling(),
            in_flight = budget.in_flight(),
            concurrency = budget.limits().concurrency,
            "polls are late: the budget of this endpoint and credential cannot keep up"
        );
    }

    /// Logs a problem, at most once a minute for one service.
    pub(super) fn report(
        &mut self,
        service: &Service,
        observation: &Observation,
        uptime: Duration,
    ) {
        if let Observation::Problem(problem) = observation
            && self.may_warn(&service.name, uptime)
        {
            tracing::warn!(
                service = %service.name, problem = %problem.kind,
                http_status = problem.http_status, code = problem.code,
                detail = problem.message, "poll failed; its watch continues"
            );
        }
    }
}

impl State {
    /// Logs a status that the definition does not list (invariant 9), once for each value, and
    /// the oddities of an answer.
    pub(super) fn report_oddities(&mut self, service: &Arc<Service>, observation: &Observation) {
        let Observation::Sighting(sighting) = observation else {
            return;
        };
        if let Some(why) = &sighting.refused_follow
            && self.warn_once(service, why)
        {
            tracing::warn!(
                service = %service.name, why,
                "the URL of the next poll is not used; the last good one stays"
            );
        }
        for warning in &sighting.warnings {
            tracing::debug!(service = %service.name, warning, "unexpected value in an answer");
        }
        if !sighting.unknown_status {
            return;
        }
        let status = sighting.job.status.as_deref().unwrap_or_default();
        if self.warn_once(service, status) {
            tracing::warn!(
                service = %service.name, status,
                "unknown_status: the definition does not list this status; the job counts as running"
            );
        }
    }

    /// True the first time for each service and text, up to a limit of memory.
    fn warn_once(&mut self, service: &Service, text: &str) -> bool {
        let key = (Arc::clone(&service.name), text.to_owned());
        self.warned.len() < WARNINGS_MAX && self.warned.insert(key)
    }
}

impl Shared {
    /// Logs that the store fails: as an error the first time, then for debugging only.
    pub(super) fn report_store_failure(&self, decision: &Decision, error: &anyhow::Error) {
        let is_first = self.state().backlog.len() == 0;
        let error = format!("{error:#}");
        if is_first {
            tracing::error!(
                watch_id = %decision.watch, error,
                "cannot commit a transition; transitions are kept in memory until the store works again, and polling continues"
            );
        } else {
            tracing::debug!(watch_id = %decision.watch, error, "cannot commit a transition");
        }
    }
}
