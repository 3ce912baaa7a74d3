//! A service as configured: its own section `[services.NAME]`.

use std::sync::Arc;
use std::time::Duration;

use crate::credential::configured::CredentialSettings;
use crate::definition::{Definition, NotFoundMeans};
use crate::schedule::budget::Limits;
use crate::service::{Base, endpoint};
use crate::timing::{PollSettings, Timing};
use crate::tree::reader::{Reader, not_among};
use crate::watch::Params;
use crate::watch::request::check_param;

/// The least and the most polls per second that a service may be set to.
const RATES: std::ops::RangeInclusive<f64> = 0.01..=100_000.0;
/// The limits of a service that sets none: gentle, and enough for hundreds of watches at
/// the usual intervals. Its rate starts at this burst and finds its own.
const BURST: u32 = 5;
const CONCURRENCY: u32 = 8;

/// The settings of one section `[services.NAME]`.
#[derive(Debug, Clone)]
pub struct ServiceSettings {
    /// The requests and answers of its API.
    pub definition: Arc<Definition>,
    pub base: Base,
    pub credential: String,
    /// Values for the definition's placeholders.
    pub params: Params,
    /// The most requests that it may get.
    pub limits: Limits,
    /// The times of polls, and the limits for their requests.
    pub timing: Timing,
}

/// The parts of the configuration that a service builds on; an absent part was reported
/// where it stands.
pub(crate) struct Foundation<'a> {
    pub(crate) definition: Option<Arc<Definition>>,
    /// The name and the settings of its credential.
    pub(crate) credential: Option<(String, &'a CredentialSettings)>,
    /// The defaults for services that set no times of their own.
    pub(crate) poll: PollSettings,
}

/// Reads the keys of a service, but for the names in `foundation`.
pub(crate) fn read(section: &Reader<'_>, foundation: Foundation<'_>) -> Option<ServiceSettings> {
    let Foundation {
        definition,
        credential,
        poll,
    } = foundation;
    let own = credential.as_ref().map(|(_, settings)| *settings);
    let base = endpoint::base(section, definition.as_deref(), own);
    let params = section.texts("params");
    let limits = limits(section);
    let poll_section = section.section("poll");
    let own_poll = PollSettings::read(&poll_section);
    poll_section.finish();
    section.finish();
    let definition = definition?;
    check_params(section, &params, &definition);
    let poll = with_defaults(&definition, own_poll, poll);
    let is_too_long = |initial| poll.max.is_some_and(|max| initial > max);
    if poll.initial.is_some_and(is_too_long) && !poll_section.has_error("") {
        section.report("poll", "initial is longer than max");
    }
    Some(ServiceSettings {
        definition,
        base: base?,
        credential: credential?.0,
        params,
        limits: limits?,
        timing: poll.complete()?,
    })
}

/// Returns the poll settings of a service: its own, then those of the definition, then `global`
/// ones. The defaults of the last three settings depend on the definition.
fn with_defaults(definition: &Definition, own: PollSettings, global: PollSettings) -> PollSettings {
    let nearer = own.over(definition.poll);
    let gone_after = match definition.not_found_means {
        // A deletion is not held up.
        NotFoundMeans::Succeeded => nearer.gone_after.or(Some(Duration::ZERO)),
        NotFoundMeans::Lost => nearer.gone_after,
    };
    let merged = PollSettings {
        gone_after,
        ..nearer
    }
    .over(global);
    PollSettings {
        settle: merged.settle.or(Some(Duration::ZERO)),
        confirm: merged.confirm.or(Some(1)),
        ..merged
    }
}

fn check_params(section: &Reader<'_>, params: &Params, definition: &Definition) {
    let is_unknown = |name: &&String| !definition.params.contains(name);
    for name in params.keys().filter(is_unknown) {
        let names = definition.params.iter().map(String::as_str);
        section.report("params", not_among(name, names));
    }
    for (name, value) in params {
        if let Err(allowed) = check_param(value) {
            section.report("params", format!("`{name}` {allowed}"));
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the rate was checked to be a small positive number"
)]
fn limits(section: &Reader<'_>) -> Option<Limits> {
    let set = |key: &str| section.has(key);
    let rate = section.number("rate", RATES);
    let burst = section.whole("burst", 1..=1_000_000);
    let concurrency = section.whole("concurrency", 1..=10_000);
    let rate = if set("rate") { Some(rate?) } else { None };
    Some(Limits {
        rate,
        burst: if set("burst") {
            burst?
        } else {
            rate.map_or(BURST, |rate| (rate.ceil() as u32).max(1))
        },
        concurrency: if set("concurrency") {
            concurrency?
        } else {
            CONCURRENCY
        },
    })
}
