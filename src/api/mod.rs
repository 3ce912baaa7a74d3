//! The HTTP API: the route table, and the state that its handlers share.
//!
//! Handlers are thin: they call an action or read the store, and show the result as
//! JSON. [`auth`] runs before them. Errors are RFC 9457 problem documents ([`error`]).

pub(crate) mod auth;
mod bulk;
mod deliveries;
pub(crate) mod delivery_view;
pub(crate) mod error;
mod events;
mod filter;
mod query;
mod reference;
pub(crate) mod server;
mod services;
mod status;
pub(crate) mod view;
mod wait;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actions::Actions;
use crate::api::auth::Guard;
use crate::api::error::ApiError;
use crate::clock::SharedClock;
use crate::metrics::Metrics;
use crate::store::SharedStore;
use crate::workers::announcer::Announcer;
use crate::workers::courier::Courier;
use crate::workers::poller::Poller;

pub use crate::api::server::Listener;

/// The largest request body, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The time limit of one request, its body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The state shared by all handlers.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) actions: Arc<Actions>,
    pub(crate) store: SharedStore,
    /// Knows the next poll and the counters of each watch, which are not in the store.
    pub(crate) poller: Poller,
    /// Knows which receivers are gone (410), which is not in the store.
    pub(crate) courier: Courier,
    pub(crate) guard: Arc<Guard>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: SharedClock,
    /// Wakes the clients that wait and those that follow the log of events.
    pub(crate) announcer: Announcer,
    /// Cancelled when the daemon stops: waits and streams then end.
    pub(crate) stop: CancellationToken,
    /// Runs the tasks of streams.
    pub(crate) tracker: TaskTracker,
    /// Limits the batches of all streams of submissions that are in memory.
    pub(crate) bulk_batches: Arc<Semaphore>,
}

/// The most batches of submissions in memory.
pub(crate) const BULK_BATCHES: usize = 16;

/// Builds the route table. `/livez` and `/readyz` need no token.
pub(crate) fn router(api: Api) -> Router {
    let guard = Arc::clone(&api.guard);
    let guarded = Router::new()
        .route("/v1/watches", post(watches::submit))
        .route("/v1/watches/{id}", get(watches::show).delete(watches::stop))
        .route("/v1/watches/{id}/evidence", get(watches::evidence))
        .route("/v1/watches/{id}/events", get(events::of_watch))
        .route("/v1/watches/{id}/poll", post(watches::poll))
        .route("/v1/deliveries", get(deliveries::list))
        .route("/v1/deliveries/redrive", post(deliveries::redrive_dead))
        .route("/v1/deliveries/{id}", get(deliveries::show))
        .route("/v1/deliveries/{id}/redrive", post(deliveries::redrive))
        .route("/v1/services", get(services::list))
        .route("/v1/sinks", get(deliveries::sinks))
        .route("/metrics", get(status::metrics))
        .layer(middleware::from_fn_with_state(guard, auth::check));
    let quick = Router::new()
        .merge(guarded)
        .route("/livez", get(status::livez))
        .route("/readyz", get(status::readyz))
        .layer(middleware::from_fn(limit_time));
    // These take as long as the client asks for, and limit their own times.
    let guard = Arc::clone(&api.guard);
    let long = Router::new()
        .route("/v1/watches", get(watches::list))
        .route("/v1/watches/{id}/wait", get(wait::one))
        .route("/v1/watches/bulk", post(bulk::submit))
        .route("/v1/events", get(events::follow))
        .layer(middleware::from_fn_with_state(guard, auth::check));
    quick
        .merge(long)
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(api)
}

async fn limit_time(request: Request, next: Next) -> Response {
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
