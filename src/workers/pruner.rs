//! Deletes what ended longer ago than `keep`, in small steps with pauses, so that no other write
//! waits for it, and gives the space that becomes free back to the file system.
//!
//! The store knows what has expired, so the worker keeps nothing in memory, and a step that was not
//! made is made at the next look.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{SharedClock, earlier, show_duration};
use crate::metrics::Metrics;
use crate::store::{Expiry, Pruned, SharedStore, StoreError};

/// The time from the start to the first look, so that it does not delay the start.
const FIRST_LOOK: Duration = Duration::from_mins(1);
/// The time between two looks.
const LOOK_EVERY: Duration = Duration::from_hours(1);
/// The pause after each step. Other writes take their turn meanwhile, and a million old watches are
/// gone within hours.
const PAUSE: Duration = Duration::from_millis(50);

/// The parts that the worker works with.
pub struct Parts {
    pub store: SharedStore,
    /// How long a watch is kept after its end.
    pub keep: Duration,
    /// The jobs whose watches are kept for ever, by service and job id.
    pub spared: Arc<BTreeSet<(String, String)>>,
    pub clock: SharedClock,
    pub metrics: Arc<Metrics>,
}

/// Prunes the store. Clones share their parts.
#[derive(Clone)]
pub struct Pruner {
    parts: Arc<Parts>,
}

impl Pruner {
    /// Makes the worker; it reads the store when it first runs.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
        }
    }

    /// Prunes in a task of `tracker`, until `stop`.
    pub fn run(&self, stop: CancellationToken, tracker: &TaskTracker) {
        let worker = self.clone();
        let pruning = async move {
            tokio::time::sleep(FIRST_LOOK).await;
            loop {
                worker.run_or_report().await;
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tracker.spawn(async move {
            stop.run_until_cancelled(pruning).await;
        });
    }

    /// Deletes everything that has expired. Returns the number of deleted rows.
    ///
    /// # Errors
    /// The store failed; the next run continues.
    pub async fn run_once(&self) -> Result<Pruned, StoreError> {
        self.prune(Duration::ZERO).await
    }

    async fn run_or_report(&self) {
        match self.prune(PAUSE).await {
            Ok(_) | Err(StoreError::Closed) => {}
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::error!(
                    error = format!("{error:#}"),
                    "cannot delete old watches; trying again in an hour"
                );
            }
        }
    }

    /// Deletes everything that has expired, and then gives free space back, with a pause after each
    /// step.
    async fn prune(&self, pause: Duration) -> Result<Pruned, StoreError> {
        let Parts { store, metrics, .. } = &*self.parts;
        let expiry = self.expiry();
        let mut pruned = Pruned::default();
        let mut cursor = None;
        loop {
            let step = store.prune(&expiry, cursor).await?;
            for (kind, count) in step.pruned.by_kind() {
                metrics.pruned(kind, count);
            }
            pruned += step.pruned;
            cursor = step.next;
            if cursor.is_none() {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        let mut given = 0;
        loop {
            let bytes = store.give_back().await?;
            given += bytes;
            if bytes == 0 {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        self.report(pruned, expiry.before, given);
        Ok(pruned)
    }

    fn expiry(&self) -> Expiry {
        let now = self.parts.clock.now();
        Expiry {
            before: earlier(now, self.parts.keep),
            now,
            spared: Arc::clone(&self.parts.spared),
        }
    }

    fn report(&self, pruned: Pruned, before: Timestamp, bytes: u64) {
        if pruned.rows() == 0 && bytes == 0 {
            return;
        }
        tracing::info!(
            keep = show_duration(self.parts.keep),
            %before,
            watches = pruned.watches,
            events = pruned.events,
            deliveries = pruned.deliveries,
            bytes_given_back = bytes,
            "deleted old watches"
        );
    }
}
