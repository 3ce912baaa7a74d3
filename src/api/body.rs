//! Request bodies: their bytes, read as JSON.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use http::StatusCode;
use serde::de::DeserializeOwned;

use crate::actions::json_request::parse;
use crate::api::BODY_BYTES_MAX;
use crate::api::error::ApiError;

/// The body of a request as it arrives.
pub(super) type Body = Result<Bytes, BytesRejection>;

/// Returns the bytes of a body.
pub(super) fn bytes(body: Body) -> Result<Bytes, ApiError> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(format!(
            "the body is larger than {} KiB; POST /v1/watches/bulk takes any number of lines",
            BODY_BYTES_MAX / 1024
        )),
        status => ApiError::bad_body(status, rejection.body_text()),
    })
}

/// Reads a body that must be there.
pub(super) fn read<T: DeserializeOwned>(body: Body) -> Result<T, ApiError> {
    parse(&bytes(body)?).map_err(ApiError::bad_member)
}

/// Reads a body that may be absent.
pub(super) fn read_optional<T: DeserializeOwned>(body: Body) -> Result<Option<T>, ApiError> {
    let bytes = bytes(body)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let parsed = parse(&bytes).map(Some);
    parsed.map_err(ApiError::bad_member)
}
