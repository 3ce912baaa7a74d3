//! Posts events to one configured URL, signed according to Standard Webhooks.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use reqwest::Url;

use crate::outbound::secret::Secret;
use crate::outbound::url::http_url;
use crate::outbound::{NO_TLS, egress, names_this_machine};
use crate::sink::body_format::BodyFormat;
use crate::sink::post::{DeliveryOptions, Sender};
use crate::sink::rehearsal::rehearse;
use crate::sink::signature::keys;
use crate::sink::template::Template;
use crate::sink::tls::Tls;
use crate::sink::{Attempt, ConfiguredSink, SharedSink, Sink};
use crate::telemetry::LogOutput;
use crate::tree::reader::Reader;
use crate::watch::delivery::Delivery;

/// The word for this kind in the configuration.
pub(super) const KIND: &str = "webhook";
/// The headers that the request itself sets, and the prefixes of those that describe the event.
const OWN_HEADERS: [&str; 6] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
];
const OWN_PREFIXES: [&str; 2] = ["webhook-", "ce-"];
/// The number of attempts that one receiver gets at once.
const CONCURRENCY: usize = 8;

struct WebhookSettings {
    url: Url,
    options: DeliveryOptions,
}

/// Posts events to one URL.
pub struct Webhook {
    url: Url,
    sender: Sender,
}

impl Webhook {
    /// Makes a sink that posts to `url`.
    ///
    /// # Errors
    /// A file cannot be used, or TLS cannot be set up.
    pub fn new(url: Url, options: &DeliveryOptions) -> Result<Self, String> {
        let sender = Sender::new(options)?;
        Ok(Self { url, sender })
    }
}

#[async_trait]
impl Sink for Webhook {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    async fn deliver(&self, delivery: &Delivery, now: Timestamp) -> Attempt {
        self.sender.post(&self.url, delivery, now).await
    }
}

#[async_trait]
impl ConfiguredSink for WebhookSettings {
    /// Shows only the origin of the URL, because the path of a webhook is often its secret.
    fn target(&self) -> String {
        let origin = self.url.origin().ascii_serialization();
        format!("{origin} ({})", self.options.in_words())
    }

    async fn reach(&self) -> Result<(), String> {
        let reached = self.options.reach(&self.url).await;
        reached.map_err(|reason| format!("{reason}; check its `url`, the network and certificates"))
    }

    fn set_up(&self, _log: &LogOutput) -> Result<SharedSink, String> {
        let webhook = Webhook::new(self.url.clone(), &self.options);
        let webhook = webhook.map_err(|reason| format!("{NO_TLS}: {reason}"))?;
        Ok(Arc::new(webhook))
    }
}

/// Reads the settings of a webhook.
pub(super) fn read(section: &Reader<'_>) -> Option<Box<dyn ConfiguredSink>> {
    let url = url(section);
    let keys = keys(section, ["secret", "old_secret"]);
    let headers = headers(section);
    let values = section.secret_files("value_files");
    let format = body_format(section, &values);
    let tls = tls(section, url.as_ref());
    let only_public = section.flag("deny_private");
    if let Some(url) = url.as_ref().filter(|_| only_public)
        && let Err(reason) = egress::check_literal(url)
    {
        section.report("url", format!("{reason}, and deny_private is set"));
    }
    let options = DeliveryOptions {
        format: format?,
        keys,
        headers,
        values,
        tls,
        only_public,
    };
    Some(Box::new(WebhookSettings { url: url?, options }))
}

fn url(section: &Reader<'_>) -> Option<Url> {
    if !section.has("url") {
        section.required_text("url");
        return None;
    }
    // The URL of a receiver may itself be a secret.
    section.hide_path("url");
    let text = section.expanded("url")?;
    let url = http_url(&text)
        .inspect_err(|message| section.report("url", message))
        .ok()?;
    if url.scheme() == "http" && !names_this_machine(&url) {
        section.warn("url", "events are sent unencrypted; use https://");
    }
    Some(url)
}

fn headers(section: &Reader<'_>) -> Vec<(HeaderName, Secret)> {
    let key = "header_files";
    let mut headers = Vec::new();
    for (name, secret) in section.secret_files(key) {
        let Ok(header) = HeaderName::try_from(name.as_str()) else {
            section.report(key, format!("invalid header name `{name}`"));
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
                section.report(key, "has no effect without a template_file");
            }
        }
        let name = mode.map_or(Some("structured"), |chosen| chosen)?;
        let [structured, binary] = modes.map(|(_, body_format)| body_format);
        return Some(if name == "binary" { binary } else { structured });
    }
    if section.has("mode") {
        section.report(
            "mode",
            "has no effect beside template_file, which defines the body",
        );
    }
    let content_type = content_type.unwrap_or_else(|| "application/json".to_owned());
    let Ok(header) = HeaderValue::from_str(&content_type) else {
        section.report("content_type", "is not a valid header value");
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
        section.report(place, "has no effect with an http:// URL");
    }
    if let Err(message) = tls.check() {
        section.report(place, message);
    }
    tls
}
