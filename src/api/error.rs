//! Errors as problem documents (RFC 9457): what was asked, what is wrong, what to do.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};
use serde::Serialize;

use crate::actions::submit::SubmitError;
use crate::store::StoreError;
use crate::watch::request::Fault;

/// A problem document.
#[derive(Debug, Clone, Serialize)]
pub struct ApiError {
    #[serde(rename = "type")]
    type_uri: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
}

impl ApiError {
    fn new(
        status: StatusCode,
        type_uri: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            type_uri,
            title,
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
        }
    }

    /// The request cannot be understood.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "urn:jobwatch:problem:malformed",
            "The request cannot be read",
            detail,
        )
    }

    /// The body is larger than allowed, or broke off.
    pub(super) fn bad_body(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::new(
            status,
            "urn:jobwatch:problem:body",
            "The body cannot be read",
            detail,
        )
    }

    /// There is no such watch.
    pub(super) fn no_such_watch(id: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "urn:jobwatch:problem:no-such-watch",
            "There is no such watch",
            format!("no watch has the id `{id}`; GET /v1/watches lists them"),
        )
    }

    /// There is no such delivery.
    pub(super) fn no_such_delivery(id: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "urn:jobwatch:problem:no-such-delivery",
            "There is no such delivery",
            format!("no delivery has the id `{id}`; GET /v1/deliveries lists them"),
        )
    }

    /// What is asked contradicts how a delivery stands.
    pub(super) fn not_dead(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "urn:jobwatch:problem:not-dead",
            "The delivery is no dead letter",
            detail,
        )
    }

    /// Nobody would deliver to this sink.
    pub(super) fn no_such_sink(sink: &str) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "urn:jobwatch:problem:no-such-sink",
            "Nobody delivers to this sink",
            format!(
                "the sink `{sink}` is not configured, so nobody will deliver; its dead letters are kept as they are. Add [sinks.{sink}], restart and try again"
            ),
        )
    }

    pub(super) fn no_such_route(path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "urn:jobwatch:problem:no-such-route",
            "There is nothing here",
            format!("`{path}` is no path of this API; /v1/watches is one"),
        )
    }

    pub(super) fn no_such_method(method: &Method, path: &str) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "urn:jobwatch:problem:no-such-method",
            "The method is not allowed here",
            format!("`{path}` takes no {method}"),
        )
    }

    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "urn:jobwatch:problem:unauthorized",
            "A token is needed",
            detail,
        )
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "urn:jobwatch:problem:forbidden",
            "This is not allowed",
            detail,
        )
    }

    pub(super) fn too_slow(limit: Duration) -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "urn:jobwatch:problem:too-slow",
            "The request took too long",
            format!("a request must be done within {} s", limit.as_secs()),
        )
    }

    /// Not ready, or the store cannot be reached.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "urn:jobwatch:problem:unavailable",
            "Not available now",
            detail,
        )
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let error = anyhow::Error::from(error);
        tracing::error!(
            error = format!("{error:#}"),
            "a request failed in the store"
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
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "urn:jobwatch:problem:refused-watch",
                    "The watch was refused",
                    "nothing was stored; `errors` lists everything that is wrong",
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
