//! `jobwatch credentials`: has each credential issued, and says what it is good for; never
//! the secret.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::cli::output::{Paint, Table, complain, or_dash, plain, say, say_json, time};
use crate::cli::{ConfigArgs, Exit};
use crate::clock::{SharedClock, SystemClock, show_duration};
use crate::credential::scope::Scope;
use crate::credential::{CredentialError, NO_CREDENTIAL, SharedCredential, Verified};
use crate::settings::{Settings, build};
use crate::suggest;

/// Tries credentials for real: logs in, asks, or reads the file, as the daemon would.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Credentials {
    /// The configured credential [default: all of them]
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

const HELP: &str = "\
The results: \"issued\" by an identity or metadata service just now, \"accepted\" by one that
was asked, \"read\" where nobody can be asked before a service is, and \"failed\".

Exit codes: 0 none failed, 1 one failed, 2 wrong usage or configuration.";

/// What came of trying one credential. The fields are a contract.
#[derive(Serialize)]
struct Report {
    name: String,
    kind: &'static str,
    /// `issued`, `accepted`, `read` or `failed`.
    result: &'static str,
    scope: Scope,
    /// How many services the issuer's catalog has.
    endpoints: usize,
    expires_at: Option<Timestamp>,
    expires_in_s: Option<u64>,
    clock_ahead_s: Option<i64>,
    used_by: Vec<String>,
    error: Option<String>,
}

impl Credentials {
    pub(super) async fn execute(self) -> Exit {
        let clock = SystemClock::shared();
        match self.reports(&clock).await {
            Ok(reports) => self.print(&reports),
            Err(message) => {
                complain(&message);
                Exit::Usage
            }
        }
    }

    async fn reports(&self, clock: &SharedClock) -> Result<Vec<Report>, String> {
        let loaded = self.config.load();
        let settings = loaded.map_err(|problems| problems.to_string())?.settings;
        let credentials =
            build::credentials(&settings, clock).map_err(|error| format!("{error:#}"))?;
        let configured = || credentials.keys().filter(|name| *name != NO_CREDENTIAL);
        if let Some(name) = &self.name
            && !credentials.contains_key(name)
        {
            let hint = suggest::did_you_mean(name, configured().map(String::as_str));
            let names: Vec<&str> = configured().map(String::as_str).collect();
            return Err(format!(
                "there is no credential `{name}`{hint} (configured: {})",
                or_none(&names)
            ));
        }
        let mut tries = JoinSet::new();
        for name in configured().filter(|name| self.name.as_ref().is_none_or(|it| it == *name)) {
            let credential = Arc::clone(&credentials[name]);
            let used_by = used_by(&settings, name);
            let clock = Arc::clone(clock);
            tries.spawn(async move { tried(&credential, used_by, &clock).await });
        }
        let mut reports = tries.join_all().await;
        reports.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(reports)
    }

    fn print(&self, reports: &[Report]) -> Exit {
        if self.json {
            say_json(&reports);
        } else if reports.is_empty() {
            say("No credential is configured: add [credentials.NAME] to the configuration.");
        } else {
            match reports {
                [one] if self.name.is_some() => say(&details(one)),
                all => say(&table(all)),
            }
            for report in reports {
                if let Some(error) = &report.error {
                    complain(&plain(error));
                }
            }
        }
        if reports.iter().any(|report| report.error.is_some()) {
            Exit::Failed
        } else {
            Exit::Done
        }
    }
}

fn or_none(names: &[impl AsRef<str>]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        names.join(", ")
    }
}

fn used_by(settings: &Settings, name: &str) -> Vec<String> {
    let services = settings.services.iter();
    services
        .filter(|(_, service)| service.credential == name)
        .map(|(service, _)| service.clone())
        .collect()
}

async fn tried(credential: &SharedCredential, used_by: Vec<String>, clock: &SharedClock) -> Report {
    let mut report = Report {
        name: credential.name().to_owned(),
        kind: credential.kind(),
        result: "failed",
        scope: Scope::default(),
        endpoints: 0,
        expires_at: None,
        expires_in_s: None,
        clock_ahead_s: None,
        used_by,
        error: None,
    };
    let now = clock.now();
    match credential.present(now).await {
        Ok(held) => {
            report.endpoints = held.scope.catalog.len();
            report.scope = held.scope.clone();
            report.expires_at = held.lease.map(|lease| lease.until);
            report.expires_in_s = held.lease.map(|lease| lease.left(clock.now()).as_secs());
            match credential.verify(&held, clock.now()).await {
                Ok(verified) => report.result = word(&verified),
                Err(error) => {
                    report.error = Some(format!("credential `{}`: {error}", credential.name()));
                }
            }
        }
        Err(error) => report.error = Some(without_plans(&error)),
    }
    report.clock_ahead_s = credential.clock_ahead_s();
    report
}

/// The error alone: of this process there is no next attempt.
fn without_plans(error: &CredentialError) -> String {
    match error {
        CredentialError::NotIssued {
            credential, error, ..
        } => format!("credential `{credential}`: {error}"),
        other => other.to_string(),
    }
}

fn word(verified: &Verified) -> &'static str {
    match verified {
        Verified::Issued => "issued",
        Verified::Accepted { .. } => "accepted",
        Verified::ReadOnly => "read",
    }
}

fn table(reports: &[Report]) -> String {
    let paint = Paint::for_stdout();
    let mut table = Table::with_header(&[
        "CREDENTIAL",
        "KIND",
        "RESULT",
        "SCOPE",
        "EXPIRES",
        "CLOCK",
        "USED BY",
    ]);
    for report in reports {
        let outcome = if report.error.is_some() {
            "failed"
        } else {
            "succeeded"
        };
        table.row(vec![
            report.name.clone(),
            report.kind.to_owned(),
            paint.as_state(outcome, report.result),
            scope_in_words(&report.scope),
            expiry_in_words(report),
            clock_in_words(report.clock_ahead_s),
            or_none(&report.used_by),
        ]);
    }
    table.render()
}

/// One credential with everything that is known of it.
fn details(report: &Report) -> String {
    let paint = Paint::for_stdout();
    let mut table = Table::default();
    let mut row = |name: &str, value: String| table.row(vec![paint.dim(name), plain(&value)]);
    let scope = &report.scope;
    row("credential", report.name.clone());
    row("kind", report.kind.to_owned());
    row("result", report.result.to_owned());
    for (name, value) in [
        ("user", &scope.user),
        ("project", &scope.project),
        ("project id", &scope.project_id),
        ("domain", &scope.domain),
        ("domain id", &scope.domain_id),
    ] {
        row(name, or_dash(value.as_deref()));
    }
    row("endpoints", report.endpoints.to_string());
    row("expires", expiry_in_words(report));
    row("clock", clock_in_words(report.clock_ahead_s));
    row("used by", or_none(&report.used_by));
    table.render()
}

fn scope_in_words(scope: &Scope) -> String {
    // The project's domain is of interest only where there is no project.
    let project = scope.project.as_ref().or(scope.project_id.as_ref());
    let domain = scope.domain.as_ref().or(scope.domain_id.as_ref());
    let parts = [
        scope.user.as_ref().map(|user| format!("user {user}")),
        project.map(|project| format!("project {project}")),
        domain
            .filter(|_| project.is_none())
            .map(|domain| format!("domain {domain}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    or_dash(
        Some(parts.join(", "))
            .filter(|it| !it.is_empty())
            .as_deref(),
    )
}

fn expiry_in_words(report: &Report) -> String {
    match (report.expires_at, report.expires_in_s) {
        (Some(at), Some(left)) => {
            let left = show_duration(Duration::from_secs(left));
            format!("{} (in {left})", time(at))
        }
        _ if report.error.is_some() => "-".to_owned(),
        _ => "not said".to_owned(),
    }
}

/// A second is what the exchange itself takes, and the header has whole seconds.
fn clock_in_words(ahead_s: Option<i64>) -> String {
    match ahead_s {
        None => "-".to_owned(),
        Some(-1..=1) => "right".to_owned(),
        Some(ahead_s) => {
            let size = show_duration(Duration::from_secs(ahead_s.unsigned_abs()));
            let ours = if ahead_s > 0 { "behind" } else { "ahead" };
            format!("ours is {size} {ours}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_is_told_by_name_or_else_by_id() {
        let mut scope = Scope {
            user: Some("watcher".into()),
            project_id: Some("13e5".into()),
            project: Some("eu-de_jobs".into()),
            domain_id: Some("fcee".into()),
            ..Scope::default()
        };
        assert_eq!(scope_in_words(&scope), "user watcher, project eu-de_jobs");
        scope.project = None;
        assert_eq!(scope_in_words(&scope), "user watcher, project 13e5");
        scope.project_id = None;
        assert_eq!(scope_in_words(&scope), "user watcher, domain fcee");
        assert_eq!(scope_in_words(&Scope::default()), "-");
    }

    #[test]
    fn a_wrong_clock_is_told_with_its_size() {
        assert_eq!(clock_in_words(None), "-");
        assert_eq!(clock_in_words(Some(-1)), "right");
        assert_eq!(clock_in_words(Some(1200)), "ours is 20m behind");
        assert_eq!(clock_in_words(Some(-90)), "ours is 1m 30s ahead");
    }
}
