//! The choice of the sinks that receive an event.
//!
//! It is made together with the transition, so that the deliveries commit with it
//! (invariant 3).

use std::collections::BTreeMap;

use crate::watch::Watch;
use crate::watch::delivery::{Owed, Target};
use crate::watch::event::EventKind;

/// The prefix that may be left out of a type in a filter.
const TYPE_PREFIX: &str = "dev.jobwatch.";

/// One entry of `events` in the filter of a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventFilter {
    /// Every event that ends a watch or a group, and late results.
    Finished,
    /// Every event of a watch that continues, but for `accepted`.
    Changed,
    /// Events of this type only.
    Exactly(EventKind),
}

impl EventFilter {
    /// Reads `finished`, `changed`, or a type with or without its `dev.jobwatch.` prefix.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "finished" => Some(Self::Finished),
            "changed" => Some(Self::Changed),
            exact if exact.starts_with(TYPE_PREFIX) => {
                EventKind::from_type_name(exact).map(Self::Exactly)
            }
            short => EventKind::from_type_name(&format!("{TYPE_PREFIX}{short}")).map(Self::Exactly),
        }
    }

    /// Returns all words that [`EventFilter::parse`] reads, short forms only.
    pub fn words() -> impl Iterator<Item = &'static str> {
        ["finished", "changed"]
            .into_iter()
            .chain(EventKind::all().map(|kind| kind.type_name().trim_start_matches(TYPE_PREFIX)))
    }

    /// True if the filter admits events of this kind.
    pub fn admits(self, kind: EventKind) -> bool {
        match self {
            Self::Finished => matches!(
                kind,
                EventKind::Finished(_) | EventKind::LateResult | EventKind::GroupFinished
            ),
            Self::Changed => matches!(kind, EventKind::Changed | EventKind::Held),
            Self::Exactly(wanted) => wanted == kind,
        }
    }
}

/// The events that one sink receives. An empty list admits everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// The kinds of events; one of them must match.
    pub events: Vec<EventFilter>,
    /// The names of the services; one of them must match.
    pub services: Vec<String>,
    /// The labels that a watch must carry, with these values; all must match.
    pub labels: BTreeMap<String, String>,
}

impl Filter {
    fn admits(&self, watch: &Watch, kind: EventKind) -> bool {
        (self.events.is_empty() || self.events.iter().any(|wanted| wanted.admits(kind)))
            && (self.services.is_empty() || self.services.contains(&watch.service))
            && self
                .labels
                .iter()
                .all(|(name, value)| watch.labels.get(name) == Some(value))
    }
}

/// The name of the sink that sends to the `callback_url` of a watch.
pub const CALLBACK: &str = "callback";

/// The filters of all sinks: they decide on the deliveries of an event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subscriptions {
    /// The filters of all configured sinks, by sink name.
    pub sinks: BTreeMap<String, Filter>,
    /// The filter for the `callback_url` of a watch; `None` if callbacks are not allowed.
    pub callback: Option<Filter>,
}

impl Subscriptions {
    /// Returns the sinks that are owed the event of a group, by one of its watches: those that take
    /// such events, and receive events of this watch. The `callback_url` of a watch does not.
    pub fn owed_of_group<'a>(&'a self, member: &'a Watch) -> impl Iterator<Item = &'a str> {
        self.receiving(member, EventKind::GroupFinished)
    }

    fn receiving<'a>(&'a self, watch: &'a Watch, kind: EventKind) -> impl Iterator<Item = &'a str> {
        self.sinks
            .iter()
            .filter(|(sink, _)| watch.sinks.is_empty() || watch.sinks.contains(sink))
            .filter(move |(_, filter)| filter.admits(watch, kind))
            .map(|(sink, _)| sink.as_str())
    }

    /// Returns the sinks that are owed an event of `kind` on `watch`. A watch that names sinks
    /// is delivered to these only; its `callback_url` receives its events as well.
    pub fn owed(&self, watch: &Watch, kind: EventKind) -> Vec<Owed> {
        let callback = self.callback.as_ref();
        let callback = callback.filter(|filter| filter.admits(watch, kind));
        let url = callback.and(watch.callback_url.as_ref());
        self.receiving(watch, kind)
            .map(Owed::to)
            .chain(url.map(|url| Owed {
                sink: CALLBACK.to_owned(),
                target: Some(Target::from(url)),
            }))
            .collect()
    }
}
