//! Which settings there are, and what each allows.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::credential::token::read_token;
use crate::definition::PollOverrides;
use crate::definition::catalog::Catalog;
use crate::intake::WatchRequest;
use crate::intake::check_param;
use crate::intake::check_request;
use crate::schedule::budget::Limits;
use crate::service::transport::is_local;
use crate::settings::ApiSettings;
use crate::settings::CredentialSettings;
use crate::settings::LogFormat;
use crate::settings::LogSettings;
use crate::settings::ServiceSettings;
use crate::settings::Settings;
use crate::settings::SinkKind;
use crate::settings::SinkSettings;
use crate::settings::problem::Problem;
use crate::settings::reader::Context;
use crate::settings::reader::Reader;
use crate::settings::reader::not_among;
use crate::settings::source::Layered;
use crate::sink::signature::Signer;
use crate::watch::subscription::EventFilter;
use crate::watch::subscription::Filter;

/// The name that a service gives for no credential at all.
const NO_CREDENTIAL: &str = "none";
const MILLISECOND: Duration = Duration::from_millis(1);

/// Reads all settings. The settings are there unless something essential is wrong, and
/// then the problems say so.
pub(super) fn read(layered: &Layered) -> (Option<Settings>, Vec<Problem>) {
    let context = Context::new(layered);
    let settings = read_in(&context);
    (settings, context.into_notes())
}

pub(super) fn read_in(context: &Context<'_>) -> Option<Settings> {
    let root = &context.root();
    let catalog = catalog(root);
    let poll_section = root.section("poll");
    let poll = poll(&poll_section);
    let max_body = poll_section.whole("max_body", 1024..=64 * 1024 * 1024);
    poll_section.finish();
    let credentials = credentials(root);
    let services = services(root, &catalog, poll);
    let sinks = sinks(root);
    let (instance, stop_timeout) = (instance(root), root.duration("stop_timeout", MILLISECOND));
    let (log, store, api) = (log(root), store(root), api(root));
    let watches = watches(root);
    root.finish();
    Some(Settings {
        instance: instance?,
        stop_timeout: stop_timeout?,
        log: log?,
        store: store?,
        api: api?,
        max_body: max_body? as usize,
        credentials,
        services,
        sinks,
        watches,
        catalog,
    })
}

fn instance(root: &Reader<'_>) -> Option<String> {
    let name = root.required_text("instance")?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) {
        root.problem(
            "instance",
            format!("\"{name}\" must have 1 to 64 letters, digits, `.`, `_` or `-`"),
        );
        return None;
    }
    Some(name)
}

fn catalog(root: &Reader<'_>) -> Catalog {
    let mut catalog = Catalog::built_in();
    if let Some(folder) = root.expanded("services_dir") {
        for error in catalog.add_folder(&PathBuf::from(folder)) {
            root.problem("services_dir", error);
        }
    }
    catalog
}

fn log(root: &Reader<'_>) -> Option<LogSettings> {
    let section = root.section("log");
    let formats = [
        ("auto", LogFormat::Auto),
        ("human", LogFormat::Human),
        ("json", LogFormat::Json),
    ];
    let format = section.choice("format", &formats);
    let filter = section.required_text("filter").filter(|filter| {
        let parsed = tracing_subscriber::EnvFilter::try_new(filter);
        if let Err(error) = &parsed {
            section.problem("filter", format!("\"{filter}\" cannot be used: {error}"));
        }
        parsed.is_ok()
    });
    section.finish();
    Some(LogSettings {
        format: format?,
        filter: filter?,
    })
}

fn store(root: &Reader<'_>) -> Option<PathBuf> {
    let section = root.section("store");
    let url = section.expanded("url");
    section.finish();
    let url = url?;
    match url.strip_prefix("sqlite://") {
        Some(path) if !path.is_empty() && !path.starts_with(':') => Some(PathBuf::from(path)),
        _ => {
            // Not shown: other kinds of URL carry a password.
            section.problem(
                "url",
                "must be sqlite:// and a path, as sqlite:///var/lib/jobwatch/jobwatch.db",
            );
            None
        }
    }
}

fn api(root: &Reader<'_>) -> Option<ApiSettings> {
    let section = root.section("api");
    let listen = section.required_text("listen").and_then(|text| {
        let parsed: Option<SocketAddr> = text.parse().ok();
        if parsed.is_none() {
            section.problem(
                "listen",
                format!(
                    "\"{text}\" must be an address and a port, as 127.0.0.1:8620 or [::1]:8620"
                ),
            );
        }
        parsed
    });
    let read_token = section.secret("read_token");
    let write_token = section.secret("write_token");
    let connections = section.whole("connections", 1..=100_000);
    section.finish();
    let listen = listen?;
    if !listen.ip().is_loopback() && (read_token.is_none() || write_token.is_none()) {
        section.problem(
            "listen",
            format!("{listen} can be reached from other machines: set read_token_file and write_token_file, or listen on 127.0.0.1"),
        );
    }
    Some(ApiSettings {
        listen,
        read_token,
        write_token,
        connections: connections? as usize,
    })
}

fn poll(section: &Reader<'_>) -> PollOverrides {
    PollOverrides {
        first: section.duration("first", Duration::ZERO),
        initial: section.duration("initial", MILLISECOND),
        multiplier: section.number("multiplier", 1.0..=100.0),
        max: section.duration("max", MILLISECOND),
        jitter: section.number("jitter", 0.0..=1.0),
        deadline: section.duration("deadline", MILLISECOND),
        request_timeout: section.duration("request_timeout", MILLISECOND),
        not_found_grace: section.duration("not_found_grace", Duration::ZERO),
        give_up_after: section.duration("give_up_after", Duration::ZERO),
        max_retry_after: section.duration("max_retry_after", MILLISECOND),
    }
}

fn credentials(root: &Reader<'_>) -> BTreeMap<String, CredentialSettings> {
    let mut credentials = BTreeMap::from([(NO_CREDENTIAL.to_owned(), CredentialSettings::None)]);
    for (name, section) in root.sections("credentials") {
        if name == NO_CREDENTIAL {
            section.problem("", "the name is taken: it stands for no credential");
        }
        let credential = match section.choice("kind", &[("token", true), ("none", false)]) {
            Some(true) => section
                .required_file("token_file")
                .filter(|file| {
                    let read = read_token(file);
                    if let Err(problem) = read {
                        let file = file.display();
                        section.problem("token_file", format!("{file} {problem}"));
                    }
                    read.is_ok()
                })
                .map(|file| CredentialSettings::Token { file }),
            Some(false) => Some(CredentialSettings::None),
            None => {
                // Of an unknown kind nobody can say which keys belong to it.
                continue;
            }
        };
        section.finish();
        credentials.extend(credential.map(|credential| (name, credential)));
    }
    credentials
}

fn services(
    root: &Reader<'_>,
    catalog: &Catalog,
    poll_defaults: PollOverrides,
) -> BTreeMap<String, ServiceSettings> {
    // Also those that are wrong in themselves: one mistake is told once.
    let known = [root.names("credentials"), vec![NO_CREDENTIAL.to_owned()]].concat();
    let mut services = BTreeMap::new();
    for (name, section) in root.sections("services") {
        if let Some(service) = service(&section, catalog, &known, poll_defaults) {
            services.insert(name, service);
        }
    }
    services
}

fn service(
    section: &Reader<'_>,
    catalog: &Catalog,
    credentials: &[String],
    poll_defaults: PollOverrides,
) -> Option<ServiceSettings> {
    let definition = section.required_text("definition").and_then(|name| {
        let found = catalog.get(&name).cloned();
        if found.is_none() {
            section.problem("definition", not_among(&name, catalog.names()));
        }
        found
    });
    let credential = section.required_text("credential").filter(|name| {
        let is_known = credentials.contains(name);
        if !is_known {
            let names = credentials.iter().map(String::as_str);
            section.problem("credential", not_among(name, names));
        }
        is_known
    });
    let url = base_url(section, credential.as_deref());
    let params = section.texts("params");
    let limits = limits(section);
    let own = section.section("poll");
    let own_poll = poll(&own);
    own.finish();
    section.finish();
    let definition = definition?;
    for name in params
        .keys()
        .filter(|name| !definition.params.contains(name))
    {
        let names = definition.params.iter().map(String::as_str);
        section.problem("params", not_among(name, names));
    }
    for (name, value) in &params {
        if let Err(allowed) = check_param(value) {
            section.problem("params", format!("`{name}` {allowed}"));
        }
    }
    let poll = own_poll.over(definition.poll.over(poll_defaults));
    if poll.initial > poll.max {
        section.problem("poll", "initial is longer than max");
    }
    Some(ServiceSettings {
        definition,
        url: url?,
        credential: credential?,
        params,
        limits: limits?,
        poll,
    })
}

fn base_url(section: &Reader<'_>, credential: Option<&str>) -> Option<String> {
    let Some(text) = section.expanded("url") else {
        section.required_text("url");
        return None;
    };
    let url = match http_url(&text) {
        Ok(url) => url,
        Err(message) => {
            section.problem("url", message);
            return None;
        }
    };
    if url.query().is_some() || url.fragment().is_some() {
        section.problem(
            "url",
            "must have no `?` and no `#`: the definition has the rest of the path",
        );
        return None;
    }
    if url.scheme() == "http"
        && !is_local(&text)
        && credential.is_some_and(|name| name != NO_CREDENTIAL)
    {
        section.warn("url", "the credential is sent unencrypted; use https://");
    }
    Some(text.trim_end_matches('/').to_owned())
}

/// An absolute http or https URL without a user name.
fn http_url(text: &str) -> Result<reqwest::Url, String> {
    // The text is not shown: a URL of a webhook may be a secret in itself.
    let allowed = "must be an absolute URL, as https://dcs.eu-de.otc.t-systems.com";
    let url = reqwest::Url::parse(text).map_err(|error| format!("{allowed} ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(allowed.to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no user name or password".to_owned());
    }
    Ok(url)
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

fn sinks(root: &Reader<'_>) -> BTreeMap<String, SinkSettings> {
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

fn watches(root: &Reader<'_>) -> Vec<WatchRequest> {
    root.elements("watches")
        .iter()
        .filter_map(|section| {
            let service = section.required_text("service");
            let job_id = section.required_text("job_id");
            let request = WatchRequest {
                params: section.texts("params"),
                labels: section.texts("labels"),
                deadline: section.text("deadline"),
                sinks: section.list("sinks"),
                service: service?,
                job_id: job_id?,
            };
            section.finish();
            let known = |names: Vec<String>, key: &str, name: &str| {
                if !names.iter().any(|known| known == name) {
                    let names = names.iter().map(String::as_str);
                    section.problem(key, not_among(name, names));
                }
            };
            known(root.names("services"), "service", &request.service);
            for sink in &request.sinks {
                known(root.names("sinks"), "sinks", sink);
            }
            for fault in check_request(&request) {
                section.problem(&fault.field, fault.message);
            }
            Some(request)
        })
        .collect()
}
