//! The part of the contract that keeps the store itself going.

use async_trait::async_trait;

use crate::store::StoreError;

/// Looks after the store; see [`crate::store`].
#[async_trait]
pub trait Maintenance: Send + Sync {
    /// Proves that the store can commit, by a write that reaches the disk. A proof stands for
    /// a second, since probes may come often.
    ///
    /// Every write that fails ends that: from then on the proof writes as much as the largest
    /// submission, so that a disk on which only small writes still fit is not ready.
    ///
    /// # Errors
    /// The store cannot commit, with the reason.
    async fn check(&self) -> Result<(), StoreError>;

    /// Finishes the calls that have begun and closes; later calls fail with
    /// [`StoreError::Closed`].
    async fn close(&self);
}
