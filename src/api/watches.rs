//! `/v1/watches`: submits, lists, shows and stops watches.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::actions::Polling;
use crate::api::Api;
use crate::api::error::ApiError;
use crate::api::query::{PAGE_DEFAULT, terms};
use crate::api::schema;
use crate::api::view::{PageView, WatchView};
use crate::store::Query;
use crate::watch::evidence::Evidence;
use crate::watch::request::WatchRequest;
use crate::watch::{State as WatchState, Watch, WatchId};

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
#[utoipa::path(
    get,
    path = "/v1/watches",
    tag = "watches",
    operation_id = "list_watches",
    params(
        ("state" = Option<schema::State>, Query, description = "Watches in this state"),
        ("service" = Option<String>, Query, description = "Watches of this service"),
        ("label" = Option<String>, Query, pattern = "^[A-Za-z0-9._/-]+=", example = "deploy=42", description = "Watches that carry this label"),
        ("cursor" = Option<String>, Query, description = "The `next` of the previous page"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "The most entries of the page; 100 unless given"),
    ),
    responses((status = 200, body = PageView, description = "A page of watches"))
)]
pub(super) async fn list(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<PageView>, ApiError> {
    let query = parse_query(query.as_deref().unwrap_or_default())?;
    let page = api.store.watches(query).await?;
    Ok(Json(PageView {
        watches: page
            .watches
            .into_iter()
            .map(|watch| api.view(watch))
            .collect(),
        next: page.next.map(|cursor| cursor.to_string()),
    }))
}

/// Shows one watch with its latest transitions.
#[utoipa::path(
    get,
    path = "/v1/watches/{id}",
    tag = "watches",
    operation_id = "show_watch",
    params(("id" = String, Path, description = "The id of the watch")),
    responses(
        (status = 200, body = WatchView, description = "The watch"),
        (status = 404, description = "no-such-watch"),
    )
)]
pub(super) async fn show(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<WatchView>, ApiError> {
    let watch_id = parse_id(&id)?;
    let watch = api.store.watch(watch_id).await?;
    let watch = watch.ok_or_else(|| ApiError::no_such_watch(&id))?;
    let events = api.store.events_of(watch_id, TRANSITIONS_SHOWN).await?;
    Ok(Json(api.view(watch).with_transitions(&events)))
}

/// Shows the evidence of the outcome of a watch.
#[utoipa::path(
    get,
    path = "/v1/watches/{id}/evidence",
    tag = "watches",
    operation_id = "show_evidence",
    params(("id" = String, Path, description = "The id of the watch")),
    responses(
        (status = 200, body = schema::Evidence, description = "The evidence"),
        (status = 404, description = "no-such-watch no-evidence"),
    )
)]
pub(super) async fn evidence(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<Evidence>, ApiError> {
    let watch_id = parse_id(&id)?;
    if let Some(evidence) = api.store.evidence(watch_id).await? {
        return Ok(Json(evidence));
    }
    let watch = api.store.watch(watch_id).await?;
    let watch = watch.ok_or_else(|| ApiError::no_such_watch(&id))?;
    Err(ApiError::no_evidence(&watch))
}

/// Ends a watch as `unwatched` and shows it. A watch that is final is not changed.
#[utoipa::path(
    delete,
    path = "/v1/watches/{id}",
    tag = "watches",
    operation_id = "stop_watch",
    params(("id" = String, Path, description = "The id of the watch")),
    responses(
        (status = 200, body = WatchView, description = "The watch, which has ended"),
        (status = 404, description = "no-such-watch"),
    )
)]
pub(super) async fn stop(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<WatchView>, ApiError> {
    let watch_id = parse_id(&id)?;
    let stopped = api.actions.stop(watch_id).await?;
    let watch = stopped.ok_or_else(|| ApiError::no_such_watch(&id))?;
    Ok(Json(api.view(watch)))
}

impl Api {
    fn view(&self, watch: Watch) -> WatchView {
        let progress = self.poller.progress(watch.id);
        WatchView::of(watch, progress)
    }
}

fn parse_id(id: &str) -> Result<WatchId, ApiError> {
    id.parse().map_err(|_| ApiError::no_such_watch(id))
}

fn parse_query(text: &str) -> Result<Query, ApiError> {
    let mut query = Query {
        limit: PAGE_DEFAULT,
        ..Query::default()
    };
    for term in terms(text) {
        let value = &term.value;
        match &*term.name {
            "state" => {
                query.state = Some(parse_state(value).ok_or_else(|| term.wrong(&states()))?);
            }
            "service" => query.service = Some(value.clone().into_owned()),
            "label" => {
                query.label = Some(parse_label(value).ok_or_else(|| term.wrong("NAME=VALUE"))?);
            }
            "cursor" => query.before = Some(term.cursor()),
            "limit" => query.limit = term.limit()?,
            _ => return Err(term.unknown("state, service, label, cursor and limit")),
        }
    }
    Ok(query)
}

fn parse_state(word: &str) -> Option<WatchState> {
    word.parse().ok()
}

fn states() -> String {
    let words: Vec<&str> = WatchState::words().collect();
    format!("one of {}", words.join(", "))
}

/// Splits `NAME=VALUE`. The name goes into a JSON path of the store, so only the characters
/// of label names are accepted.
fn parse_label(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    let is_name = !name.is_empty() && name.chars().all(is_plain);
    is_name.then(|| (name.to_owned(), value.to_owned()))
}
