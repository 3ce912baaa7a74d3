//! The services and their budgets as they are now, for the API and the metrics.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::{Moment, later};
use crate::schedule::budget::Limits;
use crate::schedule::rate::LATE;
use crate::service::CredentialStatus;
use crate::watch::observation::{ProblemKind, ProblemNote};
use crate::workers::poller::answers::LastAnswer;
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
    /// The health, by the last answer and the budget.
    pub health: Health,
    /// The last answer since this process started.
    pub last_answer: Option<LastAnswer>,
    /// The state of its credential.
    pub credential: CredentialStatus,
    /// The time since which no job of it can be seen; `None` while jobs can be seen.
    pub blind: Option<BlindStatus>,
    /// The budget; services with the same host and credential share one.
    pub budget: BudgetStatus,
}

/// The time in which a service is blind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlindStatus {
    /// The time of the first problem.
    pub since: Timestamp,
    /// The last problem that was met.
    pub cause: ProblemNote,
    /// The time of the next probe.
    pub next_probe: Timestamp,
}

/// The health of a service in one word, by the last answer and the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It answers. An answer that a job is unknown is about this job only.
    Ok,
    /// The last poll had no answer, or one that shows a fault of the service, of the settings or
    /// of the credential.
    Failing,
    /// It could not be asked about any of its jobs for `blind_after`: only probes are made, and
    /// deadlines stand still.
    Blind,
    /// It asked for fewer requests: its polls pause, or the last one was refused for this reason.
    Throttled,
    /// It was not polled since this process started.
    Idle,
}

impl Health {
    fn of(last: Option<&LastAnswer>, is_blind: bool, budget: &BudgetStatus) -> Self {
        let problem = last.and_then(|last| last.problem.as_ref());
        let is_throttled = problem.is_some_and(|it| it.kind == ProblemKind::Throttled);
        match last {
            _ if is_blind => Self::Blind,
            _ if budget.paused_until.is_some() || is_throttled => Self::Throttled,
            None => Self::Idle,
            Some(last) if last.failing.is_some() => Self::Failing,
            Some(_) => Self::Ok,
        }
    }

    /// All words, in the order of the documents.
    pub const ALL: [Self; 5] = [
        Self::Ok,
        Self::Failing,
        Self::Blind,
        Self::Throttled,
        Self::Idle,
    ];

    /// Returns the word that API and commands use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failing => "failing",
            Self::Blind => "blind",
            Self::Throttled => "throttled",
            Self::Idle => "idle",
        }
    }
}

/// The budget of one host and credential.
#[derive(Debug, Clone)]
pub struct BudgetStatus {
    /// The host, with scheme and port; or the types and region of the catalog, until it is known.
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
        let Moment { at: now, uptime } = self.shared.clock.moment();
        let state = self.shared.state();
        let services = self.shared.services.all().filter_map(|service| {
            let index = state.queues.index_of(&service.name)?;
            let budget = state.look_at(state.queues.get(index), now, uptime);
            let last_answer = state.answers.of(&service.name).cloned();
            let blind = state.blind.sight.of(&service.name);
            let blind = blind.map(|(time, probe)| BlindStatus {
                since: time.since,
                cause: time.cause.clone(),
                next_probe: later(now, probe.saturating_sub(uptime)),
            });
            Some(ServiceStatus {
                health: Health::of(last_answer.as_ref(), blind.is_some(), &budget),
                blind,
                last_answer,
                credential: service.credential_status(),
                name: Arc::clone(&service.name),
                definition: service.definition.name.clone(),
                endpoint: service.base.to_string(),
                budget,
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
