//! The owners of shards: another replica takes some for a while, and polls nothing meanwhile.

use parking_lot::Mutex;

use jobwatch::store::Shards;
use jobwatch::store::key;
use jobwatch::store::key::key_of;
use jobwatch::store::shards::{Holding, LEASE, SHARDS};
use jobwatch::watch::Watch;
use jobwatch::watch::entry::Entry;
use rand::RngExt;
use rand::rngs::StdRng;

/// The owners as the store has them, and as the process knows them.
pub(super) struct Ownership(Mutex<Inside>);

struct Inside {
    /// By shard, and true for one of this process.
    stored: Vec<(u32, bool)>,
    /// The epochs of the last answer; 0 for a shard of others.
    known: Vec<u32>,
}

impl Default for Ownership {
    fn default() -> Self {
        let shards = usize::from(SHARDS);
        Self(Mutex::new(Inside {
            stored: vec![(0, false); shards],
            known: vec![0; shards],
        }))
    }
}

/// What a renewal stored: the epochs of the shards of this process.
pub(super) struct Renewed {
    epochs: Vec<u32>,
    surplus: usize,
}

impl Ownership {
    /// Takes all shards that others have, and gives some away, if there is a generator to draw them.
    pub(super) fn renew(&self, draw: Option<&mut StdRng>) -> Renewed {
        let mut inside = self.0.lock();
        let (mut lost, mut surplus) = (Shards::default(), 0);
        if let Some(rng) = draw {
            if rng.random_bool(0.4) {
                lost = (0..=u8::MAX).filter(|_| rng.random()).collect();
            } else if rng.random_bool(0.3) {
                surplus = rng.random_range(1..200);
            }
        }
        for (shard, (epoch, is_mine)) in (0..=u8::MAX).zip(&mut inside.stored) {
            if *is_mine && lost.contains(shard) {
                *is_mine = false;
            } else if !*is_mine {
                *epoch += 1;
                *is_mine = true;
            }
        }
        let each = inside.stored.iter();
        let epochs = each.map(|(epoch, is_mine)| if *is_mine { *epoch } else { 0 });
        Renewed {
            epochs: epochs.collect(),
            surplus,
        }
    }

    /// Notes the answer to a renewal, and returns what it tells the process.
    pub(super) fn learn(&self, renewed: Renewed) -> Holding {
        let mut inside = self.0.lock();
        let mut holding = Holding {
            kept: Shards::default(),
            new: Shards::default(),
            surplus: 0,
            lease: Some(LEASE),
        };
        for (shard, epoch) in (0..=u8::MAX).zip(&renewed.epochs) {
            if *epoch == 0 {
                continue;
            }
            if inside.known[usize::from(shard)] == *epoch {
                holding.kept.insert(shard);
            } else {
                holding.new.insert(shard);
            }
        }
        holding.surplus = renewed.surplus.min(holding.kept.len());
        inside.known = renewed.epochs;
        holding
    }

    /// Forgets shards, as the process does before it hands them back.
    pub(super) fn forget(&self, shards: Shards) {
        let mut inside = self.0.lock();
        for shard in shards.iter() {
            inside.known[usize::from(shard)] = 0;
        }
    }

    pub(super) fn hand_back(&self, shards: Shards) {
        let mut inside = self.0.lock();
        for shard in shards.iter() {
            inside.stored[usize::from(shard)].1 = false;
        }
    }

    /// True if the process may decide about a watch.
    pub(super) fn permits(&self, watch: &Watch) -> bool {
        let inside = self.0.lock();
        let shard = usize::from(key::of(watch)[0]);
        let (epoch, is_mine) = inside.stored[shard];
        is_mine && inside.known[shard] == epoch
    }
}

/// Returns the shard of a watch.
pub(super) fn shard_of(entry: &Entry) -> u8 {
    key_of(&entry.service, &entry.params, &entry.job_id)[0]
}
