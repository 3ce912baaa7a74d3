//! Marks in what a store keeps: where a reader goes on. Only the store reads their content.

use std::fmt;

/// A mark in the changes of a store; see
/// [`WatchStore::changes`](crate::store::WatchStore::changes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(String);

/// The end of a page; the next page of the same list goes on after it. Clients of the API
/// keep it as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageCursor(String);

impl Cursor {
    /// Makes a mark; for stores.
    pub fn new(content: impl Into<String>) -> Self {
        Self(content.into())
    }

    /// Returns the content; for the store that made it.
    pub fn content(&self) -> &str {
        &self.0
    }
}

impl PageCursor {
    /// Makes a mark; for stores, and for a client's text on its way back to one.
    pub fn new(content: impl Into<String>) -> Self {
        Self(content.into())
    }

    /// Returns the content; for the store that made it.
    pub fn content(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
