//! The query of a list: what its terms have in common.

use std::borrow::Cow;

use crate::api::error::ApiError;
use crate::store::{PAGE_MAX, PageCursor};

/// How many entries a page has when nobody says.
pub(super) const PAGE_DEFAULT: usize = 100;

/// One `name=value` of a query.
pub(super) struct Term<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: Cow<'a, str>,
}

/// The terms of a query, decoded.
pub(super) fn terms(query: &str) -> impl Iterator<Item = Term<'_>> {
    form_urlencoded::parse(query.as_bytes()).map(|(name, value)| Term { name, value })
}

impl Term<'_> {
    /// The end of the page before; the store refuses one that it never gave.
    pub(super) fn cursor(&self) -> PageCursor {
        PageCursor::new(&*self.value)
    }

    /// How many entries the page may have.
    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        let limit = self.value.parse().ok();
        limit
            .filter(|limit| (1..=PAGE_MAX).contains(limit))
            .ok_or_else(|| self.wrong(&format!("1 to {PAGE_MAX}")))
    }

    /// The refusal of a value.
    pub(super) fn wrong(&self, allowed: &str) -> ApiError {
        let Self { name, value } = self;
        ApiError::malformed(format!(
            "the query has {name}={value}; it must be {allowed}"
        ))
    }

    /// The refusal of a name.
    pub(super) fn unknown(&self, known: &str) -> ApiError {
        let name = &self.name;
        ApiError::malformed(format!("the query has `{name}`; it may have {known}"))
    }
}
