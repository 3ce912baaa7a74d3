//! The HTTP API: the route table, and the state that its handlers share.
//!
//! Handlers are thin: they call an action or read the store, and show the result as
//! JSON. [`auth`] runs before them. Errors are RFC 9457 problem documents ([`error`]).
//!
//! Each handler describes itself with `#[utoipa::path]`, and the `OpenAPI` document
//! ([`document`]) is made of the same calls of `routes!` as the router. A new route is one
//! line in [`guarded`] or [`long`]. A response of 400 or more needs its status only; its description is
//! the names of the problems ([`crate::problem`]) that may be in it.

pub(crate) mod auth;
mod badge;
mod body;
mod bulk;
mod deliveries;
pub(crate) mod delivery_view;
mod document;
mod document_page;
pub(crate) mod durations;
pub(crate) mod error;
mod events;
mod filter;
pub(crate) mod groups;
pub(crate) mod hints;
mod line_report;
mod lines;
mod path;
mod query;
mod readiness;
mod reference;
pub(crate) mod replicas;
mod schema;
pub(crate) mod server;
pub(crate) mod service_view;
mod services;
pub(crate) mod view;
mod wait;
mod watches;
pub(crate) mod why;
pub(crate) mod why_facts;
mod why_text;
mod why_words;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router, middleware};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::actions::Actions;
use crate::api::auth::Guard;
use crate::api::document::Document;
use crate::api::durations::Usual;
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
    /// How long jobs usually take.
    pub(crate) usual: Usual,
    /// Limits the batches of all streams of submissions that are in memory.
    pub(crate) bulk_batches: Arc<Semaphore>,
    /// Limits the streams of submissions.
    pub(crate) bulk_streams: Arc<Semaphore>,
}

/// The most streams of submissions at a time.
pub(crate) const BULK_STREAMS: usize = 128;
/// The most batches of submissions in memory.
pub(crate) const BULK_BATCHES: usize = 16;

/// The routes that need a token, where tokens are set.
fn guarded() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(watches::submit))
        .routes(routes!(watches::check))
        .routes(routes!(watches::show, watches::stop))
        .routes(routes!(watches::evidence))
        .routes(routes!(watches::poll))
        .routes(routes!(why::show))
        .routes(routes!(events::of_watch))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::redrive_dead))
        .routes(routes!(deliveries::show))
        .routes(routes!(deliveries::redrive))
        .routes(routes!(deliveries::sinks))
        .routes(routes!(services::list))
        .routes(routes!(durations::list))
        .routes(routes!(badge::show))
        .routes(routes!(groups::show))
        .routes(routes!(groups::close))
        .routes(routes!(replicas::list))
        .routes(routes!(readiness::metrics))
        .routes(routes!(document::json))
        .routes(routes!(document_page::page))
}

/// The routes behind the guard that take as long as the client asks for, and limit their own
/// times.
fn long() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(watches::list))
        .routes(routes!(wait::one))
        .routes(routes!(bulk::submit))
        .routes(routes!(events::follow))
}

/// The routes that a signature opens in place of a token.
fn signed() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(hints::receive))
}

/// The routes that need no token.
fn open() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(readiness::livez))
        .routes(routes!(readiness::readyz))
}

/// Builds the route table, with the description of each route.
pub(crate) fn router(api: Api) -> Router {
    let guard = Arc::clone(&api.guard);
    let (quick, mut behind) = guarded().split_for_parts();
    let (long, of_long) = long().split_for_parts();
    let (open, beside) = open().split_for_parts();
    let (signed, of_signed) = signed().split_for_parts();
    behind.merge(of_long);
    behind.merge(of_signed);
    let document = Arc::new(Document::new(behind, beside));
    let guarded = quick
        .layer(middleware::from_fn(limit_time))
        .merge(long)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&document),
            document::check_query,
        ))
        .layer(middleware::from_fn_with_state(guard, auth::check));
    let signed = signed
        .layer(middleware::from_fn(limit_time))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&document),
            document::check_query,
        ))
        .layer(middleware::from_fn_with_state(api.clone(), hints::check));
    guarded
        .merge(signed)
        .merge(open.layer(middleware::from_fn(limit_time)))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
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
