//! How events are posted: the settings of a webhook, and those of the callbacks of watches.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use reqwest::Url;

use crate::outbound::egress::Hosts;
use crate::outbound::secret::Secret;
use crate::outbound::{egress, names_this_machine};
use crate::settings::reader::Reader;
use crate::settings::sinks::events;
use crate::settings::url::http_url;
use crate::settings::{CallbackSettings, SinkKind};
use crate::sink::body_format::BodyFormat;
use crate::sink::post::DeliveryOptions;
use crate::sink::signature::Signer;
use crate::sink::template::Template;
use crate::sink::tls::Tls;
use crate::watch::event::{Event, EventKind, Instance};
use crate::watch::observation::{Job, JobState};
use crate::watch::subscription::Filter;
use crate::watch::{Outcome, State, Watch, WatchId};

/// Headers that the request itself needs; and what begins so tells of the event.
const OWN_HEADERS: [&str; 6] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
];
const OWN_PREFIXES: [&str; 2] = ["webhook-", "ce-"];

pub(super) fn webhook(section: &Reader<'_>) -> Option<SinkKind> {
    let url = url(section);
    let keys = keys(section, ["secret", "old_secret"]);
    let headers = headers(section);
    let values = section.secret_files("value_files");
    let body_format = body_format(section, &values);
    let tls = tls(section, url.as_ref());
    let only_public = section.flag("deny_private");
    if let Some(url) = url.as_ref().filter(|_| only_public)
        && let Err(reason) = egress::check_literal(url)
    {
        section.report("url", format!("{reason}, and deny_private is set"));
    }
    let options = DeliveryOptions {
        format: body_format?,
        keys,
        headers,
        values,
        tls,
        only_public,
    };
    Some(SinkKind::Webhook {
        url: url?,
        options: Box::new(options),
    })
}

fn url(section: &Reader<'_>) -> Option<Url> {
    if !section.has("url") {
        section.required_text("url");
        return None;
    }
    let text = section.expanded("url")?;
    let url = http_url(&text)
        .inspect_err(|message| section.report("url", message))
        .ok()?;
    if url.scheme() == "http" && !names_this_machine(&url) {
        section.warn("url", "events are sent unencrypted; use https://");
    }
    Some(url)
}

/// What signs, in this order; each is checked alone, so that the message names its file.
fn keys<const N: usize>(section: &Reader<'_>, names: [&str; N]) -> Vec<Secret> {
    let mut keys = Vec::new();
    for name in names {
        let Some(secret) = section.secret_source(name) else {
            continue;
        };
        let read = secret.read().map_err(|error| error.to_string());
        if let Err(message) = read.and_then(|text| Signer::new(&[text]).map(drop)) {
            section.report(&format!("{name}_file"), message);
        }
        keys.push(secret);
    }
    keys
}

fn headers(section: &Reader<'_>) -> Vec<(HeaderName, Secret)> {
    let key = "header_files";
    let mut headers = Vec::new();
    for (name, secret) in section.secret_files(key) {
        let Ok(header) = HeaderName::try_from(name.as_str()) else {
            section.report(key, format!("`{name}` is no name of a header"));
            continue;
        };
        let is_own = OWN_HEADERS.contains(&header.as_str())
            || OWN_PREFIXES
                .iter()
                .any(|begin| header.as_str().starts_with(begin));
        if is_own {
            section.report(key, format!("`{header}` is set by jobwatch itself"));
        }
        headers.push((header, secret));
    }
    headers
}

fn body_format(section: &Reader<'_>, values: &BTreeMap<String, Secret>) -> Option<BodyFormat> {
    let content_type = section.text("content_type");
    let modes = [
        ("structured", BodyFormat::Structured),
        ("binary", BodyFormat::Binary),
    ];
    let mode = section.ask("mode").is_some().then(|| {
        let names = modes.each_ref().map(|(name, _)| (*name, *name));
        section.choice("mode", &names)
    });
    let file = section.file("template_file");
    if !section.has("template_file") {
        for key in ["content_type", "value_files"] {
            if section.has(key) {
                section.report(key, "has no use without a template_file");
            }
        }
        let name = mode.map_or(Some("structured"), |chosen| chosen)?;
        let [structured, binary] = modes.map(|(_, body_format)| body_format);
        return Some(if name == "binary" { binary } else { structured });
    }
    if section.has("mode") {
        section.report("mode", "has no use beside template_file, which is the form");
    }
    let content_type = content_type.unwrap_or_else(|| "application/json".to_owned());
    let Ok(header) = HeaderValue::from_str(&content_type) else {
        section.report("content_type", "cannot stand in a header");
        return None;
    };
    let template = Template::read(&file?, &content_type)
        .inspect_err(|message| section.report("template_file", message))
        .ok()?;
    rehearse(section, &template, values);
    Some(BodyFormat::Template {
        template,
        content_type: header,
    })
}

/// A template that fails for one of these events will probably fail for real ones: what
/// every event has may be absent, and where it is a text, quotes around it are too many.
fn rehearse(section: &Reader<'_>, template: &Template, values: &BTreeMap<String, Secret>) {
    let read = |(name, secret): (&String, &Secret)| Some((name.clone(), secret.read().ok()?));
    let values = values.iter().filter_map(read).collect();
    let samples = [
        ("a plain `job.failed` event", None),
        ("a `job.failed` event with a reason", Some(whole_job())),
    ];
    for (what, job) in samples {
        let event = sample(job).body;
        let event = serde_json::from_str(&event).expect("an event is a JSON object");
        if let Err(message) = template.render(&event, &values) {
            section.warn("template_file", format!("fails for {what}: {message}"));
            return;
        }
    }
}

/// A job of which everything is known.
fn whole_job() -> Job {
    let said = || Some("sample".to_owned());
    let at = Timestamp::UNIX_EPOCH;
    Job {
        state: JobState::Failed,
        job_type: said(),
        status: said(),
        code: said(),
        reason: said(),
        began_at: Some(at),
        ended_at: Some(at),
        progress: said(),
        resources: None,
        children: Vec::new(),
    }
}

/// An event of a failed job.
fn sample(job: Option<Job>) -> Event {
    let at = Timestamp::UNIX_EPOCH;
    let outcome = Outcome::Failed;
    let watch = Watch {
        id: WatchId::new(at, [0; 10]),
        service: "sample".to_owned(),
        definition: "sample".to_owned(),
        job_id: "sample".to_owned(),
        params: BTreeMap::new(),
        labels: BTreeMap::new(),
        sinks: Vec::new(),
        callback_url: None,
        submitted_at: at,
        deadline: at,
        state: State::Final(outcome),
        job,
        finished_at: Some(at),
        polls: 1,
        problems: 0,
        last_problem: None,
        unknown_status: None,
        revision: 1,
    };
    let instance = Instance("sample".to_owned());
    Event::of(&watch, EventKind::Finished(outcome), &instance, at)
}

fn tls(section: &Reader<'_>, url: Option<&Url>) -> Tls {
    let ca = section.file("ca_file");
    let certificate = section.file("client_cert_file");
    let key = section.secret_file("client_key_file");
    for (one, other) in [
        ("client_cert_file", "client_key_file"),
        ("client_key_file", "client_cert_file"),
    ] {
        if section.has(one) && !section.has(other) {
            section.report(one, format!("needs {other} beside it"));
        }
    }
    let tls = Tls {
        ca,
        client: certificate.zip(key),
    };
    let place = if tls.client.is_some() {
        "client_cert_file"
    } else {
        "ca_file"
    };
    if tls.is_empty() {
        return tls;
    }
    if url.is_some_and(|url| url.scheme() == "http") {
        section.report(place, "has no use with an http:// URL");
    }
    if let Err(message) = tls.check() {
        section.report(place, message);
    }
    tls
}

/// What is allowed of the `callback_url` of watches; `None` when nothing is.
pub(super) fn callback(api: &Reader<'_>) -> Option<CallbackSettings> {
    let listed = api.list("allow_callback_hosts");
    let keys = keys(api, ["callback_secret", "old_callback_secret"]);
    let events = events(api, "callback_events");
    let hosts = Hosts::parse(&listed)
        .inspect_err(|message| api.report("allow_callback_hosts", message))
        .ok()?;
    if listed.is_empty() {
        return None;
    }
    if keys.is_empty() {
        api.warn(
            "allow_callback_hosts",
            "callbacks are not signed; set callback_secret_file, so that receivers know who calls",
        );
    }
    Some(CallbackSettings {
        hosts,
        options: DeliveryOptions {
            keys,
            only_public: true,
            ..DeliveryOptions::plain()
        },
        filter: Filter {
            events,
            ..Filter::default()
        },
    })
}
