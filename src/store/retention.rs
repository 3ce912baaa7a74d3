//! The part of the store contract about retention: the deletion of old watches, in small steps.
//!
//! A watch expires when it has ended, and its last event and the end of its last delivery are older
//! than the time that a call gives. With it go its events, deliveries, attempts and evidence. A
//! dead letter counts as an end; a pending delivery keeps its watch. A watch of a group that is
//! closed, or that waits for more watches up to its size, stays until the group has expired; the
//! group goes with its last watch. Events about no watch go by their own age. Durations of jobs
//! stay: they are few, and the schedule learns from them.
//!
//! The log of events has no gap: it begins after the last event that was deleted. Older events of
//! watches that stay are still among the events of their watch.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::store::{PageCursor, StoreError};

/// Says which watches have expired.
#[derive(Debug, Clone)]
pub struct Expiry {
    /// The time before which everything about a watch must have ended.
    pub before: Timestamp,
    /// The present time. A watch from a later time was submitted under a wrong clock.
    pub now: Timestamp,
    /// The jobs whose watches never expire, by service and job id.
    pub spared: Arc<BTreeSet<(String, String)>>,
}

/// The numbers of deleted rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    pub watches: u64,
    pub events: u64,
    pub deliveries: u64,
    pub attempts: u64,
    pub evidence: u64,
    pub groups: u64,
}

/// One step of a pruning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneStep {
    pub pruned: Pruned,
    /// The place of the next step; `None` after the last one.
    pub next: Option<PageCursor>,
}

/// Deletes what has expired; see the module.
#[async_trait]
pub trait Retention: Send + Sync {
    /// Looks at a bounded number of watches from `cursor` on, and deletes a bounded number of rows
    /// of those that have expired, in one short transaction. Following `next` to its end deletes
    /// all of them.
    ///
    /// # Errors
    /// [`StoreError::UnknownCursor`], and the errors of every call.
    async fn prune(
        &self,
        expiry: &Expiry,
        cursor: Option<PageCursor>,
    ) -> Result<PruneStep, StoreError>;

    /// Gives a little of the space that deleted rows have left back to the file system, unless the
    /// rest is better kept for new rows. Returns the bytes given back; 0 when there is nothing to do.
    async fn give_back(&self) -> Result<u64, StoreError>;
}

impl Pruned {
    /// Returns each kind of row with its number.
    pub fn by_kind(&self) -> [(&'static str, u64); 6] {
        [
            ("watches", self.watches),
            ("events", self.events),
            ("deliveries", self.deliveries),
            ("attempts", self.attempts),
            ("evidence", self.evidence),
            ("groups", self.groups),
        ]
    }

    /// Returns the number of all rows.
    pub fn rows(&self) -> u64 {
        self.by_kind().iter().map(|(_, count)| count).sum()
    }
}

impl std::ops::AddAssign for Pruned {
    fn add_assign(&mut self, more: Self) {
        self.watches += more.watches;
        self.events += more.events;
        self.deliveries += more.deliveries;
        self.attempts += more.attempts;
        self.evidence += more.evidence;
        self.groups += more.groups;
    }
}
