//! A poll at the request of a person or of a hint.

use crate::actions::Actions;
use crate::watch::WatchId;

impl Actions {
    /// Makes the next poll of a watch due now. It still waits for its budget. Returns false for a
    /// watch that is not polled, such as one that has ended.
    pub fn poll_now(&self, id: WatchId) -> bool {
        let is_polled = self.parts.poller.poll_now(id);
        if is_polled {
            self.parts.wake.wake();
        }
        is_polled
    }
}
