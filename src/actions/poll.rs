//! A poll at the request of a person or of a hint.

use crate::actions::Actions;
use crate::store::StoreError;
use crate::watch::{State, Watch};

impl Actions {
    /// Makes the next poll of a watch due now. It still waits for its budget. If another replica polls
    /// the watch, that one is asked. A watch that has ended is not polled.
    ///
    /// # Errors
    /// The other replica could not be asked.
    pub async fn poll_now(&self, watch: &Watch) -> Result<(), StoreError> {
        if self.parts.poller.poll_now(watch.id) {
            self.parts.wake.wake();
        } else if watch.state == State::Watching {
            self.parts.store.request_poll(watch.id).await?;
        }
        Ok(())
    }
}
