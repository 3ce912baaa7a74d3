//! The end of a watch at the request of an operator.

use jiff::Timestamp;

use crate::actions::Actions;
use crate::store::{StoreError, Transitioned};
use crate::watch::change::{Change, Composer};
use crate::watch::tracking::Tracking;
use crate::watch::transition::{self, Step};
use crate::watch::{Outcome, Progress, State, Watch, WatchId};

impl Actions {
    /// Ends a watch as `unwatched`, and returns it. A watch that is final stays as it is and is
    /// returned; `None` means that there is no such watch.
    ///
    /// A verdict that the poller has observed and not saved yet is saved first, so it counts.
    ///
    /// # Errors
    /// The store failed; the watch continues.
    pub async fn stop(&self, id: WatchId) -> Result<Option<Watch>, StoreError> {
        let parts = &self.parts;
        parts.poller.flush().await;
        let progress = parts.poller.progress(id);
        let (composer, now) = (parts.composer.clone(), parts.clock.now());
        let end = move |watch: &Watch| {
            let goes_on = watch.state == State::Watching;
            goes_on.then(|| ending(&composer, watch, progress.as_ref(), now))
        };
        Ok(match parts.store.transition(id, Box::new(end)).await? {
            // Anybody may stop a watch, so none is foreign.
            Transitioned::Missing | Transitioned::Foreign => None,
            Transitioned::Unchanged(watch) => Some(watch),
            Transitioned::Applied(watch) => {
                parts.poller.forget(id);
                parts.wake.wake();
                if watch.group.is_some() {
                    parts.groups.wake();
                }
                Some(watch)
            }
        })
    }
}

fn ending(
    composer: &Composer,
    watch: &Watch,
    progress: Option<&Progress>,
    now: Timestamp,
) -> Change {
    let mut tracking = Tracking::resume(watch);
    if let Some(progress) = progress {
        tracking.polls = progress.polls;
        tracking.problems = progress.problems;
        tracking.last_problem = progress.last_problem.clone().map(Box::new);
    }
    let step = Step::Finished(Outcome::Unwatched);
    let (watch, kind) =
        transition::record(watch, &tracking, None, step, now).expect("an end is always an event");
    composer.compose(watch, kind, now)
}
