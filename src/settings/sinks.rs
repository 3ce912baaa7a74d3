//! Where events go: the section `[sinks]`.

use std::collections::BTreeMap;

use crate::settings::local_sinks::{check_paths, command, lines};
use crate::settings::reader::{Reader, not_among};
use crate::settings::webhooks::webhook;
use crate::settings::{SinkKind, SinkSettings};
use crate::watch::subscription::{CALLBACK, EventFilter, Filter};

/// How to read the settings of one kind of sink.
type Read = fn(&Reader<'_>) -> Option<SinkKind>;

/// Where events go, by name.
pub(super) fn sinks(root: &Reader<'_>) -> BTreeMap<String, SinkSettings> {
    let known = root.names("services");
    let mut sinks = BTreeMap::new();
    for (name, section) in root.sections("sinks") {
        if name == CALLBACK {
            let message = "is the sink of the `callback_url` of watches; choose another name";
            section.report("", message);
        }
        let kinds: [(&str, Read); 4] = [
            ("log", |_| Some(SinkKind::Log)),
            ("webhook", webhook),
            ("file", lines),
            ("exec", command),
        ];
        let Some(read) = section.choice("kind", &kinds) else {
            continue;
        };
        let kind = read(&section);
        let filter = filter(&section, &known);
        section.finish();
        sinks.extend(kind.map(|kind| (name, SinkSettings { kind, filter })));
    }
    check_paths(root, &sinks);
    sinks
}

fn filter(section: &Reader<'_>, services: &[String]) -> Filter {
    let wanted = section.list("services");
    for name in wanted.iter().filter(|name| !services.contains(name)) {
        let names = services.iter().map(String::as_str);
        let message = if services.is_empty() {
            format!("\"{name}\" is no service; none is configured")
        } else {
            not_among(name, names)
        };
        section.report("services", message);
    }
    Filter {
        events: events(section, "events"),
        services: wanted,
        labels: section.texts("labels"),
    }
}

/// Kinds of events, as the list `key` names them.
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
