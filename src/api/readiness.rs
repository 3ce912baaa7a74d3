//! The probes (alive, ready for work) and the metrics.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Api;
use crate::api::error::ApiError;
use crate::metrics::BudgetNumbers;

#[derive(Serialize, ToSchema)]
pub(super) struct Alive {
    #[schema(example = "alive")]
    status: &'static str,
    version: &'static str,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    #[schema(example = "ready")]
    status: &'static str,
    watching: usize,
    /// Sinks whose receiver answered 410: nothing is sent to them until a restart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gone_sinks: Vec<String>,
}

/// The type that Prometheus asks for (`OpenMetrics` 1.0.0).
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers as long as the process does.
///
/// Says nothing about the store or the services.
#[utoipa::path(
    get,
    path = "/livez",
    tag = "daemon",
    operation_id = "live",
    responses((status = 200, body = Alive, description = "The process answers"))
)]
pub(super) async fn livez() -> Json<Alive> {
    Json(Alive {
        status: "alive",
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// Shows the metrics in the text format of Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "daemon",
    operation_id = "metrics",
    responses((
        status = 200,
        content_type = "application/openmetrics-text",
        body = String,
        description = "The metrics"
    ))
)]
pub(super) async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    // If the store cannot be read, the numbers of the last reading stay.
    if let Ok(backlog) = api.store.backlog().await {
        let owed = backlog.into_iter();
        api.metrics
            .owed(owed.map(|owed| (owed.sink, owed.pending, owed.dead)));
    }
    for budget in api.poller.budgets() {
        api.metrics.budget(BudgetNumbers {
            endpoint: budget.host,
            credential: budget.credential,
            rate: budget.rate,
            waiting: budget.waiting,
            lateness: budget.lateness,
        });
    }
    for service in api.poller.services() {
        api.metrics
            .set_blind(&service.name, service.blind.is_some());
    }
    api.metrics.set_shards(api.poller.shards());
    let text = api
        .metrics
        .text(api.poller.watching(), api.poller.unsaved());
    ([(header::CONTENT_TYPE, METRICS_TYPE)], text)
}

/// Answers 200 once the watches are loaded and the store can commit.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "daemon",
    operation_id = "ready",
    responses(
        (status = 200, body = Ready, description = "Watches can be submitted"),
        (status = 503, description = "unavailable"),
    )
)]
pub(super) async fn readyz(State(api): State<Api>) -> Result<Json<Ready>, ApiError> {
    if !api.poller.is_loaded() {
        return Err(ApiError::unavailable("the watches are still being loaded"));
    }
    api.store.check().await?;
    let gone = api.courier.sinks().filter(|sink| sink.gone_since.is_some());
    Ok(Json(Ready {
        status: "ready",
        watching: api.poller.watching(),
        gone_sinks: gone.map(|sink| sink.name).collect(),
    }))
}
