//! Probes: alive, and ready for work.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::api::Api;
use crate::api::error::ApiError;

#[derive(Serialize)]
pub(super) struct Alive {
    status: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
pub(super) struct Ready {
    status: &'static str,
    watching: usize,
}

/// The process answers. Says nothing about the store or the services.
pub(super) async fn livez() -> Json<Alive> {
    Json(Alive {
        status: "alive",
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// The agenda is loaded and the store can commit: what is submitted now is kept.
pub(super) async fn readyz(State(api): State<Api>) -> Result<Json<Ready>, ApiError> {
    if !api.poller.is_loaded() {
        return Err(ApiError::unavailable("the watches are still being loaded"));
    }
    api.store.check().await?;
    Ok(Json(Ready {
        status: "ready",
        watching: api.poller.watching(),
    }))
}
