//! Waking a worker: a nudge without data. The worker rereads what is due from the store,
//! so a wake that is lost costs time and nothing else.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

/// Wakes workers. Waking one twice before it looks is waking it once.
#[derive(Debug, Clone, Default)]
pub struct Wake(Vec<Arc<Notify>>);

impl Wake {
    /// A handle for one worker, and what that worker waits on.
    pub fn new() -> (Self, Arc<Notify>) {
        let notify = Arc::new(Notify::new());
        (Self(vec![Arc::clone(&notify)]), notify)
    }

    /// Wakes the workers of `other` as well.
    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Has the workers look at the store.
    pub fn wake(&self) {
        self.0.iter().for_each(|worker| worker.notify_one());
    }
}

/// Waits to be woken, at most this long; either way the worker looks again.
pub async fn woken_within(limit: Duration, notify: &Notify) {
    let _ = tokio::time::timeout(limit, notify.notified()).await;
}
