//! `jobwatch check`: validates the configuration and shows the resulting settings.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::complaint::complain_of_usage;
use crate::cli::online::Finding;
use crate::cli::output::{Paint, Table, complain, or_dash, say, say_json};
use crate::cli::{ConfigArgs, Exit, online};
use crate::clock::{SystemClock, show_duration};
use crate::credential::NO_CREDENTIAL;
use crate::diagnostic::Diagnostic;
use crate::outbound::proxy::Route;
use crate::schedule::budget::Limits;
use crate::schedule::rate::{CEILING, START};
use crate::service::settings::ServiceSettings;
use crate::settings;
use crate::settings::{Loaded, Settings};
use crate::tree::source::Secrets;
use crate::watch::subscription::CALLBACK;

const HELP: &str = "\
Secrets under ${CREDENTIALS_DIRECTORY} are in the unit of systemd alone; outside of it they are
noted, and not checked.

With --online, each credential logs in, each service gets one poll for a job that does not exist,
and each receiver is connected to. No event is sent, and nothing is stored.

Exit codes: 0 valid, 1 a part does not work (--online), 2 wrong, or a warning (--deny-warnings).";

/// Reads the configuration as `run` does, and connects to nothing without --online.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigArgs,
    /// Also try credentials, services, receivers, the port and the store
    #[arg(long)]
    online: bool,
    /// Refuse a configuration with a warning
    #[arg(long)]
    deny_warnings: bool,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) async fn execute(&self) -> Exit {
        match settings::load(&self.config.sources(Secrets::OutsideUnit)) {
            Ok(loaded) => self.show(&loaded).await,
            Err(diagnostics) if self.json => {
                say_json(&json!({"valid": false, "problems": notes(&diagnostics.0)}));
                Exit::Usage
            }
            Err(diagnostics) => {
                complain(&diagnostics.to_string());
                Exit::Usage
            }
        }
    }

    async fn show(&self, loaded: &Loaded) -> Exit {
        let found = if self.online {
            match online::try_all(loaded, &SystemClock::shared()).await {
                Ok(found) => Some(found),
                Err(exit) => return exit,
            }
        } else {
            None
        };
        if self.json {
            let mut shown = as_json(loaded);
            if let Some(found) = &found {
                shown["online"] = json!(found);
            }
            say_json(&shown);
        } else {
            say(&as_text(loaded, found.as_deref()));
        }
        let warnings = loaded.warnings.len();
        if self.deny_warnings && warnings > 0 {
            let noun = if warnings == 1 { "warning" } else { "warnings" };
            return complain_of_usage(&format!(
                "the configuration has {warnings} {noun}, and --deny-warnings refuses them"
            ));
        }
        let found = found.unwrap_or_default();
        let failed = found.iter().filter(|it| it.has_failed()).count();
        if failed == 0 {
            return Exit::Done;
        }
        let all = found.len();
        complain(&format!(
            "{failed} of {all} parts failed; the table says why"
        ));
        Exit::Failed
    }
}

pub(super) fn notes(diagnostics: &[Diagnostic]) -> Vec<Value> {
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
        "store": settings.store.database.shown(),
        "listen": settings.api.listen.map(|listen| listen.to_string()),
        "socket": settings.api.socket.as_ref().map(|socket| &socket.path),
        "credentials": credentials,
        "services": services,
        "sinks": settings.sinks.iter().map(|(name, sink)| (name, sink.kind)).collect::<BTreeMap<_, _>>(),
        "watches": settings.watches.len(),
        "warnings": notes(&loaded.warnings),
        "notes": notes(&loaded.notes),
    })
}

fn as_text(loaded: &Loaded, online: Option<&[Finding]>) -> String {
    let settings = &loaded.settings;
    let mut parts = vec![head(loaded)];
    if settings.services.is_empty() {
        parts.push("No service is configured: add [services.NAME]; `jobwatch services --definitions` lists the definitions.".to_owned());
    } else {
        parts.push(services(settings));
    }
    parts.extend(credentials(settings));
    parts.push(sinks(settings));
    for warning in &loaded.warnings {
        parts.push(format!("warning: {warning}"));
    }
    parts.extend(loaded.notes.iter().map(|note| format!("note: {note}")));
    parts.extend(online.map(online::in_words));
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
    row("store", settings.store.database.shown());
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
