//! Saves a decision: in the store, or in memory until the store works again.

use std::sync::Arc;

use anyhow::Context;

use crate::store::Applied;
use crate::watch::State as WatchState;
use crate::watch::event::EventKind;
use crate::watch::tracking::Tracking;
use crate::watch::transition::{self, Step};
use crate::watch::{Outcome, Watch};
use crate::workers::poller::Shared;
use crate::workers::poller::decision::{Decision, Effect};

/// The number of tries while another process keeps changing the watch.
const TRIES: usize = 5;

/// The result of saving a decision.
pub(super) enum Saved {
    Committed(Committed),
    /// The store failed: the decision is kept in memory and committed later.
    Kept,
    /// The store failed and the backlog is full: the decision counts as never made, and the
    /// job is polled again.
    Forgotten,
}

/// The state of the watch after a commit.
pub(super) enum Committed {
    Watching,
    /// The watch is over, because of this decision or of another process. The watch is given
    /// if a late result may still come.
    Over(Option<Box<Watch>>),
}

impl Shared {
    /// Commits a decision, or keeps it in memory while the store fails.
    pub(super) async fn save(&self, decision: &Arc<Decision>) -> Saved {
        // Decisions about one watch are committed in their order.
        let must_wait = self.state().backlog.contains(decision.watch);
        if !must_wait {
            match self.commit(decision).await {
                Ok(committed) => {
                    let uptime = self.clock.uptime();
                    self.state().backlog.store_works(uptime);
                    return Saved::Committed(committed);
                }
                Err(error) => self.report_store_failure(decision, &error),
            }
        }
        let uptime = self.clock.uptime();
        if self.state().backlog.keep(decision, uptime) {
            return Saved::Kept;
        }
        tracing::error!(
            watch_id = %decision.watch,
            "too many decisions wait for the store: this one is forgotten, and the job will be polled again"
        );
        Saved::Forgotten
    }

    /// Commits a decision: the watch, its event and its deliveries, in one transaction.
    pub(super) async fn commit(&self, decision: &Decision) -> anyhow::Result<Committed> {
        for _ in 0..TRIES {
            let watch = self.store.watch(decision.watch).await;
            let Some(watch) = watch.context("read the watch")? else {
                return Ok(Committed::Over(None));
            };
            let Effect::Step(step, tracking) = &decision.effect else {
                return self.append_late_result(&watch, decision).await;
            };
            let committed = self.try_to_commit(watch, decision, *step, tracking);
            if let Some(committed) = committed.await? {
                return Ok(committed);
            }
        }
        anyhow::bail!("the watch kept changing during the commit")
    }

    /// Commits a step. Returns `None` if another process changed the watch meanwhile.
    async fn try_to_commit(
        &self,
        watch: Watch,
        decision: &Decision,
        step: Step,
        tracking: &Tracking,
    ) -> anyhow::Result<Option<Committed>> {
        if watch.state != WatchState::Watching {
            // Perhaps this poller ended it, and the answer to an earlier try was lost.
            return Ok(Some(over(watch)));
        }
        let observation = decision.observation.as_ref();
        let recorded = transition::record(&watch, tracking, observation, step, decision.at);
        let Some((next, kind)) = recorded else {
            return Ok(Some(Committed::Watching));
        };
        let after = next.clone();
        let mut change = self.composer.compose(next, kind, decision.at);
        change.evidence = decision.evidence_for(&watch, &after);
        let applied = self.store.apply(change).await;
        if applied.context("store the transition")? == Applied::Refused {
            return Ok(None);
        }
        self.committed.wake();
        if after.group.is_some() && after.state != WatchState::Watching {
            self.groups.wake();
        }
        Ok(Some(match after.state {
            WatchState::Watching => Committed::Watching,
            WatchState::Final(_) => over(after),
        }))
    }

    /// Appends the event of a late result, unless the watch has one already.
    async fn append_late_result(
        &self,
        watch: &Watch,
        decision: &Decision,
    ) -> anyhow::Result<Committed> {
        let observation = decision.observation.as_ref();
        let seen = observation.and_then(|it| transition::late_result(watch, it));
        if let Some(seen) = seen {
            let change = self
                .composer
                .compose(seen, EventKind::LateResult, decision.at);
            let appended = self.store.append(change).await;
            appended.context("store the late result")?;
            self.committed.wake();
        }
        Ok(Committed::Over(None))
    }
}

fn over(watch: Watch) -> Committed {
    let outcome = watch.state.outcome();
    let may_follow = outcome.is_some_and(Outcome::may_come_late);
    Committed::Over(may_follow.then(|| Box::new(watch)))
}
