//! The part of the store contract about readiness and shutdown.

use async_trait::async_trait;

use crate::store::StoreError;

/// Checks that the store works, and closes it; see [`crate::store`].
#[async_trait]
pub trait Maintenance: Send + Sync {
    /// Checks that the store can commit, by a test write that reaches the disk. A success counts
    /// for one second, because readiness may be asked for often.
    ///
    /// A failed write invalidates that success. From then on the test writes as much as the
    /// largest submission, so that a disk with room for small writes only is not ready.
    ///
    /// # Errors
    /// The store cannot commit. The error says why.
    async fn check(&self) -> Result<(), StoreError>;

    /// Finishes the calls that have begun and closes the store; later calls fail with
    /// [`StoreError::Closed`].
    async fn close(&self);
}
