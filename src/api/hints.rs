//! `/v1/hints/{service}`: takes a hint of another program that a job may have ended.
//!
//! A hint is admitted by the token of the API, or by a Standard Webhooks signature where the
//! service has a secret for its hints.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::actions::hint::{HintSource, NoHints, Signed};
use crate::api::error::ApiError;
use crate::api::path::PathText;
use crate::api::{Api, auth};
use crate::clock::SharedClock;

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";

/// The answer to a hint.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Hinted)]
pub(crate) struct HintView {
    /// The number of watches that are polled because of it; 0 if the job is not watched.
    pub(crate) polled: usize,
}

/// Checks the access to a hint that is not signed. The handler checks a signature, because it
/// needs the whole body.
pub(super) async fn check(
    State(api): State<Api>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if request.headers().contains_key(SIGNATURE) {
        return Ok(next.run(request).await);
    }
    auth::check(State(api.guard), request, next).await
}

/// Finds the job that a hint is about, and makes its next poll due.
///
/// The body is any JSON of at most 64 KiB; `[services.NAME.hints]` says where the job id is. In place
/// of a token, the hint may be signed as a Standard Webhook, where the service has a secret.
#[utoipa::path(
    post,
    path = "/v1/hints/{service}",
    tag = "watches",
    operation_id = "hint",
    params(("service" = String, Path, description = "The service of the job")),
    request_body = Object,
    responses(
        (status = 202, body = HintView, description = "The hint was taken"),
        (status = 400, description = "malformed body"),
        (status = 404, description = "no-such-service"),
        (status = 409, description = "no-hints"),
        (status = 413, description = "body"),
        (status = 422, description = "refused-hint"),
    )
)]
pub(super) async fn receive(
    State(api): State<Api>,
    PathText(service): PathText,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<HintView>), ApiError> {
    let body =
        body.map_err(|rejection| ApiError::bad_body(rejection.status(), rejection.body_text()))?;
    let source = api.actions.hint_source(&service);
    if headers.contains_key(SIGNATURE) {
        check_signature(source.as_ref().ok().copied(), &headers, &body, &api.clock)?;
    } else if api.guard.is_open() && source.as_ref().is_ok_and(|source| source.has_keys()) {
        return Err(ApiError::unauthorized(format!(
            "sign the hint: [services.{service}.hints] has a secret; send `{ID}`, `{TIMESTAMP}` and `{SIGNATURE}` (Standard Webhooks)"
        )));
    }
    let source = source.map_err(|why| no_hints(&service, &why))?;
    let hint = serde_json::from_slice(&body)
        .map_err(|error| ApiError::malformed(format!("the hint is not JSON: {error}")))?;
    let job_id = source.job_id_in(&hint).ok_or_else(|| {
        ApiError::refused_hint(format!(
            "`{}` selects no job id in the hint; correct `job_id` of [services.{service}.hints], or send hints about jobs only",
            source.selectors()
        ))
    })?;
    let polled = api.actions.hint(&service, &job_id).await?;
    Ok((StatusCode::ACCEPTED, Json(HintView { polled })))
}

/// Checks a signed hint. Without a secret to check it, it counts as forged.
fn check_signature(
    source: Option<&HintSource>,
    headers: &HeaderMap,
    body: &[u8],
    clock: &SharedClock,
) -> Result<(), ApiError> {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signed = (value(ID), value(TIMESTAMP), value(SIGNATURE));
    let (Some(id), Some(timestamp), Some(signatures)) = signed else {
        return Err(ApiError::unauthorized(format!(
            "a signed hint needs `{ID}`, `{TIMESTAMP}` and `{SIGNATURE}`"
        )));
    };
    let Some(source) = source.filter(|source| source.has_keys()) else {
        return Err(ApiError::unauthorized(format!(
            "the signature cannot be checked, because the service has no `secret_file` in its hints; send no `{SIGNATURE}`, but the write token"
        )));
    };
    let signed = Signed {
        id,
        timestamp,
        signatures,
    };
    source
        .check(signed, body, clock.now())
        .map_err(ApiError::unauthorized)
}

fn no_hints(service: &str, why: &NoHints) -> ApiError {
    match why {
        NoHints::UnknownService(nearest) => ApiError::no_such_service(service, nearest),
        NoHints::NotConfigured => ApiError::no_hints(service),
    }
}
