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
        self.admits_of(kind, |service| *service == watch.service)
            && self
                .labels
                .iter()
                .all(|(name, value)| watch.labels.get(name) == Some(value))
    }

    /// True for an event about these services and no watch. A filter by labels admits none,
    /// because such an event has no labels.
    fn admits_services(&self, services: &[String], kind: EventKind) -> bool {
        self.admits_of(kind, |service| services.contains(service)) && self.labels.is_empty()
    }

    /// True if the filter admits a kind of event, and a service for which `is_of` is true.
    fn admits_of(&self, kind: EventKind, is_of: impl Fn(&String) -> bool) -> bool {
        (self.events.is_empty() || self.events.iter().any(|wanted| wanted.admits(kind)))
            && (self.services.is_empty() || self.services.iter().any(is_of))
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

    /// Returns the sinks that are owed an event of `kind` about these services and no watch.
    pub fn owed_of_services(&self, services: &[String], kind: EventKind) -> Vec<Owed> {
        let admitting = |(_, filter): &(&String, &Filter)| filter.admits_services(services, kind);
        let sinks = self.sinks.iter().filter(admitting);
        sinks.map(|(sink, _)| Owed::to(sink)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn receiving(filter: Filter, services: &[&str]) -> bool {
        let subscriptions = Subscriptions {
            sinks: [("ops".to_owned(), filter)].into(),
            callback: None,
        };
        let services: Vec<String> = services.iter().map(|it| (*it).to_owned()).collect();
        let owed = subscriptions.owed_of_services(&services, EventKind::Blind);
        owed.iter().any(|owed| owed.sink == "ops")
    }

    #[test]
    fn a_sink_gets_events_about_services_unless_its_filter_says_no() {
        let none = Filter::default;
        let of_events = |words: &[&str]| Filter {
            events: words
                .iter()
                .filter_map(|it| EventFilter::parse(it))
                .collect(),
            ..none()
        };
        assert!(receiving(none(), &["dcs"]));
        assert!(receiving(of_events(&["watcher.blind"]), &["dcs"]));
        assert!(!receiving(of_events(&["finished", "changed"]), &["dcs"]));
        let of_service = || Filter {
            services: vec!["dcs".to_owned()],
            ..none()
        };
        assert!(receiving(of_service(), &["sdrs", "dcs"]));
        assert!(!receiving(of_service(), &["sdrs"]));
        let labels = BTreeMap::from([("team".to_owned(), "platform".to_owned())]);
        assert!(!receiving(Filter { labels, ..none() }, &["dcs"]));
    }
}
