//! A decision about a watch, on its way from the poll into the store.

use std::time::Duration;

use jiff::Timestamp;

use crate::watch::WatchId;
use crate::watch::observation::Observation;
use crate::watch::transition::{Step, Tracking};

/// A decision about a watch that must be saved.
pub(super) struct Decision {
    pub(super) watch: WatchId,
    pub(super) effect: Effect,
    /// The observation behind it; `None` when a deadline passed without a poll.
    pub(super) observation: Option<Observation>,
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

    pub(super) fn tracking(&self) -> Option<Tracking> {
        match &self.effect {
            Effect::Step(_, tracking) => Some(tracking.clone()),
            Effect::LateResult => None,
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.observation.as_ref().and_then(Observation::retry_after)
    }
}
