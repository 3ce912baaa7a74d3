//! `jobwatch credentials`: tests each credential and shows its scope and expiry, but never
//! its secret.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::cli::complaint::complain_of_usage;
use crate::cli::output::{Paint, Table, complain, or_dash, plain, say, say_json, time};
use crate::cli::table::Column;
use crate::cli::{ConfigArgs, Exit};
use crate::clock::{SharedClock, SystemClock, show_duration};
use crate::credential::scope::Scope;
use crate::credential::{CredentialError, NO_CREDENTIAL, SharedCredential, Verified};
use crate::settings::{Settings, build};
use crate::suggest;

/// Tests credentials as the daemon uses them: logs in, asks a metadata service or reads files.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Credentials {
    /// The name of a configured credential [default: all]
    name: Option<String>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

const HELP: &str = "\
Results:
  issued    an identity, token or metadata service issued the secret just now
  accepted  an identity service was asked, and accepts the secret
  read      the secret could be read; only a poll can show whether it is accepted
  failed    the error is printed below the table

Exit codes: 0 none failed, 1 one failed, 2 wrong usage or configuration.";

/// The result of testing one credential. The fields are a contract.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) name: String,
    kind: &'static str,
    /// `issued`, `accepted`, `read` or `failed`.
    pub(super) result: &'static str,
    scope: Scope,
    /// The number of entries in the service catalog that came with the token.
    endpoints: usize,
    expires_at: Option<Timestamp>,
    expires_in_s: Option<u64>,
    clock_ahead_s: Option<i64>,
    used_by: Vec<String>,
    pub(super) error: Option<String>,
}

impl Credentials {
    pub(super) async fn execute(self) -> Exit {
        let clock = SystemClock::shared();
        match self.reports(&clock).await {
            Ok(reports) => self.print(&reports),
            Err(exit) => exit,
        }
    }

    async fn reports(&self, clock: &SharedClock) -> Result<Vec<Report>, Exit> {
        let settings = self.config.load_or_complain()?.settings;
        let credentials = build::credentials(&settings, clock)
            .map_err(|error| complain_of_usage(&format!("{error:#}")))?;
        let configured = || credentials.keys().filter(|name| *name != NO_CREDENTIAL);
        if let Some(name) = &self.name
            && !credentials.contains_key(name)
        {
            let suggestion = suggest::did_you_mean(name, configured().map(String::as_str));
            let names: Vec<&str> = configured().map(String::as_str).collect();
            return Err(complain_of_usage(&format!(
                "unknown credential `{name}` (configured: {}){suggestion}",
                or_none(&names)
            )));
        }
        let wanted = configured().filter(|name| self.name.as_ref().is_none_or(|it| it == *name));
        let wanted = wanted.map(|name| (Arc::clone(&credentials[name]), used_by(&settings, name)));
        Ok(test_all(wanted, clock).await)
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

/// Tests credentials at the same time; returns the reports by name.
pub(super) async fn test_all(
    credentials: impl Iterator<Item = (SharedCredential, Vec<String>)>,
    clock: &SharedClock,
) -> Vec<Report> {
    let mut tests = JoinSet::new();
    for (credential, used_by) in credentials {
        let clock = Arc::clone(clock);
        tests.spawn(async move { test(&credential, used_by, &clock).await });
    }
    let mut reports = tests.join_all().await;
    reports.sort_by(|a, b| a.name.cmp(&b.name));
    reports
}

async fn test(credential: &SharedCredential, used_by: Vec<String>, clock: &SharedClock) -> Report {
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
        Ok(issued) => {
            report.endpoints = issued.scope.catalog.len();
            report.scope = issued.scope.clone();
            report.expires_at = issued.lease.map(|lease| lease.until);
            report.expires_in_s = issued.lease.map(|lease| lease.left(clock.now()).as_secs());
            match credential.verify(&issued, clock.now()).await {
                Ok(verified) => report.result = word(&verified),
                Err(error) => {
                    report.error = Some(format!("credential `{}`: {error}", credential.name()));
                }
            }
        }
        Err(error) => report.error = Some(without_retry_time(&error)),
    }
    report.clock_ahead_s = credential.clock_ahead_s();
    report
}

/// Returns the error without the time of the next attempt: this process makes none.
fn without_retry_time(error: &CredentialError) -> String {
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
    let mut table = Table::new([
        Column::new("CREDENTIAL").at_least(8),
        Column::new("KIND").gives_way(4),
        Column::new("RESULT").whole(),
        Column::new("SCOPE").at_least(16).wrapping().gives_way(3),
        Column::new("EXPIRES").at_least(12).wrapping().gives_way(1),
        Column::new("CLOCK").gives_way(2),
        Column::new("USED BY").at_least(10).wrapping().gives_way(5),
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

/// Shows every known fact about one credential, for `jobwatch credentials NAME`.
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
        ("scopes", &scope.scopes),
    ] {
        row(name, or_dash(value.as_deref()));
    }
    row("endpoints", report.endpoints.to_string());
    row("expires", expiry_in_words(report));
    row("clock", clock_in_words(report.clock_ahead_s));
    row("used by", or_none(&report.used_by));
    table.render()
}

pub(super) fn scope_of(report: &Report) -> String {
    scope_in_words(&report.scope)
}

fn scope_in_words(scope: &Scope) -> String {
    // Without a project, the domain is the scope.
    let project = scope.project.as_ref().or(scope.project_id.as_ref());
    let domain = scope.domain.as_ref().or(scope.domain_id.as_ref());
    let parts = [
        scope.user.as_ref().map(|user| format!("user {user}")),
        project.map(|project| format!("project {project}")),
        domain
            .filter(|_| project.is_none())
            .map(|domain| format!("domain {domain}")),
        scope
            .scopes
            .as_ref()
            .map(|scopes| format!("scopes {scopes}")),
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
        _ => "unknown".to_owned(),
    }
}

/// Describes the difference of the clocks. One second is tolerated: the header has whole
/// seconds, and the exchange itself takes time.
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
    fn the_scope_is_shown_by_name_or_else_by_id() {
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
    fn a_wrong_clock_is_shown_with_its_difference() {
        assert_eq!(clock_in_words(None), "-");
        assert_eq!(clock_in_words(Some(-1)), "right");
        assert_eq!(clock_in_words(Some(1200)), "ours is 20m behind");
        assert_eq!(clock_in_words(Some(-90)), "ours is 1m 30s ahead");
    }
}
