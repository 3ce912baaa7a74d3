//! The section `[sinks]`, and the rules between sinks and services.

use std::collections::BTreeMap;
use std::path::Path;

use crate::sink::{SinkSettings, kinds};
use crate::tree::reader::{Reader, not_among};
use crate::watch::subscription::CALLBACK;

/// Reads all sinks, by name.
pub(super) fn sinks(root: &Reader<'_>) -> BTreeMap<String, SinkSettings> {
    let services = root.names("services");
    let mut sinks = BTreeMap::new();
    for (name, section) in root.sections("sinks") {
        if name == CALLBACK {
            let message = "is the sink of the `callback_url` of watches; choose another name";
            section.report("", message);
        }
        let Some(sink) = kinds::read(&section) else {
            continue;
        };
        check_services(&section, &sink.filter.services, &services);
        sinks.insert(name, sink);
    }
    check_files(root, &sinks);
    sinks
}

fn check_services(section: &Reader<'_>, wanted: &[String], services: &[String]) {
    for name in wanted.iter().filter(|name| !services.contains(name)) {
        let names = services.iter().map(String::as_str);
        let message = if services.is_empty() {
            format!("unknown service `{name}`; none is configured")
        } else {
            not_among(name, names)
        };
        section.report("services", message);
    }
}

/// Checks that two sinks do not write, and rotate, the same file.
fn check_files(root: &Reader<'_>, sinks: &BTreeMap<String, SinkSettings>) {
    let mut writers: BTreeMap<&Path, &str> = BTreeMap::new();
    for (name, sink) in sinks {
        let Some(file) = sink.sink.own_file() else {
            continue;
        };
        if let Some(other) = writers.insert(file, name) {
            let message = format!("writes the same file as the sink `{other}`");
            root.section("sinks").report(name, message);
        }
    }
}
