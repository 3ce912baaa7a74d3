//! The part of the store contract about groups: watches that belong together.
//!
//! A group begins with its first watch. It closes when it has as many watches as its size, or by
//! a call; then it takes no more watches. When all of them have ended, it finishes with one event.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::store::{Applied, StoreError};
use crate::watch::delivery::Owed;
use crate::watch::event::Event;

/// A group as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredGroup {
    pub name: String,
    /// The number of watches after which it closes: the first one that a submission gave.
    pub size: Option<u32>,
    /// The number of its watches.
    pub members: u32,
    /// The number of its watches that have not ended.
    pub open: u32,
    /// The time from which it takes no more watches.
    pub closed_at: Option<Timestamp>,
    /// The time at which its event was stored.
    pub finished_at: Option<Timestamp>,
}

/// Keeps groups; see [`crate::store`]. Submissions and ends of watches keep the counts.
#[async_trait]
pub trait GroupStore: Send + Sync {
    async fn group(&self, name: &str) -> Result<Option<StoredGroup>, StoreError>;

    /// Closes a group, unless it is closed, and returns it; `None` if there is none.
    async fn close_group(
        &self,
        name: &str,
        at: Timestamp,
    ) -> Result<Option<StoredGroup>, StoreError>;

    /// Returns at most `limit` groups that can finish: closed, all watches ended, and no event
    /// stored yet.
    async fn due_groups(&self, limit: usize) -> Result<Vec<StoredGroup>, StoreError>;

    /// Finishes a group: commits its event, which is about no watch, with the deliveries owed for
    /// it. Refuses it if the group cannot finish, or has finished.
    async fn finish_group(
        &self,
        name: &str,
        at: Timestamp,
        event: Event,
        owed: Vec<Owed>,
    ) -> Result<Applied, StoreError>;
}
