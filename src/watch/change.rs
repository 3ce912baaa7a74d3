//! A change of a watch, complete: the watch after it, its event, and the sinks that receive it.

use std::sync::Arc;

use jiff::Timestamp;

use crate::watch::Watch;
use crate::watch::event::{Event, EventKind, Instance};
use crate::watch::subscription::Subscriptions;

/// A watch as it stands after a change, the event about the change, and the deliveries that
/// are owed. The store commits all of it in one transaction (invariant 3).
#[derive(Debug, Clone)]
pub struct Change {
    /// The watch after the change. Its `revision` is one more than before, except in a
    /// submission (0) and in a late result, which leaves the watch as it is.
    pub watch: Watch,
    /// The event about the change.
    pub event: Event,
    /// Names of the sinks that receive the event.
    pub owed: Vec<String>,
}

/// Composes every [`Change`], so that an event and its deliveries are decided in one place.
#[derive(Debug, Clone)]
pub struct Composer {
    instance: Instance,
    subscriptions: Arc<Subscriptions>,
}

impl Composer {
    /// A composer of events from `instance` for these subscriptions.
    pub fn new(instance: Instance, subscriptions: Arc<Subscriptions>) -> Self {
        Self {
            instance,
            subscriptions,
        }
    }

    /// The subscriptions by which deliveries are decided.
    pub fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    /// Composes the change that leaves `watch` as it is given here, noticed at `at`.
    pub fn compose(&self, watch: Watch, kind: EventKind, at: Timestamp) -> Change {
        Change {
            event: Event::of(&watch, kind, &self.instance, at),
            owed: self.subscriptions.owed(&watch, kind),
            watch,
        }
    }
}
