//! The part of the store contract about the times in which a service was blind.

use async_trait::async_trait;

use crate::store::StoreError;
use crate::watch::blindness::BlindTime;
use crate::watch::delivery::Owed;
use crate::watch::event::Event;

/// The most times of one service that are kept; the oldest go first.
pub const BLIND_TIMES_KEPT: usize = 1000;

/// Keeps the times in which services were blind; see [`crate::store`].
#[async_trait]
pub trait BlindnessStore: Send + Sync {
    /// Returns all times that are kept, of each service oldest first.
    async fn blind_times(&self) -> Result<Vec<BlindTime>, StoreError>;

    /// Saves times, new or changed, and the event that reports them, which is about no watch, with
    /// the deliveries owed for it. A time is known by its service and its beginning. An event that
    /// is stored already is not stored again.
    async fn save_blind_times(
        &self,
        times: Vec<BlindTime>,
        event: Option<(Event, Vec<Owed>)>,
    ) -> Result<(), StoreError>;
}
