//! Wakes a worker, without data. The worker reads the due work from the store, so a lost
//! wake costs time and nothing else.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

/// Wakes workers. Two wakes before the worker looks count as one.
#[derive(Debug, Clone, Default)]
pub struct Wake(Vec<Arc<Notify>>);

impl Wake {
    /// Returns a handle for one worker, and the notification for which that worker waits.
    pub fn new() -> (Self, Arc<Notify>) {
        let notify = Arc::new(Notify::new());
        (Self(vec![Arc::clone(&notify)]), notify)
    }

    /// Wakes the workers of `other` as well.
    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Makes the workers look at the store.
    pub fn wake(&self) {
        self.0.iter().for_each(|worker| worker.notify_one());
    }
}

/// Waits for a wake, at most `limit`; the worker looks again in both cases.
pub async fn woken_within(limit: Duration, notify: &Notify) {
    let _ = tokio::time::timeout(limit, notify.notified()).await;
}
