//! Selects the events of a sink: the keys `events`, `services` and `labels` of its section.

use crate::tree::reader::{Reader, not_among};
use crate::watch::subscription::{EventFilter, Filter};

/// Reads the filter of a sink.
pub(super) fn read(section: &Reader<'_>) -> Filter {
    Filter {
        events: events(section, "events"),
        services: section.list("services"),
        labels: section.texts("labels"),
    }
}

/// Reads kinds of events from the list `key`.
pub(super) fn events(section: &Reader<'_>, key: &str) -> Vec<EventFilter> {
    let mut events = Vec::new();
    for word in section.list(key) {
        match EventFilter::parse(&word) {
            Some(filter) => events.push(filter),
            None => section.report(key, not_among(&word, EventFilter::words())),
        }
    }
    events
}
