//! `/v1/services`: lists the configured services and the state of their budgets.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Api;
use crate::workers::poller::{BudgetStatus, ServiceStatus};

/// The configured services, sorted by name.
#[derive(Serialize, ToSchema)]
#[schema(as = Services)]
pub(super) struct ServicesView {
    services: Vec<ServiceView>,
}

/// A service of the configuration, and the budget that its polls spend.
#[derive(Serialize, ToSchema)]
#[schema(as = Service)]
struct ServiceView {
    name: String,
    definition: String,
    /// Its base URL, or the service catalog that has it.
    endpoint: String,
    credential: String,
    budget: BudgetView,
}

/// The budget of a host and a credential, which several services may share.
#[derive(Serialize, ToSchema)]
#[schema(as = Budget)]
struct BudgetView {
    host: String,
    /// The present polls a second, and the most.
    rate: f64,
    ceiling: f64,
    burst: u32,
    concurrency: u32,
    in_flight: usize,
    /// The number of polls that are due and wait.
    waiting: usize,
    late: LateView,
    /// The end of the pause that the service asked for; `null` without one.
    paused_until: Option<Timestamp>,
}

/// The polls that have waited for more than a second.
#[derive(Serialize, ToSchema)]
#[schema(as = Late)]
struct LateView {
    polls: usize,
    /// How long the first of them has waited.
    seconds: f64,
}

/// Lists the configured services, and what their budgets allow now.
#[utoipa::path(
    get,
    path = "/v1/services",
    tag = "services",
    operation_id = "list_services",
    responses((status = 200, body = ServicesView, description = "The services, sorted by name"))
)]
pub(super) async fn list(State(api): State<Api>) -> Json<ServicesView> {
    let services = api.poller.services();
    Json(ServicesView {
        services: services.into_iter().map(ServiceView::from).collect(),
    })
}

impl From<ServiceStatus> for ServiceView {
    fn from(service: ServiceStatus) -> Self {
        Self {
            name: service.name.to_string(),
            definition: service.definition,
            endpoint: service.endpoint,
            credential: service.budget.credential.clone(),
            budget: service.budget.into(),
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
