//! Saves decisions: in the store, or in memory until the store works again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anyhow::{Context, anyhow};

use crate::store::{Decide, Transitioned};
use crate::watch::State as WatchState;
use crate::watch::change::Change;
use crate::watch::event::EventKind;
use crate::watch::transition;
use crate::watch::{Outcome, Watch, WatchId};
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
    /// Another replica polls the watch.
    Foreign,
}

impl Shared {
    /// Commits decisions about different watches, or keeps them in memory while the store fails. The
    /// results are in the same order.
    pub(super) async fn save(self: &Arc<Self>, decisions: Vec<Arc<Decision>>) -> Vec<Saved> {
        // Decisions about one watch are committed in their order.
        let is_ready: Vec<bool> = {
            let backlog = &self.state().backlog;
            let each = decisions.iter();
            each.map(|it| !backlog.contains(it.watch)).collect()
        };
        let ready = decisions.iter().zip(&is_ready);
        let ready: Vec<_> = ready
            .filter(|(_, is_ready)| **is_ready)
            .map(|(decision, _)| Arc::clone(decision))
            .collect();
        let committed = self.commit(&ready).await;
        if committed.iter().any(Result::is_ok) {
            let uptime = self.clock.uptime();
            self.state().backlog.store_works(uptime);
        }
        let mut committed = committed.into_iter();
        let each = decisions.iter().zip(is_ready).map(|(decision, is_ready)| {
            let result = if is_ready { committed.next() } else { None };
            match result {
                Some(Ok(committed)) => return Saved::Committed(committed),
                Some(Err(error)) => self.report_store_failure(decision, &error),
                None => {}
            }
            self.keep(decision)
        });
        each.collect()
    }

    /// Keeps a decision in memory, if there is room.
    fn keep(&self, decision: &Arc<Decision>) -> Saved {
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

    /// Commits decisions about different watches, each with its event and its deliveries. The results
    /// are in the same order. One that fails does not stop the others.
    pub(super) async fn commit(
        self: &Arc<Self>,
        decisions: &[Arc<Decision>],
    ) -> Vec<anyhow::Result<Committed>> {
        let (mut steps, mut late) = (Vec::with_capacity(decisions.len()), Vec::new());
        for decision in decisions {
            let (shared, decided) = (Arc::clone(self), Arc::clone(decision));
            if decision.is_late_result() {
                let append = async move { shared.append_late_result(&decided).await };
                late.push(self.tracker.spawn(append));
            } else {
                steps.push((decision.watch, shared.deciding(decided)));
            }
        }
        let mut steps = self.commit_steps(steps).await.into_iter();
        let mut late = late.into_iter();
        let mut results = Vec::with_capacity(decisions.len());
        for decision in decisions {
            let result = if !decision.is_late_result() {
                steps.next()
            } else if let Some(appended) = late.next() {
                // After a panic the job is polled again, as for a step.
                Some(appended.await.unwrap_or(Ok(Committed::Watching)))
            } else {
                None
            };
            results.push(result.unwrap_or_else(|| Err(anyhow!("the store gave no answer"))));
        }
        results
    }

    /// Returns the function that makes the change of a stored watch.
    fn deciding(self: Arc<Self>, decision: Arc<Decision>) -> Decide {
        // A panic must not end the store's thread; its hook has logged it. The watch stays as it is,
        // and its job is polled again.
        Box::new(move |watch| {
            let change = AssertUnwindSafe(|| self.change(watch, &decision));
            catch_unwind(change).unwrap_or_default()
        })
    }

    async fn commit_steps(&self, steps: Vec<(WatchId, Decide)>) -> Vec<anyhow::Result<Committed>> {
        if steps.is_empty() {
            return Vec::new();
        }
        let answers = self.store.transitions(steps).await;
        let mut applied = answers.iter().filter_map(|answer| match answer {
            Ok(Transitioned::Applied(watch)) => Some(watch),
            _ => None,
        });
        let ends_in_group =
            |watch: &Watch| watch.group.is_some() && watch.state != WatchState::Watching;
        if applied.clone().any(ends_in_group) {
            self.groups.wake();
        }
        if applied.next().is_some() {
            self.committed.wake();
        }
        let results = answers.into_iter();
        results
            .map(|answer| Ok(committed(answer.context("store the transition")?)))
            .collect()
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

fn committed(transitioned: Transitioned) -> Committed {
    match transitioned {
        Transitioned::Foreign => Committed::Foreign,
        Transitioned::Missing => Committed::Over(None),
        // An unchanged one has ended already: perhaps this poller ended it, and the answer to an
        // earlier try was lost.
        Transitioned::Unchanged(watch) | Transitioned::Applied(watch) => match watch.state {
            WatchState::Watching => Committed::Watching,
            WatchState::Final(_) => over(watch),
        },
    }
}

fn over(watch: Watch) -> Committed {
    let outcome = watch.state.outcome();
    let may_follow = outcome.is_some_and(Outcome::may_come_late);
    Committed::Over(may_follow.then(|| Box::new(watch)))
}
