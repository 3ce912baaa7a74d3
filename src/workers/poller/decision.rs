//! A decision about a watch, on its way from the poll into the store.

use jiff::Timestamp;

use crate::watch::evidence::Evidence;
use crate::watch::observation::{AskedWait, Observation};
use crate::watch::tracking::Tracking;
use crate::watch::transition::Step;
use crate::watch::{Watch, WatchId};

/// A decision about a watch that must be saved.
pub(super) struct Decision {
    pub(super) watch: WatchId,
    pub(super) effect: Effect,
    /// The observation behind it; `None` when a deadline passed without a poll.
    pub(super) observation: Option<Observation>,
    /// The answer that proves the outcome, if the decision ends the watch.
    pub(super) evidence: Option<Box<Evidence>>,
    /// The time of the decision.
    pub(super) at: Timestamp,
}

/// The effect of a decision.
pub(super) enum Effect {
    /// A step of a watch without an outcome, and its tracking after the step.
    Step(Step, Tracking),
    /// A verdict on a watch that ended without one.
    LateResult,
}

impl Decision {
    /// True if no poll for an outcome follows it.
    pub(super) fn is_end(&self) -> bool {
        match &self.effect {
            Effect::Step(step, _) => matches!(step, Step::Finished(_)),
            Effect::LateResult => true,
        }
    }

    pub(super) fn is_late_result(&self) -> bool {
        matches!(self.effect, Effect::LateResult)
    }

    pub(super) fn tracking(&self) -> Option<Tracking> {
        match &self.effect {
            Effect::Step(_, tracking) => Some(tracking.clone()),
            Effect::LateResult => None,
        }
    }

    /// Returns the evidence of the end of a watch, with the last sighting if the answer itself does
    /// not show the job. `before` and `after` are the watch around the change.
    pub(super) fn evidence_for(&self, before: &Watch, after: &Watch) -> Option<Evidence> {
        let outcome = after.state.outcome()?;
        let mut evidence = self.evidence.as_deref()?.clone();
        let shows_the_job = after.job != before.job;
        if !outcome.is_verdict() && !shows_the_job {
            evidence.last_sighting.clone_from(&before.job);
        }
        Some(evidence)
    }

    pub(super) fn asked_wait(&self) -> AskedWait {
        let observation = self.observation.as_ref();
        observation.map_or_else(AskedWait::default, Observation::asked_wait)
    }
}
