//! The part of a path that names something.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use crate::api::error::ApiError;

/// The decoded text in the last variable part of a path.
pub(super) struct PathText(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        // Only a text that is not UTF-8 is refused: each route has one variable part.
        let text = text.map_err(|_| ApiError::bad_path(parts.uri.path()))?;
        Ok(Self(text.0))
    }
}
