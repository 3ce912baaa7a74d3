//! The shards whose watches this replica polls. It loads the watches of a shard when it becomes the
//! owner, and forgets them when it is the owner no more, or cannot be sure of it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::show_duration;
use crate::store::key;
use crate::store::shards::{Holding, LEASE};
use crate::store::{Shards, StoreError};
use crate::watch::WatchId;
use crate::watch::entry::Entry;
use crate::workers::poller::{Poller, Shared, State};

/// The time between two renewals.
const RENEW_EVERY: Duration = Duration::from_secs(LEASE.as_secs() / 3);
/// How long a stop waits for the polls in flight before it hands their shards back.
const STOP_MAX: Duration = Duration::from_millis(500);

/// The shards of this replica.
#[derive(Debug, Default)]
pub(super) struct Owned {
    pub(super) shards: Shards,
    /// Those whose watches are not on the agenda yet.
    unloaded: Shards,
    /// The uptime until which the ownership certainly holds; `None` for ever.
    pub(super) until: Option<Duration>,
    /// The uptime of the last renewal.
    renewed_at: Duration,
}

impl Owned {
    /// True if other replicas may own shards too.
    pub(super) fn is_shared(&self) -> bool {
        self.until.is_some()
    }
}

fn shard_of(entry: &Entry) -> u8 {
    key::key_of(&entry.service, &entry.params, &entry.job_id)[0]
}

impl Poller {
    /// Renews the ownership until `stop`, and then hands all shards back. Returns at once where this
    /// process is the only one.
    pub async fn keep_shards(&self, stop: CancellationToken) {
        let shared = &self.shared;
        if !shared.state().owned.is_shared() {
            return;
        }
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(RENEW_EVERY) => shared.renew_or_report().await,
            }
        }
        shared.leave().await;
    }
}

impl Shared {
    async fn renew_or_report(&self) {
        let Err(error) = self.renew().await else {
            return;
        };
        let error = anyhow::Error::from(error);
        let uptime = self.clock.uptime();
        let until = self.state().owned.until.unwrap_or_default();
        tracing::error!(
            error = format!("{error:#}"),
            polls_for = show_duration(until.saturating_sub(uptime)),
            "cannot renew the leases on shards; without them this replica polls nothing"
        );
    }

    /// Renews the ownership once, loads the watches of new shards, and hands back those beyond the
    /// fair share of this replica.
    pub(super) async fn renew(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.renewing.lock().await;
        let began = self.clock.uptime();
        let holding = self.store.hold().await?;
        let unloaded = {
            let mut state = self.state();
            state.hold(&holding, began);
            state.owned.unloaded
        };
        if !unloaded.is_empty() {
            self.load_shards(unloaded).await?;
            let owned = &mut self.state().owned;
            owned.unloaded = owned.unloaded.without(&unloaded);
        }
        if holding.surplus > 0 {
            let given: Shards = holding.kept.iter().take(holding.surplus).collect();
            self.state().lose(given, self.clock.uptime());
            self.store.hand_back(given).await?;
            tracing::info!(
                shards = given.len(),
                "handed shards back, for another replica to poll their watches"
            );
        }
        Ok(())
    }

    /// Renews the leases if that is due. Very many watches take longer to load than a lease holds.
    pub(super) async fn renew_while_loading(&self) -> Result<(), StoreError> {
        let began = self.clock.uptime();
        let is_due = {
            let owned = &self.state().owned;
            owned.is_shared() && began >= owned.renewed_at.saturating_add(RENEW_EVERY)
        };
        if is_due {
            let holding = self.store.hold().await?;
            self.state().hold(&holding, began);
        }
        Ok(())
    }

    /// Takes the requests for polls that other replicas received, and exchanges throttlings with them.
    pub(super) async fn meet_others(&self) -> Result<(), StoreError> {
        let uptime = self.clock.uptime();
        let (shards, throttlings) = {
            let mut state = self.state();
            if !state.owned.is_shared() {
                return Ok(());
            }
            (state.owned.shards, state.queues.new_throttlings(uptime))
        };
        for id in self.store.take_poll_requests(shards).await? {
            self.poll_now(id);
        }
        let of_others = self.store.exchange_throttlings(throttlings).await?;
        let uptime = self.clock.uptime();
        self.state().queues.apply_throttlings(&of_others, uptime);
        Ok(())
    }

    /// Waits a little for the polls in flight, and hands back everything.
    async fn leave(&self) {
        let landed = async {
            while !self.in_flight.is_zero() {
                self.in_flight.landed().await;
            }
        };
        // The next owner polls the jobs again whose decisions were not saved by then.
        let _ = tokio::time::timeout(STOP_MAX, landed).await;
        self.state().lose(Shards::ALL, self.clock.uptime());
        if let Err(error) = self.store.leave().await {
            let error = anyhow::Error::from(error);
            tracing::warn!(
                error = format!("{error:#}"),
                "cannot hand back the shards; others take them when the leases end"
            );
        }
    }

    /// Forgets a watch that another replica polls. If this one still owns the shard after all, the next
    /// renewal loads it again.
    pub(super) fn forget_foreign(&self, id: WatchId) {
        tracing::info!(watch_id = %id, "another replica polls this watch now; the decision was dropped");
        let mut state = self.state();
        let shard = state.agenda.look_up(id).map(|(entry, _)| shard_of(entry));
        state.forget(id);
        // The shard may have come back since.
        if let Some(shard) = shard {
            state.load_again([shard].into_iter().collect());
        }
    }
}

impl State {
    /// Takes over what a renewal found.
    fn hold(&mut self, holding: &Holding, began: Duration) {
        let held = holding.kept.with(&holding.new);
        let before = self.owned.shards;
        // A shard that is new and was here before was another replica's in between.
        let lost = before.without(&holding.kept);
        let taken = lost.without(&holding.new);
        self.lose(lost, began);
        if !taken.is_empty() {
            tracing::warn!(
                shards = taken.len(),
                "another replica has taken shards whose leases had ended; it polls their watches"
            );
        }
        let gained = held.without(&self.owned.shards);
        self.owned.unloaded = self.owned.unloaded.with(&gained);
        self.owned.shards = held;
        self.owned.until = holding.lease.map(|lease| began.saturating_add(lease));
        self.owned.renewed_at = began;
        self.queues.share(held, began);
        if self.owned.is_shared() && !gained.is_empty() {
            tracing::info!(
                gained = gained.len(),
                shards = held.len(),
                "polls the watches of more shards"
            );
        }
    }

    /// True if this replica polls the watch of an entry.
    pub(super) fn owns(&self, entry: &Entry) -> bool {
        self.owned.shards == Shards::ALL || self.owned.shards.contains(shard_of(entry))
    }

    /// Polls nothing more once the ownership may have ended.
    pub(super) fn lapse(&mut self, uptime: Duration) {
        if self.owned.shards.is_empty() || self.owned.until.is_none_or(|until| uptime < until) {
            return;
        }
        tracing::error!(
            shards = self.owned.shards.len(),
            "the leases on shards could not be renewed in time; their watches are not polled here any more"
        );
        self.lose(Shards::ALL, uptime);
    }

    /// Lets the next renewal load these shards again, as far as they are owned.
    pub(super) fn load_again(&mut self, shards: Shards) {
        let others = self.owned.shards.without(&shards);
        let these = self.owned.shards.without(&others);
        self.owned.unloaded = self.owned.unloaded.with(&these);
    }

    /// Forgets the watches of these shards.
    fn lose(&mut self, shards: Shards, uptime: Duration) {
        if self.owned.shards.without(&shards) == self.owned.shards {
            return;
        }
        self.owned.shards = self.owned.shards.without(&shards);
        self.owned.unloaded = self.owned.unloaded.without(&shards);
        let lost = self
            .agenda
            .find_all(|entry| shards.contains(shard_of(entry)));
        for id in lost {
            self.forget(id);
        }
        self.queues.share(self.owned.shards, uptime);
    }

    /// Removes a watch from the agenda, and everything that is known about its next poll.
    pub(super) fn forget(&mut self, id: WatchId) {
        self.agenda.forget(id);
        self.alone.remove(&id);
        self.bookmarks.forget(id);
    }
}
