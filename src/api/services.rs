//! `/v1/services`: lists the configured services, their health and the state of their budgets.

use axum::Json;
use axum::extract::State;

use crate::api::Api;
use crate::api::service_view::{ServiceView, ServicesView};

/// Lists the configured services, how they answer, and what their budgets allow now.
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
