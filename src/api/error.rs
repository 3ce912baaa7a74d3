//! Errors as problem documents (RFC 9457): each names its cause and the next step.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::actions::submit::SubmitError;
use crate::api::schema;
use crate::problem::{self, Problem};
use crate::store::StoreError;
use crate::watch::request::Fault;
use crate::watch::{Outcome, State, Watch};

/// An error response in the form of RFC 9457. `type` is a contract; `title` and `detail`
/// are for people.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ApiError {
    /// The type of problem; the list of them is a contract.
    #[serde(rename = "type")]
    type_uri: &'static str,
    /// The type in a few words.
    title: &'static str,
    /// The status of the response.
    status: u16,
    /// The cause of this one, and the next step.
    detail: String,
    /// Each invalid member or parameter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<schema::Fault>)]
    errors: Vec<Fault>,
    /// The watches that an ambiguous reference names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    matches: Vec<Match>,
}

/// A watch that an ambiguous reference may mean.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Match {
    id: String,
    service: String,
    job_id: String,
    #[schema(value_type = schema::State)]
    state: &'static str,
}

impl From<Watch> for Match {
    fn from(watch: Watch) -> Self {
        Self {
            id: watch.id.to_string(),
            service: watch.service,
            job_id: watch.job_id,
            state: watch.state.as_str(),
        }
    }
}

impl ApiError {
    /// The client speaks plain HTTP where TLS is spoken.
    pub(super) fn tls_only() -> Self {
        Self::new(&problem::TLS_ONLY, "this port speaks TLS; use https://")
    }

    /// Makes the problem with its usual status.
    fn new(problem: &Problem, detail: impl Into<String>) -> Self {
        Self {
            type_uri: problem.uri,
            title: problem.title,
            status: problem.status(),
            detail: detail.into(),
            errors: Vec::new(),
            matches: Vec::new(),
        }
    }

    /// 400: the query or the body has an unknown member or an invalid value.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(&problem::MALFORMED, detail)
    }

    /// 400: a query parameter breaks a rule; `rule` completes "the query parameter `x` …".
    pub(super) fn wrong_parameter(name: &str, rule: &str) -> Self {
        Self {
            errors: vec![Fault::new(name, rule)],
            ..Self::malformed(format!("the query parameter `{name}` {rule}"))
        }
    }

    /// 400: a member of the body breaks a rule, or the body is not a JSON object.
    pub(super) fn bad_member(fault: Fault) -> Self {
        if fault.field.is_empty() {
            return Self::malformed(format!("the body {}", fault.message));
        }
        let mut error = Self::malformed(format!("`{}` {}", fault.field, fault.message));
        error.errors.push(fault);
        error
    }

    /// `status`: the body is larger than the call allows, or its transfer broke off.
    pub(super) fn bad_body(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status: status.as_u16(),
            ..Self::new(&problem::BODY, detail)
        }
    }

    pub(super) fn no_such_watch(id: &str) -> Self {
        Self::new(
            &problem::NO_SUCH_WATCH,
            format!(
                "no watch is named by `{id}`: neither an id, the first 6 characters of one or more, SERVICE/JOB_ID nor a job id; GET /v1/watches lists them"
            ),
        )
    }

    /// 400: the text cannot name a watch.
    pub(super) fn bad_reference(text: &str, why: String) -> Self {
        Self {
            errors: vec![Fault::new("id", why)],
            ..Self::malformed(format!("`{text}` cannot name a watch"))
        }
    }

    /// 400: a name in the path is not UTF-8.
    pub(super) fn bad_path(path: &str) -> Self {
        let rule = "must be UTF-8, with other bytes as %XX";
        Self {
            errors: vec![Fault::new("path", rule)],
            ..Self::malformed(format!("the path `{path}` {rule}"))
        }
    }

    /// 409: the text names several watches; of these, `most` are listed.
    pub(super) fn ambiguous(text: &str, mut matches: Vec<Match>, most: usize) -> Self {
        let count = if matches.len() > most {
            format!("more than {most}")
        } else {
            matches.len().to_string()
        };
        matches.truncate(most);
        Self {
            matches,
            ..Self::new(
                &problem::AMBIGUOUS_REFERENCE,
                format!("`{text}` names {count} watches; use one of the ids in `matches`"),
            )
        }
    }

    /// 413: a part of the request is longer than its limit.
    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::bad_body(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// The watch exists, and no answer proved an outcome of it.
    pub(super) fn no_evidence(watch: &Watch) -> Self {
        let why = match watch.state {
            State::Watching => "it has not ended yet",
            State::Final(Outcome::Unwatched) => "an operator ended it",
            State::Final(_) => "it ended before jobwatch kept evidence",
        };
        Self::new(
            &problem::NO_EVIDENCE,
            format!("the watch `{}` has no evidence: {why}", watch.id),
        )
    }

    pub(super) fn no_such_service(name: &str, nearest: &str) -> Self {
        Self::new(
            &problem::NO_SUCH_SERVICE,
            if nearest.is_empty() {
                format!("unknown service `{name}`; GET /v1/services lists them")
            } else {
                format!("unknown service `{name}`{nearest}")
            },
        )
    }

    /// 409: the service is configured, and not for hints.
    pub(super) fn no_hints(service: &str) -> Self {
        Self::new(
            &problem::NO_HINTS,
            format!(
                "[services.{service}.hints] is missing; add it with `job_id = \"$.…\"`, the place of the job id in a hint"
            ),
        )
    }

    /// 422: no job id was found in a hint.
    pub(super) fn refused_hint(detail: impl Into<String>) -> Self {
        Self::new(&problem::REFUSED_HINT, detail)
    }

    pub(super) fn no_such_group(name: &str) -> Self {
        Self::new(
            &problem::NO_SUCH_GROUP,
            format!("no watch was submitted with the group `{name}`"),
        )
    }

    pub(super) fn no_such_delivery(id: &str) -> Self {
        Self::new(
            &problem::NO_SUCH_DELIVERY,
            format!("no delivery has the id `{id}`; GET /v1/deliveries lists them"),
        )
    }

    /// 409: only a dead letter is redriven without force.
    pub(super) fn not_dead(detail: impl Into<String>) -> Self {
        Self::new(&problem::NOT_DEAD, detail)
    }

    /// 409: the dead letters of a sink that was removed from the configuration are kept, but
    /// cannot be sent.
    pub(super) fn no_such_sink(sink: &str) -> Self {
        Self::new(
            &problem::NO_SUCH_SINK,
            format!(
                "[sinks.{sink}] is missing, so its dead letters are kept and not sent; add it, restart and try again"
            ),
        )
    }

    pub(super) fn no_such_route(path: &str) -> Self {
        Self::new(
            &problem::NO_SUCH_ROUTE,
            format!("unknown path `{path}`; GET /reference lists all paths"),
        )
    }

    pub(super) fn no_such_method(method: &Method, path: &str) -> Self {
        Self::new(
            &problem::NO_SUCH_METHOD,
            format!("`{path}` does not support {method}; the header `Allow` lists the methods"),
        )
    }

    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(&problem::UNAUTHORIZED, detail)
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(&problem::FORBIDDEN, detail)
    }

    pub(super) fn too_slow(limit: Duration) -> Self {
        Self::new(
            &problem::TOO_SLOW,
            format!("the request was not completed within {} s", limit.as_secs()),
        )
    }

    /// 503: the watches are still being loaded, or the store failed.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(&problem::UNAVAILABLE, detail)
    }
}

impl ApiError {
    /// 503: the daemon is stopping, and a waiting client asks again.
    pub(super) fn stopping() -> Self {
        Self::unavailable("the daemon is stopping; ask again, its next start continues")
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if let StoreError::UnknownCursor(cursor) = &error {
            return Self::malformed(format!(
                "`{cursor}` is not a position of this daemon; use the `next` of a page as `cursor`, or the `as_of` of a list or the `id` of an event as `after`"
            ));
        }
        if let StoreError::PrunedCursor(cursor) = &error {
            return Self::new(
                &problem::EVENTS_PRUNED,
                format!(
                    "events after the position `{cursor}` were deleted, because they are older than `store.keep`; read the watches again, and begin with `after=0` or with the `as_of` of the list"
                ),
            );
        }
        let error = anyhow::Error::from(error);
        tracing::error!(
            error = format!("{error:#}"),
            "the store failed during an API request"
        );
        Self::unavailable(format!("{error:#}; nothing was stored, try again"))
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Store(error) => error.into(),
            SubmitError::Refused(errors) => Self {
                errors,
                ..Self::new(
                    &problem::REFUSED_WATCH,
                    "nothing was stored; `errors` lists every invalid member",
                )
            },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
