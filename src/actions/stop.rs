//! The end of a watch at the request of an operator.

use jiff::Timestamp;

use crate::actions::Actions;
use crate::store::{Applied, StoreError};
use crate::watch::change::Change;
use crate::watch::tracking::Tracking;
use crate::watch::transition::{self, Step};
use crate::watch::{Outcome, Progress, State, Watch, WatchId};

/// The number of tries while polls keep changing the watch.
const TRIES: usize = 5;

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
        for _ in 0..TRIES {
            let Some(watch) = parts.store.watch(id).await? else {
                return Ok(None);
            };
            if watch.state != State::Watching {
                return Ok(Some(watch));
            }
            let change = self.ending(&watch, progress.clone(), parts.clock.now());
            let ended = change.watch.clone();
            if parts.store.apply(change).await? == Applied::Applied {
                parts.poller.forget(id);
                parts.wake.wake();
                if ended.group.is_some() {
                    parts.groups.wake();
                }
                return Ok(Some(ended));
            }
        }
        Err(StoreError::Failed {
            doing: "end a watch that polls keep changing",
            source: "try again".into(),
        })
    }

    fn ending(&self, watch: &Watch, progress: Option<Progress>, now: Timestamp) -> Change {
        let mut tracking = Tracking::resume(watch);
        if let Some(progress) = progress {
            tracking.polls = progress.polls;
            tracking.problems = progress.problems;
            tracking.last_problem = progress.last_problem.map(Box::new);
        }
        let step = Step::Finished(Outcome::Unwatched);
        let (watch, kind) = transition::record(watch, &tracking, None, step, now)
            .expect("an end is always an event");
        self.parts.composer.compose(watch, kind, now)
    }
}
