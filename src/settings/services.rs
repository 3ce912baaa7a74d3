//! What can be watched: the section `[services]`.

use std::collections::BTreeMap;

use crate::definition::catalog::Catalog;
use crate::schedule::budget::Limits;
use crate::settings::credentials::NO_CREDENTIAL;
use crate::settings::{CredentialSettings, ServiceSettings, endpoint};
use crate::timing::PollSettings;
use crate::tree::reader::{Reader, not_among};
use crate::watch::request::check_param;

/// Everything that can be watched, by name.
pub(super) fn services(
    root: &Reader<'_>,
    catalog: &Catalog,
    credentials: &BTreeMap<String, CredentialSettings>,
    poll_defaults: PollSettings,
) -> BTreeMap<String, ServiceSettings> {
    let known = Known {
        names: [root.names("credentials"), vec![NO_CREDENTIAL.to_owned()]].concat(),
        credentials,
    };
    let mut services = BTreeMap::new();
    for (name, section) in root.sections("services") {
        if let Some(service) = service(&section, catalog, &known, poll_defaults) {
            services.insert(name, service);
        }
    }
    services
}

/// The credentials there are.
struct Known<'a> {
    /// Also of those that are wrong in themselves: one mistake is told once.
    names: Vec<String>,
    credentials: &'a BTreeMap<String, CredentialSettings>,
}

fn service(
    section: &Reader<'_>,
    catalog: &Catalog,
    credentials: &Known<'_>,
    poll_defaults: PollSettings,
) -> Option<ServiceSettings> {
    let definition = section.required_text("definition").and_then(|name| {
        let found = catalog.get(&name).cloned();
        if found.is_none() {
            section.report("definition", not_among(&name, catalog.names()));
        }
        found
    });
    let credential = section.required_text("credential").filter(|name| {
        let is_known = credentials.names.contains(name);
        if !is_known {
            let names = credentials.names.iter().map(String::as_str);
            section.report("credential", not_among(name, names));
        }
        is_known
    });
    let own = credential
        .as_ref()
        .and_then(|name| credentials.credentials.get(name));
    let base = endpoint::base(section, definition.as_deref(), own);
    let params = section.texts("params");
    let limits = limits(section);
    let own = section.section("poll");
    let own_poll = PollSettings::read(&own);
    own.finish();
    section.finish();
    let definition = definition?;
    for name in params
        .keys()
        .filter(|name| !definition.params.contains(name))
    {
        let names = definition.params.iter().map(String::as_str);
        section.report("params", not_among(name, names));
    }
    for (name, value) in &params {
        if let Err(allowed) = check_param(value) {
            section.report("params", format!("`{name}` {allowed}"));
        }
    }
    let poll = own_poll.over(definition.poll.over(poll_defaults));
    if poll.initial > poll.max {
        section.report("poll", "initial is longer than max");
    }
    Some(ServiceSettings {
        definition,
        base: base?,
        credential: credential?,
        params,
        limits: limits?,
        timing: poll.complete()?,
    })
}

/// What a service may be asked when nothing is said: gentle, and enough for hundreds of
/// watches at the usual intervals.
const RATE: f64 = 5.0;
const CONCURRENCY: u32 = 8;

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the rate was checked to be a small positive number"
)]
fn limits(section: &Reader<'_>) -> Option<Limits> {
    let set = |key: &str| section.has(key);
    let rate = section.number("rate", 0.01..=100_000.0);
    let burst = section.whole("burst", 1..=1_000_000);
    let concurrency = section.whole("concurrency", 1..=10_000);
    let rate = if set("rate") { rate? } else { RATE };
    Some(Limits {
        rate,
        burst: if set("burst") {
            burst?
        } else {
            (rate.ceil() as u32).max(1)
        },
        concurrency: if set("concurrency") {
            concurrency?
        } else {
            CONCURRENCY
        },
    })
}
