//! The claims on deliveries whose attempts are under way.
//!
//! One process owns the file, so they are kept in memory: a claim writes nothing, and none
//! outlives its process.

use std::collections::HashMap;

use jiff::Timestamp;
use tokio::sync::{Mutex, MutexGuard};

use crate::store::AttemptRecord;

/// The end of each claim, by the time of the store. It has an entry for each attempt under way.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<HashMap<i64, Timestamp>>);

/// The claims while no other call makes any.
pub(super) struct Held<'a>(MutexGuard<'a, HashMap<i64, Timestamp>>);

impl Leases {
    /// Returns the claims that hold at `now`, to a thread that may block.
    pub(super) fn held(&self, now: Timestamp) -> Held<'_> {
        let mut held = self.0.blocking_lock();
        held.retain(|_, until| *until > now);
        Held(held)
    }

    /// Ends the claims on the deliveries of these records.
    pub(super) async fn release(&self, records: &[AttemptRecord]) {
        let mut held = self.0.lock().await;
        for record in records {
            held.remove(&record.delivery);
        }
    }
}

impl Held<'_> {
    /// Returns the end of the claim on a delivery; `None` if there is none.
    pub(super) fn until(&self, delivery: i64) -> Option<Timestamp> {
        self.0.get(&delivery).copied()
    }

    /// Claims a delivery until `end`.
    pub(super) fn claim(&mut self, delivery: i64, end: Timestamp) {
        self.0.insert(delivery, end);
    }
}
