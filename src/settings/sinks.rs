//! Where events go: the section `[sinks]`.

use std::collections::BTreeMap;

use crate::settings::SinkKind;
use crate::settings::SinkSettings;
use crate::settings::reader::Reader;
use crate::settings::reader::not_among;
use crate::settings::services::http_url;
use crate::sink::signature::Signer;
use crate::watch::subscription::EventFilter;
use crate::watch::subscription::Filter;

/// Where events go, by name.
pub(super) fn sinks(root: &Reader<'_>) -> BTreeMap<String, SinkSettings> {
    let known = root.names("services");
    let mut sinks = BTreeMap::new();
    for (name, section) in root.sections("sinks") {
        let kind = match section.choice("kind", &[("log", true), ("webhook", false)]) {
            Some(true) => Some(SinkKind::Log),
            Some(false) => webhook(&section),
            None => continue,
        };
        let filter = filter(&section, &known);
        section.finish();
        sinks.extend(kind.map(|kind| (name, SinkSettings { kind, filter })));
    }
    sinks
}

fn webhook(section: &Reader<'_>) -> Option<SinkKind> {
    let url = section.expanded("url").and_then(|text| {
        http_url(&text)
            .inspect_err(|message| section.problem("url", message))
            .ok()
    });
    if !section.has("url") {
        section.required_text("url");
    }
    let secrets: Vec<_> = [section.secret("secret"), section.secret("old_secret")]
        .into_iter()
        .flatten()
        .collect();
    let signer = Signer::new(&secrets)
        .inspect_err(|message| section.problem("secret_file", message))
        .ok()?;
    Some(SinkKind::Webhook {
        url: url?,
        signer: (!secrets.is_empty()).then_some(signer),
    })
}

fn filter(section: &Reader<'_>, services: &[String]) -> Filter {
    let mut events = Vec::new();
    for word in section.list("events") {
        match EventFilter::parse(&word) {
            Some(filter) => events.push(filter),
            None => section.problem("events", not_among(&word, EventFilter::words())),
        }
    }
    let wanted = section.list("services");
    for name in wanted.iter().filter(|name| !services.contains(name)) {
        let names = services.iter().map(String::as_str);
        section.problem("services", not_among(name, names));
    }
    Filter {
        events,
        services: wanted,
        labels: section.texts("labels"),
    }
}
