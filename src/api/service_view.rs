//! The JSON form of a configured service, shared by the API and the commands.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::schema;
use crate::watch::observation::{ProblemKind, ProblemNote};
use crate::workers::poller::{
    BlindStatus, BudgetStatus, CredentialStatus, Health, LastAnswer, ServiceStatus,
};

/// The configured services, sorted by name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Services)]
pub(crate) struct ServicesView {
    pub(crate) services: Vec<ServiceView>,
}

/// A service of the configuration, its health, and the budget that its polls spend.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Service)]
pub(crate) struct ServiceView {
    pub(crate) name: String,
    pub(crate) definition: String,
    /// Its base URL, or the service catalog that has it.
    pub(crate) endpoint: String,
    /// The name of its credential.
    pub(crate) credential: String,
    /// `ok`, `failing`, `blind`, `throttled`, or `idle` before the first poll of this process.
    #[schema(value_type = schema::Health)]
    pub(crate) health: Health,
    /// The last answer; `null` before the first one.
    pub(crate) last_answer: Option<AnswerView>,
    pub(crate) credential_state: CredentialView,
    pub(crate) budget: BudgetView,
    /// The time in which the service is blind; absent while its jobs can be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blind: Option<BlindView>,
}

/// The time in which no job of a service can be seen: only probes are made, and deadlines stand
/// still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Blind)]
pub(crate) struct BlindView {
    /// The time of the first problem.
    pub(crate) since: Timestamp,
    /// The last problem that was met.
    pub(crate) problem: ProblemView,
    /// The time of the next probe.
    pub(crate) next_probe_at: Timestamp,
}

/// The last answer of a service, or the problem of a poll without one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = LastAnswer)]
pub(crate) struct AnswerView {
    pub(crate) at: Timestamp,
    pub(crate) took_ms: u64,
    /// The HTTP status; `null` without an answer.
    pub(crate) http_status: Option<u16>,
    /// The problem of the poll; `null` if it showed the job.
    pub(crate) problem: Option<ProblemView>,
    /// The polls in a row that failed because of the service; absent if the last one did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed_in_a_row: Option<u32>,
    /// The time of the first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failing_since: Option<Timestamp>,
}

/// A problem of a poll, in few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PollProblem)]
pub(crate) struct ProblemView {
    #[schema(value_type = schema::ProblemKind)]
    pub(crate) kind: ProblemKind,
    /// The error code that the service gave.
    pub(crate) code: Option<String>,
    pub(crate) message: String,
}

/// The state of a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CredentialState)]
pub(crate) struct CredentialView {
    /// Its kind in the configuration, as `keystone`.
    pub(crate) kind: String,
    /// The time at which the present secret ends; `null` if it has no end, or before the first
    /// poll needed one. It is renewed before.
    pub(crate) expires_at: Option<Timestamp>,
    /// Why the credential is refused: a person has to change something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<String>,
    /// The reason of a failed renewal that may succeed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failing: Option<String>,
    /// The time of the next attempt to get a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) again_at: Option<Timestamp>,
}

/// The budget of a host and a credential, which several services may share.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Budget)]
pub(crate) struct BudgetView {
    pub(crate) host: String,
    /// The present polls a second, and the most.
    pub(crate) rate: f64,
    pub(crate) ceiling: f64,
    pub(crate) burst: u32,
    pub(crate) concurrency: u32,
    pub(crate) in_flight: usize,
    /// The number of polls that are due and wait.
    pub(crate) waiting: usize,
    pub(crate) late: LateView,
    /// The end of the pause that the service asked for; `null` without one.
    pub(crate) paused_until: Option<Timestamp>,
}

/// The polls that have waited for more than a second.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Late)]
pub(crate) struct LateView {
    pub(crate) polls: usize,
    /// How long the first of them has waited.
    pub(crate) seconds: f64,
}

impl From<ServiceStatus> for ServiceView {
    fn from(service: ServiceStatus) -> Self {
        Self {
            name: service.name.to_string(),
            definition: service.definition,
            endpoint: service.endpoint,
            credential: service.budget.credential.clone(),
            health: service.health,
            last_answer: service.last_answer.map(AnswerView::from),
            credential_state: service.credential.into(),
            budget: service.budget.into(),
            blind: service.blind.map(BlindView::from),
        }
    }
}

impl From<ProblemNote> for ProblemView {
    fn from(problem: ProblemNote) -> Self {
        Self {
            kind: problem.kind,
            code: problem.code,
            message: problem.message,
        }
    }
}

impl From<BlindStatus> for BlindView {
    fn from(blind: BlindStatus) -> Self {
        Self {
            since: blind.since,
            problem: blind.cause.into(),
            next_probe_at: blind.next_probe,
        }
    }
}

impl From<LastAnswer> for AnswerView {
    fn from(last: LastAnswer) -> Self {
        Self {
            at: last.at,
            took_ms: u64::try_from(last.took.as_millis()).unwrap_or(u64::MAX),
            http_status: last.http_status,
            problem: last.problem.map(ProblemView::from),
            failed_in_a_row: last.failing.map(|(count, _)| count),
            failing_since: last.failing.map(|(_, since)| since),
        }
    }
}

impl From<CredentialStatus> for CredentialView {
    fn from(status: CredentialStatus) -> Self {
        let again_at = status.trouble.as_ref().and_then(|trouble| trouble.again_at);
        let (refused, failing) = match status.trouble {
            Some(trouble) if trouble.is_refused => (Some(trouble.reason), None),
            Some(trouble) => (None, Some(trouble.reason)),
            None => (None, None),
        };
        Self {
            kind: status.kind.to_owned(),
            expires_at: status.expires_at,
            refused,
            failing,
            again_at,
        }
    }
}

impl From<BudgetStatus> for BudgetView {
    fn from(budget: BudgetStatus) -> Self {
        Self {
            host: budget.host,
            rate: budget.rate,
            ceiling: budget.ceiling,
            burst: budget.limits.burst,
            concurrency: budget.limits.concurrency,
            in_flight: budget.in_flight,
            waiting: budget.waiting,
            late: LateView {
                polls: budget.late,
                seconds: budget.lateness.as_secs_f64(),
            },
            paused_until: budget.paused_until,
        }
    }
}
