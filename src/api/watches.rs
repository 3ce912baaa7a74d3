//! `/v1/watches`: submits, lists, shows, polls and stops watches.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::actions::Polling;
use crate::api::Api;
use crate::api::error::ApiError;
use crate::api::view::{PageView, WatchView};
use crate::watch::Watch;
use crate::watch::evidence::Evidence;
use crate::watch::request::WatchRequest;

/// The number of transitions shown with one watch, counted from the latest.
const TRANSITIONS_SHOWN: usize = 50;

/// Submits a job: 201 with the new watch, or 200 with the existing watch of this job.
pub(super) async fn submit(
    State(api): State<Api>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let body =
        body.map_err(|rejection| ApiError::bad_body(rejection.status(), rejection.body_text()))?;
    let request: WatchRequest = serde_json::from_slice(&body)
        .map_err(|error| ApiError::malformed(format!("the body is not a valid watch: {error}")))?;
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

/// Lists the watches that match the query, newest first.
pub(super) async fn list(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<PageView>, ApiError> {
    let listing = api.listing(query.as_deref().unwrap_or_default()).await?;
    if let Some(wait) = listing.wait {
        let (watches, at) = api.when(listing.query, wait).await?;
        return Ok(Json(api.page(watches, None, &at)));
    }
    let at = api.announcer.position();
    let page = api.store.watches(listing.query).await?;
    let next = page.next.map(|cursor| cursor.to_string());
    Ok(Json(api.page(page.watches, next, &at)))
}

/// Shows one watch with its latest transitions.
pub(super) async fn show(
    State(api): State<Api>,
    Path(reference): Path<String>,
) -> Result<Json<WatchView>, ApiError> {
    let watch = api.resolve(&reference).await?;
    let events = api.store.events_of(watch.id, TRANSITIONS_SHOWN).await?;
    Ok(Json(api.view(watch).with_transitions(&events)))
}

/// Shows the evidence of the outcome of a watch.
pub(super) async fn evidence(
    State(api): State<Api>,
    Path(reference): Path<String>,
) -> Result<Json<Evidence>, ApiError> {
    let watch = api.resolve(&reference).await?;
    let evidence = api.store.evidence(watch.id).await?;
    evidence
        .map(Json)
        .ok_or_else(|| ApiError::no_evidence(&watch))
}

/// Ends a watch as `unwatched` and shows it. A watch that is final is not changed.
pub(super) async fn stop(
    State(api): State<Api>,
    Path(reference): Path<String>,
) -> Result<Json<WatchView>, ApiError> {
    let id = api.resolve_id(&reference).await?;
    let stopped = api.actions.stop(id).await?;
    let watch = stopped.ok_or_else(|| ApiError::no_such_watch(&reference))?;
    Ok(Json(api.view(watch)))
}

/// Makes the next poll of a watch due now, and shows the watch. One that is final is not polled.
pub(super) async fn poll(
    State(api): State<Api>,
    Path(reference): Path<String>,
) -> Result<Json<WatchView>, ApiError> {
    let watch = api.resolve(&reference).await?;
    api.actions.poll_now(watch.id);
    Ok(Json(api.view(watch)))
}

impl Api {
    /// Shows a watch with the numbers that only the poller has.
    pub(super) fn view(&self, watch: Watch) -> WatchView {
        let progress = self.poller.progress(watch.id);
        WatchView::of(watch, progress)
    }
}
