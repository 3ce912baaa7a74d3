//! Positions in the data of a store, from which a reader continues. Only the store reads their
//! content.

use std::fmt;

/// A position in the changes of a store; see
/// [`WatchStore::changes`](crate::store::WatchStore::changes) and
/// [`WatchStore::events_after`](crate::store::WatchStore::events_after). Clients of the API
/// receive it as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(String);

/// The end of a page: the next page of the same list begins after it. Clients of the API
/// receive it as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageCursor(String);

impl Cursor {
    /// Makes a cursor, in a store or from the text that a client sends back.
    pub fn new(content: impl Into<String>) -> Self {
        Self(content.into())
    }

    /// Returns the content; for the store that made it.
    pub fn content(&self) -> &str {
        &self.0
    }
}

impl PageCursor {
    /// Makes a cursor, in a store or from the text that a client sends back.
    pub fn new(content: impl Into<String>) -> Self {
        Self(content.into())
    }

    /// Returns the content; for the store that made it.
    pub fn content(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
