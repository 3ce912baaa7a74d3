//! The HTTP API: the route table, and the state that its handlers share.
//!
//! Handlers are thin: they call an action or read the store, and show the result as
//! JSON. [`auth`] runs before them. Errors are RFC 9457 problem documents ([`error`]).
//!
//! Each handler describes itself with `#[utoipa::path]`, and the `OpenAPI` document
//! ([`document`]) is made of the same calls of `routes!` as the router. A new route is one
//! line in [`guarded`]. A response of 400 or more needs its status only; its description is
//! the names of the problems ([`problem`]) that may be in it.

pub(crate) mod auth;
mod deliveries;
pub(crate) mod delivery_view;
mod document;
pub(crate) mod error;
mod problem;
mod query;
mod reference_page;
mod schema;
pub(crate) mod server;
mod services;
mod status;
pub(crate) mod view;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router, middleware};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::actions::Actions;
use crate::api::auth::Guard;
use crate::api::document::Document;
use crate::api::error::ApiError;
use crate::clock::SharedClock;
use crate::metrics::Metrics;
use crate::store::SharedStore;
use crate::workers::courier::Courier;
use crate::workers::poller::Poller;

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
}

/// The routes that need a token, where tokens are set.
fn guarded() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(watches::list, watches::submit))
        .routes(routes!(watches::show, watches::stop))
        .routes(routes!(watches::evidence))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::redrive_dead))
        .routes(routes!(deliveries::show))
        .routes(routes!(deliveries::redrive))
        .routes(routes!(deliveries::sinks))
        .routes(routes!(services::list))
        .routes(routes!(status::metrics))
        .routes(routes!(document::json))
        .routes(routes!(reference_page::page))
}

/// The routes that need no token.
fn open() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(status::livez))
        .routes(routes!(status::readyz))
}

/// Builds the route table, with the description of each route.
pub(crate) fn router(api: Api) -> Router {
    let guard = Arc::clone(&api.guard);
    let (guarded, behind) = guarded().split_for_parts();
    let (open, beside) = open().split_for_parts();
    let document = Arc::new(Document::new(behind, beside));
    let guarded = guarded
        .layer(middleware::from_fn_with_state(
            Arc::clone(&document),
            document::check_query,
        ))
        .layer(middleware::from_fn_with_state(guard, auth::check));
    Router::new()
        .merge(guarded)
        .merge(open)
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(limit_time))
        .layer(Extension(document))
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
