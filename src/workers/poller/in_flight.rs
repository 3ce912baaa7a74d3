//! The count of polls and flushes under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts guards, and notifies the poller when one is dropped.
#[derive(Clone, Default)]
pub(super) struct InFlightCount(Arc<Counted>);

#[derive(Default)]
struct Counted {
    count: AtomicUsize,
    landed: Notify,
}

/// A guard for one poll or flush under way.
pub(super) struct InFlight(Arc<Counted>);

impl InFlightCount {
    pub(super) fn enter(&self) -> InFlight {
        self.0.count.fetch_add(1, Ordering::AcqRel);
        InFlight(Arc::clone(&self.0))
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.count.load(Ordering::Acquire) == 0
    }

    /// Waits until a poll or flush ends. Returns at once if one has ended since the last call.
    pub(super) async fn landed(&self) {
        self.0.landed.notified().await;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
        self.0.landed.notify_one();
    }
}
