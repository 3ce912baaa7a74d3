//! A service as configured: its own section `[services.NAME]`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::credential::configured::CredentialSettings;
use crate::definition::catalog::Catalog;
use crate::definition::{Definition, NotFoundMeans};
use crate::outbound::is_local;
use crate::outbound::proxy::Route;
use crate::schedule::budget::Limits;
use crate::service::reach::AllowedHosts;
use crate::service::{Base, StageSettings, endpoint};
use crate::timing::{PollSettings, Timing};
use crate::tree::reader::{Reader, not_among};
use crate::watch::request::check_param;
use crate::watch::{Expect, Params};

/// The least and the most polls per second that a service may be set to.
const RATES: std::ops::RangeInclusive<f64> = 0.01..=100_000.0;
/// The limits of a service that sets none: gentle, and enough for hundreds of watches at
/// the usual intervals. Its rate starts at this burst and finds its own.
const BURST: u32 = 5;
const CONCURRENCY: u32 = 8;

/// The sizes that a limit of answers may have, in bytes.
pub(crate) const MAX_BODIES: std::ops::RangeInclusive<u64> = 1024..=64 * 1024 * 1024;
/// The time for which an end must hold where a job id names a resource: such an end may be that
/// of an earlier run.
const SETTLE_OF_RESOURCES: Duration = Duration::from_secs(30);

/// The settings of one section `[services.NAME]`.
#[derive(Debug, Clone)]
pub struct ServiceSettings {
    /// The requests and answers of its API.
    pub definition: Arc<Definition>,
    pub base: Base,
    pub credential: String,
    /// The proxies that its polls use.
    pub route: Route,
    /// Values for the definition's placeholders.
    pub params: Params,
    /// The most requests that it may get.
    pub limits: Limits,
    /// The times of polls, and the limits for their requests.
    pub timing: Timing,
    /// The jobs that may take over, by the name of their definition.
    pub stages: BTreeMap<String, StageSettings>,
    /// The end that its watches are about, unless they say so themselves.
    pub expect: Option<Expect>,
    /// The hosts beside its own to which an answer may send the next poll.
    pub allow_hosts: AllowedHosts,
    /// The largest body that is read to its end, in bytes.
    pub max_body: usize,
}

/// The parts of the configuration that a service builds on; an absent part was reported
/// where it stands.
pub(crate) struct Foundation<'a> {
    pub(crate) definition: Option<Arc<Definition>>,
    /// The name and the settings of its credential.
    pub(crate) credential: Option<(String, &'a CredentialSettings)>,
    /// The defaults for services that set no times of their own.
    pub(crate) poll: PollSettings,
    /// The largest body that is read, unless the service or its definition says so.
    pub(crate) max_body: Option<usize>,
    /// All definitions, for the jobs that take over.
    pub(crate) catalog: &'a Catalog,
}

/// Reads the keys of a service, but for the names in `foundation`.
pub(crate) fn read(section: &Reader<'_>, foundation: Foundation<'_>) -> Option<ServiceSettings> {
    let Foundation {
        definition,
        credential,
        poll: global,
        max_body,
        catalog,
    } = foundation;
    let own_credential = credential.as_ref().map(|(_, settings)| *settings);
    let base = endpoint::base(section, definition.as_deref(), own_credential);
    let route = route(section, base.as_ref());
    let params = section.texts("params");
    let limits = limits(section);
    let expect = expect(section);
    let allow_hosts = allow_hosts(section);
    let own_max_body = section.size("max_body", MAX_BODIES);
    let poll_section = section.section("poll");
    let own = PollSettings::read(&poll_section);
    poll_section.finish();
    section.finish();
    let definition = definition?;
    let others = stages(section, &definition, catalog);
    check_params(section, &params, &definition, &others);
    let poll = with_defaults(&definition, own, global, expect);
    let is_too_long = |initial| poll.max.is_some_and(|max| initial > max);
    if poll.initial.is_some_and(is_too_long) && !poll_section.has_error("") {
        section.report("poll", "initial is longer than max");
    }
    let own_max_body = own_max_body.and_then(|size| usize::try_from(size).ok());
    let max_body =
        |definition: &Definition| own_max_body.or(definition.answer.max_body).or(max_body);
    let stages = others.into_iter().map(|definition| {
        let stage = StageSettings {
            timing: with_defaults(&definition, own, global, expect).complete()?,
            max_body: max_body(&definition)?,
            definition,
        };
        Some((stage.definition.name.clone(), stage))
    });
    Some(ServiceSettings {
        base: base?,
        credential: credential?.0,
        route: route?,
        params,
        limits: limits?,
        timing: poll.complete()?,
        stages: stages.collect::<Option<_>>()?,
        expect,
        allow_hosts: allow_hosts?,
        max_body: max_body(&definition)?,
        definition,
    })
}

/// Reads the key `expect` of a service or of a watch.
pub(crate) fn expect(section: &Reader<'_>) -> Option<Expect> {
    let is_set = section.has("expect");
    is_set.then(|| section.choice("expect", &[("gone", Expect::Gone)]))?
}

fn allow_hosts(section: &Reader<'_>) -> Option<AllowedHosts> {
    let hosts = AllowedHosts::new(&section.list("allow_hosts"));
    hosts
        .map_err(|message| section.report("allow_hosts", message))
        .ok()
}

/// Returns the definitions of the jobs that may take over from those of `first`, and from each
/// other. Without `[next] definition` that is the same one.
fn stages(
    section: &Reader<'_>,
    first: &Arc<Definition>,
    catalog: &Catalog,
) -> Vec<Arc<Definition>> {
    let mut found: Vec<Arc<Definition>> = Vec::new();
    let mut last = Arc::clone(first);
    while last.next.hands_over() {
        let name = last.next.definition.as_deref().unwrap_or(&last.name);
        if found.iter().any(|known| known.name == *name) {
            break;
        }
        let next = if name == first.name {
            Some(Arc::clone(first))
        } else {
            catalog.get(name).cloned()
        };
        let Some(next) = next else {
            if !catalog.is_wrong(name) {
                section.report(
                    "definition",
                    format!(
                        "`[next] definition` of `{}`: {}",
                        last.name,
                        not_among(name, catalog.names())
                    ),
                );
            }
            break;
        };
        found.push(Arc::clone(&next));
        last = next;
    }
    found
}

/// Reads `proxy`; without it, the proxies of the environment are used.
fn route(section: &Reader<'_>, base: Option<&Base>) -> Option<Route> {
    if !section.has("proxy") {
        section.ask("proxy");
        return Some(Route::Environment);
    }
    let read = Route::read(&section.expanded("proxy")?);
    let route = read
        .inspect_err(|message| section.report("proxy", message))
        .ok()?;
    if let Route::Proxy(proxy) = &route {
        if proxy.has_password() && section.is_written_openly("proxy") {
            section.warn("proxy", "a password stands in a file that every user can read; use `${VARIABLE}` in its place");
        }
        let is_near = matches!(base, Some(Base::Url(url)) if is_local(url.as_str()));
        if is_near && !proxy.is_local() {
            section.warn("proxy", "the `url` names this machine, but the proxy will look for it on its own machine; use `proxy = \"none\"` to ask it directly");
        }
    }
    Some(route)
}

/// Returns the poll settings of a service: its own, then those of the definition, then `global`
/// ones. The defaults of the last three settings depend on the definition.
pub(crate) fn with_defaults(
    definition: &Definition,
    own: PollSettings,
    global: PollSettings,
    expect: Option<Expect>,
) -> PollSettings {
    let nearer = own.over(definition.poll);
    let is_deletion =
        expect == Some(Expect::Gone) || definition.not_found_means == NotFoundMeans::Succeeded;
    // A deletion is not held up.
    let gone_after = nearer
        .gone_after
        .or_else(|| is_deletion.then_some(Duration::ZERO));
    let settle = if definition.names_operations() {
        Duration::ZERO
    } else {
        SETTLE_OF_RESOURCES
    };
    let merged = PollSettings {
        gone_after,
        ..nearer
    }
    .over(global);
    PollSettings {
        settle: merged.settle.or(Some(settle)),
        confirm: merged.confirm.or(Some(1)),
        ..merged
    }
}

fn check_params(
    section: &Reader<'_>,
    params: &Params,
    definition: &Definition,
    others: &[Arc<Definition>],
) {
    let mut known: Vec<&str> = definition.params.iter().map(String::as_str).collect();
    known.extend(others.iter().flat_map(|it| &it.params).map(String::as_str));
    for name in params.keys().filter(|name| !known.contains(&name.as_str())) {
        section.report("params", not_among(name, known.iter().copied()));
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
