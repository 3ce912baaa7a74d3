//! Saves a decision: in the store, or in memory until the store works again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anyhow::Context;

use crate::store::Transitioned;
use crate::watch::State as WatchState;
use crate::watch::change::Change;
use crate::watch::event::EventKind;
use crate::watch::transition;
use crate::watch::{Outcome, Watch};
use crate::workers::poller::Shared;
use crate::workers::poller::decision::{Decision, Effect};

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
    pub(super) async fn save(self: &Arc<Self>, decision: &Arc<Decision>) -> Saved {
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
    pub(super) async fn commit(
        self: &Arc<Self>,
        decision: &Arc<Decision>,
    ) -> anyhow::Result<Committed> {
        if matches!(decision.effect, Effect::LateResult) {
            return self.append_late_result(decision).await;
        }
        let (shared, decided) = (Arc::clone(self), Arc::clone(decision));
        // A panic must not end the store's thread; its hook has logged it. The watch stays as it is,
        // and its job is polled again.
        let decide = move |watch: &Watch| {
            let change = AssertUnwindSafe(|| shared.change(watch, &decided));
            catch_unwind(change).unwrap_or_default()
        };
        let transition = self.store.transition(decision.watch, Box::new(decide));
        let watch = match transition.await.context("store the transition")? {
            Transitioned::Missing => return Ok(Committed::Over(None)),
            // Perhaps this poller ended it, and the answer to an earlier try was lost.
            Transitioned::Unchanged(watch) => watch,
            Transitioned::Applied(watch) => {
                self.committed.wake();
                if watch.group.is_some() && watch.state != WatchState::Watching {
                    self.groups.wake();
                }
                watch
            }
        };
        Ok(match watch.state {
            WatchState::Watching => Committed::Watching,
            WatchState::Final(_) => over(watch),
        })
    }

    /// Returns the change of a stored watch that a decision makes; `None` if it makes none.
    fn change(&self, watch: &Watch, decision: &Decision) -> Option<Change> {
        let Effect::Step(step, tracking) = &decision.effect else {
            return None;
        };
        if watch.state != WatchState::Watching {
            return None;
        }
        let observation = decision.observation.as_ref();
        let (next, kind) = transition::record(watch, tracking, observation, *step, decision.at)?;
        let evidence = decision.evidence_for(watch, &next);
        Some(Change {
            evidence,
            ..self.composer.compose(next, kind, decision.at)
        })
    }

    /// Appends the event of a late result, unless the watch has one already.
    async fn append_late_result(&self, decision: &Decision) -> anyhow::Result<Committed> {
        let watch = self.store.watch(decision.watch).await;
        let Some(watch) = watch.context("read the watch")? else {
            return Ok(Committed::Over(None));
        };
        let observation = decision.observation.as_ref();
        let seen = observation.and_then(|it| transition::late_result(&watch, it));
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
