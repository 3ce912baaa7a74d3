//! Query parameters shared by the lists of watches and deliveries.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};

use crate::api::error::ApiError;
use crate::clock::parse_duration;
use crate::store::{PAGE_MAX, PageCursor};
use crate::suggest;

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

    /// Returns the value of a term that may come once: `before` is that of an earlier one.
    pub(super) fn once(&self, before: Option<&String>, value: String) -> Result<String, ApiError> {
        if before.is_some() {
            return Err(ApiError::wrong_parameter(&self.name, "must be given once"));
        }
        Ok(value)
    }

    /// Parses a time, or an age counted back from `now`.
    pub(super) fn time(&self, now: Timestamp) -> Result<Timestamp, ApiError> {
        parse_time(&self.value, now)
            .ok_or_else(|| self.wrong("a time such as 2026-12-24T18:00:00Z or an age such as 2h"))
    }

    /// Composes the error for a word that is not one of `known`.
    pub(super) fn not_among<'k>(
        &self,
        word: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) -> ApiError {
        let known: Vec<&str> = known.into_iter().collect();
        let nearest = suggest::did_you_mean(word, known.iter().copied());
        let all = known.join(", ");
        let rule = format!("has `{word}`, which must be one of {all}{nearest}");
        ApiError::wrong_parameter(&self.name, &rule)
    }

    /// Composes the error for an invalid value; `allowed` completes "must be …".
    pub(super) fn wrong(&self, allowed: &str) -> ApiError {
        let rule = format!("has `{}`, which must be {allowed}", self.value);
        ApiError::wrong_parameter(&self.name, &rule)
    }

    /// Composes the error for an unknown name; `known` lists the accepted names.
    pub(super) fn unknown(&self, known: &str) -> ApiError {
        let rule = format!("is unknown; known are {known}");
        ApiError::wrong_parameter(&self.name, &rule)
    }
}

/// Parses a time, or an age counted back from `now`.
pub(super) fn parse_time(text: &str, now: Timestamp) -> Option<Timestamp> {
    let ago = || {
        let ago = SignedDuration::try_from(parse_duration(text).ok()?).ok()?;
        now.checked_sub(ago).ok()
    };
    text.parse().ok().or_else(ago)
}
