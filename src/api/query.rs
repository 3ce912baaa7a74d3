//! Query parameters shared by the lists of watches and deliveries.

use std::borrow::Cow;

use crate::api::error::ApiError;
use crate::store::{PAGE_MAX, PageCursor};

/// The number of entries in a page without a `limit`.
pub(super) const PAGE_DEFAULT: usize = 100;

/// One `name=value` pair of a query, decoded.
pub(super) struct Term<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: Cow<'a, str>,
}

/// Splits a query into its decoded terms.
pub(super) fn terms(query: &str) -> impl Iterator<Item = Term<'_>> {
    form_urlencoded::parse(query.as_bytes()).map(|(name, value)| Term { name, value })
}

impl Term<'_> {
    /// Returns the `cursor`: the position at which the previous page ended. The store refuses
    /// one that it never gave.
    pub(super) fn cursor(&self) -> PageCursor {
        PageCursor::new(&*self.value)
    }

    /// Parses a `limit`: the number of entries in a page, 1 to [`PAGE_MAX`].
    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        let limit = self.value.parse().ok();
        limit
            .filter(|limit| (1..=PAGE_MAX).contains(limit))
            .ok_or_else(|| self.wrong(&format!("1 to {PAGE_MAX}")))
    }

    /// Composes the error for an invalid value; `allowed` completes "must be …".
    pub(super) fn wrong(&self, allowed: &str) -> ApiError {
        let Self { name, value } = self;
        ApiError::malformed(format!(
            "invalid query parameter {name}={value}; must be {allowed}"
        ))
    }

    /// Composes the error for an unknown name; `known` lists the accepted names.
    pub(super) fn unknown(&self, known: &str) -> ApiError {
        let name = &self.name;
        ApiError::malformed(format!(
            "unknown query parameter `{name}`; known are {known}"
        ))
    }
}
