//! The close of a group at the request of a person or a pipeline.

use crate::actions::Actions;
use crate::store::{StoreError, StoredGroup};

impl Actions {
    /// Closes a group, so that it takes no more watches and finishes when all of them have ended.
    /// One that is closed stays as it is; `None` means that the group is unknown.
    ///
    /// # Errors
    /// The store failed.
    pub async fn close_group(&self, name: &str) -> Result<Option<StoredGroup>, StoreError> {
        let parts = &self.parts;
        let closed = parts.store.close_group(name, parts.clock.now()).await?;
        if closed.is_some() {
            parts.groups.wake();
        }
        Ok(closed)
    }
}
