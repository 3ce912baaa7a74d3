//! The HTTP API: the route table, and what its handlers share.
//!
//! Handlers are thin: they check who asks, call an action or read the store, and
//! show what came of it. Errors are RFC 9457 problem documents ([`error`]).

pub mod auth;
mod deliveries;
pub mod delivery_view;
pub mod error;
mod query;
pub mod server;
mod status;
pub mod view;
mod watches;

pub use crate::api::status::StoreProbe;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};

use crate::actions::Actions;
use crate::api::auth::Guard;
use crate::api::error::ApiError;
use crate::clock::SharedClock;
use crate::metrics::Metrics;
use crate::store::SharedStore;
use crate::workers::courier::Courier;
use crate::workers::poller::Poller;

/// The largest request body, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long one request may take, its body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What the handlers work with.
#[derive(Clone)]
pub struct Api {
    /// The operations on watches and deliveries.
    pub actions: Arc<Actions>,
    /// Where watches are kept.
    pub store: SharedStore,
    /// What only the agenda knows.
    pub poller: Poller,
    /// What only the loops of the sinks know.
    pub courier: Courier,
    /// Who may do what.
    pub guard: Arc<Guard>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: SharedClock,
    /// When the store was last seen to commit.
    pub probe: StoreProbe,
}

/// The route table.
pub fn router(api: Api) -> Router {
    let guard = Arc::clone(&api.guard);
    let guarded = Router::new()
        .route("/v1/watches", get(watches::list).post(watches::submit))
        .route("/v1/watches/{id}", get(watches::show).delete(watches::stop))
        .route("/v1/deliveries", get(deliveries::list))
        .route("/v1/deliveries/redrive", post(deliveries::redrive_dead))
        .route("/v1/deliveries/{id}", get(deliveries::show))
        .route("/v1/deliveries/{id}/redrive", post(deliveries::redrive))
        .route("/v1/sinks", get(deliveries::sinks))
        .route("/metrics", get(status::metrics))
        .layer(middleware::from_fn_with_state(guard, auth::check));
    Router::new()
        .merge(guarded)
        .route("/livez", get(status::livez))
        .route("/readyz", get(status::readyz))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(in_time))
        .with_state(api)
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::too_slow(REQUEST_TIMEOUT).into_response(),
    }
}

async fn no_such_route(request: Request) -> ApiError {
    ApiError::no_such_route(request.uri().path())
}

async fn no_such_method(request: Request) -> ApiError {
    ApiError::no_such_method(request.method(), request.uri().path())
}
