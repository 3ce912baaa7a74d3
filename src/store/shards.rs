//! The part of the store contract about shards: which replica polls which watches.
//!
//! Watches fall into 256 shards. A replica owns a shard while it keeps its lease alive; only the
//! owner polls the watches of a shard and decides about them. An ownership has an epoch, so that a
//! former owner that did not notice its end is refused. A store that only one process can open has
//! one owner of all shards.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use crate::store::StoreError;
use crate::watch::WatchId;

/// The number of all shards.
pub const SHARDS: u16 = 256;

/// The time for which an ownership holds after its last renewal.
pub const LEASE: Duration = Duration::from_secs(15);

/// A set of some shards.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Shards([u64; 4]);

impl Shards {
    /// The set of all shards.
    pub const ALL: Self = Self([u64::MAX; 4]);

    pub fn contains(&self, shard: u8) -> bool {
        self.0[usize::from(shard / 64)] & (1 << (shard % 64)) != 0
    }

    pub fn insert(&mut self, shard: u8) {
        self.0[usize::from(shard / 64)] |= 1 << (shard % 64);
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|part| part.count_ones() as usize).sum()
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns those that are in this set and not in the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|n| self.0[n] & !other.0[n]))
    }

    /// Returns those that are in either set.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|n| self.0[n] | other.0[n]))
    }

    pub fn iter(&self) -> impl Iterator<Item = u8> + use<> {
        let set = *self;
        (0..=u8::MAX).filter(move |shard| set.contains(*shard))
    }
}

impl FromIterator<u8> for Shards {
    fn from_iter<T: IntoIterator<Item = u8>>(shards: T) -> Self {
        let mut set = Self::default();
        for shard in shards {
            set.insert(shard);
        }
        set
    }
}

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} shards", self.len())
    }
}

/// The shards of this replica after it renewed its leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// The shards that it owned before and owns still.
    pub kept: Shards,
    /// The shards that it owns anew: it knows nothing about their watches.
    pub new: Shards,
    /// The number of shards beyond its fair share, for it to hand back.
    pub surplus: usize,
    /// How long this holds from the beginning of the call; `None` for ever.
    pub lease: Option<Duration>,
}

/// One of the processes that share a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Another one at each start of the process.
    pub id: Uuid,
    /// The name that people know it by.
    pub name: String,
    pub version: String,
    pub started_at: Timestamp,
    /// The last sign of life.
    pub seen_at: Timestamp,
    /// The shards that it owns.
    pub shards: Shards,
    /// True for the process that answers.
    pub is_self: bool,
}

/// A pause of a budget, because a service asked for fewer requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttling {
    /// The endpoint and the name of the credential: the key of the budget.
    pub endpoint: String,
    pub credential: String,
    /// The rest of the pause.
    pub pause: Duration,
    /// Distinguishes the throttlings of a budget: a later one has a higher number.
    pub number: i64,
}

/// Keeps the owners of shards; see the module. The methods have the bodies for a store that only one
/// process can open.
#[async_trait]
pub trait ShardStore: Send + Sync {
    /// Gives a sign of life, renews the leases of this replica, and takes shards without an owner, up
    /// to its fair share: as many as each of the living replicas can have.
    async fn hold(&self) -> Result<Holding, StoreError> {
        Ok(Holding {
            kept: Shards::ALL,
            new: Shards::default(),
            surplus: 0,
            lease: None,
        })
    }

    /// Hands shards back, for others to take.
    async fn hand_back(&self, _: Shards) -> Result<(), StoreError> {
        Ok(())
    }

    /// Hands back everything and leaves: the others need not wait for the end of a lease.
    async fn leave(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Returns the living replicas, by name; none where this process is the only one.
    async fn replicas(&self) -> Result<Vec<Replica>, StoreError> {
        Ok(Vec::new())
    }

    /// Asks the owner of a watch to poll it now. Returns false if no other replica can be the owner.
    async fn request_poll(&self, _: WatchId) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Tells the other replicas of throttlings, and returns those of the others whose pauses go on.
    async fn exchange_throttlings(
        &self,
        _: Vec<Throttling>,
    ) -> Result<Vec<Throttling>, StoreError> {
        Ok(Vec::new())
    }

    /// Takes the requests for polls of these shards.
    async fn take_poll_requests(&self, _: Shards) -> Result<Vec<WatchId>, StoreError> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_each_shard_once() {
        let set: Shards = [0, 63, 64, 255, 0].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 255]);
        assert_eq!((set.len(), Shards::ALL.len()), (4, usize::from(SHARDS)));
        let rest = Shards::ALL.without(&set);
        assert!(!rest.contains(64) && rest.contains(65));
        assert_eq!(rest.with(&set), Shards::ALL);
        assert!(set.without(&set).is_empty());
    }
}
