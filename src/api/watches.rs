//! `/v1/watches`: submits, lists, shows, polls and stops watches.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::actions::Polling;
use crate::api::Api;
use crate::api::body::{self, Body};
use crate::api::error::ApiError;
use crate::api::path::PathText;
use crate::api::schema::{self, REFERENCE};
use crate::api::view::{PageView, WatchView};
use crate::watch::Watch;
use crate::watch::evidence::Evidence;
use crate::watch::request::WatchRequest;

/// The number of transitions shown with one watch, counted from the latest.
const TRANSITIONS_SHOWN: usize = 50;

/// Submits a job: 201 with the new watch, or 200 with the existing watch of this job.
#[utoipa::path(
    post,
    path = "/v1/watches",
    tag = "watches",
    operation_id = "submit_watch",
    request_body = schema::WatchRequest,
    responses(
        (
            status = 201,
            body = WatchView,
            description = "The new watch, after it is stored",
            headers(("location" = String, description = "The path of the watch"))
        ),
        (
            status = 200,
            body = WatchView,
            description = "The existing watch of the same job; `ignored` lists the members that it does not follow",
            headers(("location" = String, description = "The path of the watch"))
        ),
        (status = 400, description = "malformed body"),
        (status = 413, description = "body"),
        (status = 422, description = "refused-watch"),
    )
)]
pub(super) async fn submit(State(api): State<Api>, body: Body) -> Result<Response, ApiError> {
    let request: WatchRequest = body::read(body)?;
    let submitted = api.actions.submit(&request).await?;
    let status = if submitted.is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let view = WatchView {
        ignored: submitted.ignored.into_iter().map(str::to_owned).collect(),
        ..api.view(submitted.watch)
    };
    let location = HeaderValue::from_str(&format!("/v1/watches/{}", view.id))
        .map_err(|_| ApiError::malformed("the id is not a valid header value"))?;
    Ok((status, [(header::LOCATION, location)], Json(view)).into_response())
}

/// Checks a submission as `POST /v1/watches` does, and stores nothing. `job_id` may be absent, for
/// a job that does not exist yet.
#[utoipa::path(
    post,
    path = "/v1/watches/check",
    tag = "watches",
    operation_id = "check_watch",
    request_body = schema::WatchRequest,
    responses(
        (status = 204, description = "The submission would be accepted"),
        (status = 400, description = "malformed body"),
        (status = 413, description = "body"),
        (status = 422, description = "refused-watch"),
    )
)]
pub(super) async fn check(State(api): State<Api>, body: Body) -> Result<StatusCode, ApiError> {
    let request: WatchRequest = body::read(body)?;
    api.actions.check(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the watches that match the query, newest first.
#[utoipa::path(
    get,
    path = "/v1/watches",
    tag = "watches",
    operation_id = "list_watches",
    params(
        ("state" = Option<Vec<schema::State>>, Query, style = Form, explode = false, description = "Watches in one of these states"),
        ("service" = Option<String>, Query, description = "Watches of this service"),
        ("job" = Option<String>, Query, description = "Watches of the job with this id"),
        ("label" = Option<Vec<schema::Label>>, Query, description = "Watches with this label; of several, all must hold"),
        ("group" = Option<String>, Query, description = "Watches of this group"),
        ("id" = Option<Vec<String>>, Query, description = "These watches, by references"),
        ("since" = Option<String>, Query, example = "2h", description = "Watches submitted at this time (RFC 3339) or later, or at most this long ago (`2h`)"),
        ("until" = Option<String>, Query, example = "1s", description = "Watches submitted before this time, or longer ago"),
        ("cursor" = Option<String>, Query, description = "The `next` of the previous page"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "The most entries of the page; 100 unless given"),
        ("wait" = Option<String>, Query, example = "1s", description = "Answer when the watches have ended, at the latest after this duration (at most 10m)"),
        ("for" = Option<schema::WaitFor>, Query, description = "With `wait`: until all of them have ended (the default), any of them, or a change of one"),
        ("after" = Option<String>, Query, description = "With `for=change`: changes after this position, the `as_of` of a list or the id of an event"),
    ),
    responses(
        (status = 200, body = PageView, description = "A page of watches; `next` is set if there may be more, also after a short page"),
        (status = 404, description = "no-such-watch"),
        (status = 409, description = "ambiguous-reference"),
    )
)]
pub(super) async fn list(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<PageView>, ApiError> {
    let listing = api.listing(query.as_deref().unwrap_or_default()).await?;
    if let Some(wait) = listing.wait {
        let (watches, at) = api.when(listing.query, wait).await?;
        return Ok(Json(api.page(watches, None, &at)));
    }
    let at = api.announcer.present_position().await?;
    let page = api.store.watches(listing.query).await?;
    api.refresh_usual(&page.watches).await?;
    let next = page.next.map(|cursor| cursor.to_string());
    Ok(Json(api.page(page.watches, next, &at)))
}

/// Shows one watch with its latest transitions.
#[utoipa::path(
    get,
    path = "/v1/watches/{id}",
    tag = "watches",
    operation_id = "show_watch",
    params(("id" = String, Path, description = REFERENCE)),
    responses(
        (status = 200, body = WatchView, description = "The watch"),
        (status = 404, description = "no-such-watch"),
        (status = 409, description = "ambiguous-reference"),
    )
)]
pub(super) async fn show(
    State(api): State<Api>,
    PathText(reference): PathText,
) -> Result<Json<WatchView>, ApiError> {
    let watch = api.resolve(&reference).await?;
    let events = api.store.events_of(watch.id, TRANSITIONS_SHOWN).await?;
    api.refresh_usual(std::slice::from_ref(&watch)).await?;
    Ok(Json(api.view(watch).with_transitions(&events)))
}

/// Shows the evidence of the outcome of a watch.
#[utoipa::path(
    get,
    path = "/v1/watches/{id}/evidence",
    tag = "watches",
    operation_id = "show_evidence",
    params(("id" = String, Path, description = REFERENCE)),
    responses(
        (status = 200, body = schema::Evidence, description = "The evidence"),
        (status = 404, description = "no-such-watch no-evidence"),
        (status = 409, description = "ambiguous-reference"),
    )
)]
pub(super) async fn evidence(
    State(api): State<Api>,
    PathText(reference): PathText,
) -> Result<Json<Evidence>, ApiError> {
    let watch = api.resolve(&reference).await?;
    let evidence = api.store.evidence(watch.id).await?;
    evidence
        .map(Json)
        .ok_or_else(|| ApiError::no_evidence(&watch))
}

/// Ends a watch as `unwatched` and shows it. A watch that has ended is not changed.
#[utoipa::path(
    delete,
    path = "/v1/watches/{id}",
    tag = "watches",
    operation_id = "stop_watch",
    params(("id" = String, Path, description = REFERENCE)),
    responses(
        (status = 200, body = WatchView, description = "The watch, which has ended"),
        (status = 404, description = "no-such-watch"),
        (status = 409, description = "ambiguous-reference"),
    )
)]
pub(super) async fn stop(
    State(api): State<Api>,
    PathText(reference): PathText,
) -> Result<Json<WatchView>, ApiError> {
    let id = api.resolve_id(&reference).await?;
    let stopped = api.actions.stop(id).await?;
    let watch = stopped.ok_or_else(|| ApiError::no_such_watch(&reference))?;
    Ok(Json(api.view(watch)))
}

/// Makes the next poll of a watch due now, and shows the watch. A watch that has ended is not
/// polled. While its service is blind, the watch is the next probe of it.
#[utoipa::path(
    post,
    path = "/v1/watches/{id}/poll",
    tag = "watches",
    operation_id = "poll_watch",
    params(("id" = String, Path, description = REFERENCE)),
    responses(
        (status = 200, body = WatchView, description = "The watch"),
        (status = 404, description = "no-such-watch"),
        (status = 409, description = "ambiguous-reference"),
    )
)]
pub(super) async fn poll(
    State(api): State<Api>,
    PathText(reference): PathText,
) -> Result<Json<WatchView>, ApiError> {
    let watch = api.resolve(&reference).await?;
    api.actions.poll_now(&watch).await?;
    Ok(Json(api.view(watch)))
}

impl Api {
    /// Shows a watch with the numbers that only the poller has.
    pub(super) fn view(&self, watch: Watch) -> WatchView {
        let progress = self.poller.progress(watch.id);
        let usual = self.usual.of(&watch);
        WatchView {
            usual,
            ..WatchView::of(watch, progress)
        }
    }
}
