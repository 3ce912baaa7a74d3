//! `jobwatch check`: validates the configuration and shows the resulting settings.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::output::{Paint, Table, complain, or_dash, say, say_json};
use crate::cli::{ConfigArgs, Exit};
use crate::clock::show_duration;
use crate::credential::NO_CREDENTIAL;
use crate::diagnostic::Diagnostic;
use crate::outbound::proxy::Route;
use crate::schedule::budget::Limits;
use crate::schedule::rate::{CEILING, START};
use crate::service::settings::ServiceSettings;
use crate::settings::{Loaded, Settings};
use crate::watch::subscription::CALLBACK;

/// Reads the configuration as `run` does, and connects to nothing.
#[derive(Args)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn execute(&self) -> Exit {
        match self.config.load() {
            Ok(loaded) if self.json => say_json(&as_json(&loaded)),
            Ok(loaded) => say(&as_text(&loaded)),
            Err(diagnostics) if self.json => {
                say_json(&json!({"valid": false, "problems": notes(&diagnostics.0)}));
                return Exit::Usage;
            }
            Err(diagnostics) => {
                complain(&diagnostics.to_string());
                return Exit::Usage;
            }
        }
        Exit::Done
    }
}

fn notes(diagnostics: &[Diagnostic]) -> Vec<Value> {
    diagnostics
        .iter()
        .map(|diagnostic| {
            json!({
                "origin": diagnostic.origin, "line": diagnostic.line,
                "key": diagnostic.key, "message": diagnostic.message,
            })
        })
        .collect()
}

fn as_json(loaded: &Loaded) -> Value {
    let settings = &loaded.settings;
    let services: serde_json::Map<String, Value> = settings
        .services
        .iter()
        .map(|(name, service)| {
            let shown = json!({
                "definition": service.definition.name, "url": service.base.to_string(), "proxy": service.route.to_string(),
                "credential": service.credential, "params": service.params,
                "rate": service.limits.rate, "burst": service.limits.burst,
                "concurrency": service.limits.concurrency,
            });
            (name.clone(), shown)
        })
        .collect();
    let credentials = settings.credentials.iter();
    let credentials: BTreeMap<&String, &str> = credentials
        .filter(|(name, _)| *name != NO_CREDENTIAL)
        .map(|(name, credential)| (name, credential.credential.kind()))
        .collect();
    json!({
        "valid": true,
        "files": loaded.files,
        "instance": settings.instance,
        "store": settings.store,
        "listen": settings.api.listen.map(|listen| listen.to_string()),
        "socket": settings.api.socket.as_ref().map(|socket| &socket.path),
        "credentials": credentials,
        "services": services,
        "sinks": settings.sinks.iter().map(|(name, sink)| (name, sink.kind)).collect::<BTreeMap<_, _>>(),
        "watches": settings.watches.len(),
        "warnings": notes(&loaded.warnings),
    })
}

fn as_text(loaded: &Loaded) -> String {
    let settings = &loaded.settings;
    let mut parts = vec![head(loaded)];
    if settings.services.is_empty() {
        parts.push("No service is configured: add [services.NAME]; `jobwatch services` lists the definitions.".to_owned());
    } else {
        parts.push(services(settings));
    }
    parts.extend(credentials(settings));
    parts.push(sinks(settings));
    for warning in &loaded.warnings {
        parts.push(format!("warning: {warning}"));
    }
    parts.push("The configuration is valid.".to_owned());
    parts.join("\n\n")
}

fn head(loaded: &Loaded) -> String {
    let settings = &loaded.settings;
    let files: Vec<String> = loaded
        .files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let files = if files.is_empty() {
        "none; only defaults and environment variables".to_owned()
    } else {
        files.join(", ")
    };
    let paint = Paint::for_stdout();
    let mut table = Table::default();
    let mut row = |name: &str, value: String| table.row(vec![paint.dim(name), value]);
    row("files", files);
    row("instance", settings.instance.clone());
    row("store", settings.store.display().to_string());
    row("listen", settings.api.places().join(", "));
    row("watches", format!("{} configured", settings.watches.len()));
    table.render()
}

fn services(settings: &Settings) -> String {
    let mut table = Table::with_header(&[
        "SERVICE",
        "DEFINITION",
        "URL",
        "CREDENTIAL",
        "LIMITS",
        "POLLS",
        "DEADLINE",
    ]);
    for (name, service) in &settings.services {
        table.row(vec![
            name.clone(),
            service.definition.name.clone(),
            url_in_words(service),
            service.credential.clone(),
            limits(service),
            schedule(service),
            show_duration(service.timing.deadline()),
        ]);
    }
    table.render()
}

/// Returns the URL, and the proxy of its own.
fn url_in_words(service: &ServiceSettings) -> String {
    let url = &service.base;
    match &service.route {
        Route::Environment => url.to_string(),
        Route::Direct => format!("{url} (no proxy)"),
        Route::Proxy(proxy) => format!("{url} (through {proxy})"),
    }
}

fn limits(service: &ServiceSettings) -> String {
    let Limits {
        rate, concurrency, ..
    } = service.limits;
    match rate {
        Some(rate) => format!("{rate}/s, {concurrency} at once"),
        None => format!("{START} to {CEILING}/s, {concurrency} at once"),
    }
}

/// Lists the configured credentials; `jobwatch credentials` tests them.
fn credentials(settings: &Settings) -> Option<String> {
    let mut table = Table::with_header(&["CREDENTIAL", "KIND", "REGION", "FROM"]);
    let mut is_empty = true;
    for (name, credential) in &settings.credentials {
        if name == NO_CREDENTIAL {
            continue;
        }
        is_empty = false;
        table.row(vec![
            name.clone(),
            credential.credential.kind().to_owned(),
            or_dash(credential.region.as_deref()),
            or_dash(credential.credential.in_words().as_deref()),
        ]);
    }
    (!is_empty).then(|| table.render())
}

fn schedule(service: &ServiceSettings) -> String {
    let timing = &service.timing;
    format!(
        "{} ×{} to {}",
        show_duration(timing.initial()),
        timing.multiplier(),
        show_duration(timing.max())
    )
}

fn sinks(settings: &Settings) -> String {
    let mut table = Table::with_header(&["SINK", "KIND", "TO"]);
    for (name, sink) in &settings.sinks {
        table.row(vec![name.clone(), sink.kind.to_owned(), sink.sink.target()]);
    }
    if let Some(callback) = &settings.api.callback {
        let delivery = callback.options.in_words();
        let to = format!("the callback_url of each watch ({delivery})");
        table.row(vec![CALLBACK.to_owned(), CALLBACK.to_owned(), to]);
    }
    table.render()
}
