//! One change of a watch: the watch after the change, the event, and the sinks that receive it.

use std::sync::Arc;

use jiff::Timestamp;

use crate::watch::Watch;
use crate::watch::blindness::BlindReport;
use crate::watch::delivery::Owed;
use crate::watch::event::{Event, EventKind, Instance};
use crate::watch::evidence::Evidence;
use crate::watch::group::GroupEnd;
use crate::watch::subscription::Subscriptions;

/// A watch after a change, the event about the change, and the deliveries that are owed. The
/// store commits them in one transaction (invariant 3).
#[derive(Debug, Clone)]
pub struct Change {
    /// The watch after the change. Its `revision` is one more than before; a submission has 0,
    /// and a late result leaves the stored watch as it is.
    pub watch: Watch,
    /// The event about the change.
    pub event: Event,
    /// The sinks that receive the event.
    pub owed: Vec<Owed>,
    /// The answer that proved the outcome, if the change ends the watch.
    pub evidence: Option<Evidence>,
}

/// Composes every [`Change`], so that one place decides on the event and its deliveries.
#[derive(Debug, Clone)]
pub struct Composer {
    instance: Instance,
    subscriptions: Arc<Subscriptions>,
}

impl Composer {
    /// Makes a composer of events from `instance` for these subscriptions.
    pub fn new(instance: Instance, subscriptions: Arc<Subscriptions>) -> Self {
        Self {
            instance,
            subscriptions,
        }
    }

    /// Returns the subscriptions that decide on the deliveries.
    pub fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    /// Composes the event of the group `name`, which finished at `at`.
    pub fn compose_group(
        &self,
        name: &str,
        size: Option<u32>,
        end: &GroupEnd,
        at: Timestamp,
    ) -> Event {
        end.event(name, size, &self.instance, at)
    }

    /// Composes the event of a time in which services were blind, and the deliveries owed for it.
    pub fn compose_blindness(&self, report: &BlindReport, at: Timestamp) -> (Event, Vec<Owed>) {
        let subscriptions = &self.subscriptions;
        let owed = subscriptions.owed_of_services(&report.services, report.kind);
        (report.event(&self.instance, at), owed)
    }

    /// Composes a change. `watch` is the watch after it; `at` is the time at which it was noticed.
    pub fn compose(&self, watch: Watch, kind: EventKind, at: Timestamp) -> Change {
        Change {
            event: Event::of(&watch, kind, &self.instance, at),
            owed: self.subscriptions.owed(&watch, kind),
            watch,
            evidence: None,
        }
    }
}
