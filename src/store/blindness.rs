//! The part of the store contract about the blind periods of services.

use async_trait::async_trait;

use crate::store::StoreError;
use crate::watch::blindness::BlindPeriod;
use crate::watch::delivery::Owed;
use crate::watch::event::Event;

/// The most blind periods of one service that are kept; the oldest go first.
pub const BLIND_PERIODS_KEPT: usize = 1000;

/// Keeps the blind periods of services; see [`crate::store`].
#[async_trait]
pub trait BlindnessStore: Send + Sync {
    /// Returns all blind periods that are kept, of each service oldest first.
    async fn blind_periods(&self) -> Result<Vec<BlindPeriod>, StoreError>;

    /// Saves blind periods, new or changed, and the event that reports them, which is about no watch,
    /// with the deliveries owed for it. A period is known by its service and its beginning. An event
    /// that is stored already is not stored again.
    async fn save_blind_periods(
        &self,
        periods: Vec<BlindPeriod>,
        event: Option<(Event, Vec<Owed>)>,
    ) -> Result<(), StoreError>;
}
