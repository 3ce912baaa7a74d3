//! `jobwatch check --online`: tries every part that the daemon will need, at the same time and
//! within a limit, and changes nothing.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::cli::Exit;
use crate::cli::complaint::complain_of_usage;
use crate::cli::credentials::{Report, scope_of, test_all};
use crate::cli::output::{Paint, Table, plain};
use crate::clock::SharedClock;
use crate::credential::NO_CREDENTIAL;
use crate::definition::explain::Explanation;
use crate::outbound;
use crate::service::Service;
use crate::service::poll::Probed;
use crate::service::subject::Subject;
use crate::settings::{Database, Loaded, Settings, build};
use crate::store::postgres;
use crate::store::sqlite::maintenance;
use crate::store::sqlite::maintenance::Standing;
use crate::watch::Params;

/// The time limit for each try.
const LIMIT: Duration = Duration::from_secs(20);
/// The time limit for the answer of a program that holds the port.
const LIMIT_NEAR: Duration = Duration::from_secs(10);
/// The id of a job that no service has, and the value of params that only watches bring.
const NO_JOB: &str = "00000000-0000-4000-8000-6a6f62776174";

/// The result of one try. The fields are a contract.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// `credential`, `service`, `sink`, `port` or `store`.
    part: &'static str,
    name: String,
    result: Outcome,
    detail: String,
}

/// The word for a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Ok,
    Failed,
    /// It was not tried: the detail says why.
    Skipped,
}

impl Finding {
    pub(super) fn has_failed(&self) -> bool {
        self.result == Outcome::Failed
    }

    fn of(part: &'static str, name: &str, tried: Result<String, String>) -> Self {
        let (result, detail) = match tried {
            Ok(detail) => (Outcome::Ok, detail),
            Err(detail) => (Outcome::Failed, detail),
        };
        Self {
            part,
            name: name.to_owned(),
            result,
            detail,
        }
    }

    fn skipped(part: &'static str, name: &str, why: String) -> Self {
        Self {
            result: Outcome::Skipped,
            ..Self::of(part, name, Ok(why))
        }
    }
}

/// Tries everything; the findings are in the order of the daemon's start.
///
/// # Errors
/// A part cannot be built; the error was reported.
pub(super) async fn try_all(loaded: &Loaded, clock: &SharedClock) -> Result<Vec<Finding>, Exit> {
    let settings = &loaded.settings;
    let store = Finding::of(
        "store",
        &settings.store.database.shown(),
        store(settings).await,
    );
    let (port, sinks, services) = tokio::join!(
        port(settings),
        sinks(loaded),
        credentials_and_services(loaded, clock)
    );
    let mut found = vec![store, port];
    found.extend(services?);
    found.extend(sinks);
    Ok(found)
}

/// Returns the names in `[section]` whose secrets are only there in the unit.
fn unread<'a>(loaded: &'a Loaded, section: &str) -> BTreeSet<&'a str> {
    let keys = loaded.notes.iter().map(|note| note.key.as_str());
    let within = keys.filter_map(|key| key.strip_prefix(section)?.strip_prefix('.'));
    within.filter_map(|rest| rest.split('.').next()).collect()
}

fn only_in_unit() -> String {
    "not tried: its secret is only there in the unit".to_owned()
}

async fn credentials_and_services(
    loaded: &Loaded,
    clock: &SharedClock,
) -> Result<Vec<Finding>, Exit> {
    let settings = &loaded.settings;
    let usage = |error: anyhow::Error| complain_of_usage(&format!("{error:#}"));
    let credentials = build::credentials(settings, clock).map_err(usage)?;
    let services = build::services_with(settings, &credentials).map_err(usage)?;
    let unread = unread(loaded, "credentials");
    let configured = credentials.iter();
    let configured = configured.filter(|(name, _)| *name != NO_CREDENTIAL);
    let (elsewhere, here): (Vec<_>, Vec<_>) =
        configured.partition(|(name, _)| unread.contains(name.as_str()));
    let here = here.into_iter();
    let reports = test_all(here.map(|(_, it)| (Arc::clone(it), Vec::new())), clock).await;
    let failed: BTreeSet<&str> = reports
        .iter()
        .filter(|report| report.error.is_some())
        .map(|report| report.name.as_str())
        .collect();
    let mut found: Vec<Finding> = reports.iter().map(of_credential).collect();
    for (name, _) in elsewhere {
        found.push(Finding::skipped("credential", name, only_in_unit()));
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    let mut asking = JoinSet::new();
    for service in services.all() {
        let credential = service.credential.name();
        let why = if failed.contains(credential) {
            Some(format!("not tried: its credential `{credential}` failed"))
        } else {
            unread.contains(credential).then(only_in_unit)
        };
        let (service, clock) = (Arc::clone(service), Arc::clone(clock));
        asking.spawn(async move {
            match why {
                Some(why) => Finding::skipped("service", &service.name, why),
                None => probe(&service, &clock).await,
            }
        });
    }
    let mut of_services = asking.join_all().await;
    of_services.sort_by(|one, other| one.name.cmp(&other.name));
    found.extend(of_services);
    Ok(found)
}

fn of_credential(report: &Report) -> Finding {
    let tried = match &report.error {
        Some(error) => Err(error.clone()),
        None if report.result == "read" => {
            Ok("can be read; only a poll shows whether it is accepted".to_owned())
        }
        None => Ok(format!("{}: {}", report.result, scope_of(report))),
    };
    Finding::of("credential", &report.name, tried)
}

/// Polls once for a job that does not exist.
async fn probe(service: &Service, clock: &SharedClock) -> Finding {
    let given = Params::new();
    let wanted = service.params_wanted(&given);
    let params: Params = wanted
        .map(|name| (name.to_owned(), NO_JOB.to_owned()))
        .collect();
    let subject = Subject::new(NO_JOB, &params);
    let tried = match timeout(LIMIT, service.probe_once(&subject, clock.now())).await {
        Ok(probed) => judge(&probed),
        Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
    };
    Finding::of("service", &service.name, tried)
}

/// Judges the answer to a poll for a job that does not exist: an answer that says so proves that
/// the service is there and accepts the credential.
fn judge(probed: &Probed) -> Result<String, String> {
    let status = probed
        .http_status
        .map_or_else(|| "no answer".to_owned(), |status| format!("HTTP {status}"));
    let Explanation::Problem(problem) = &probed.explanation else {
        return Ok(format!("reachable, and accepts the credential ({status})"));
    };
    let said = format!("{status}: {}", problem.message);
    match (problem.problem, probed.http_status) {
        ("not_found", _) => Ok(format!("reachable, and accepts the credential ({status})")),
        ("throttled", Some(_)) => Ok(format!("reachable, and throttles now ({status})")),
        // Many services check the form of an id before they look for it.
        ("misconfigured" | "unreadable", Some(400 | 422)) => Ok(format!(
            "reachable; it refuses the invented id, so rights are not proven ({status})"
        )),
        ("unauthorized", Some(_)) => Err(format!(
            "{said}; it does not accept the credential: test it with `jobwatch credentials`"
        )),
        ("forbidden", _) => Err(format!(
            "{said}; the credential lacks the right to read jobs: give its user a role with it"
        )),
        ("misconfigured", _) => Err(format!(
            "{said}; check `url`, `region` and `params` of the service"
        )),
        ("unreachable", _) => Err(format!(
            "{}; check `url`, `proxy`, DNS and the network",
            problem.message
        )),
        ("unreadable", _) => Err(format!(
            "{said}; check that `url` is the address of this API"
        )),
        _ => Err(said),
    }
}

/// Connects to each receiver; sends no event.
async fn sinks(loaded: &Loaded) -> Vec<Finding> {
    let unread = unread(loaded, "sinks");
    let mut reaching = JoinSet::new();
    for (name, sink) in &loaded.settings.sinks {
        let (name, sink) = (name.clone(), sink.clone());
        let is_unread = unread.contains(name.as_str());
        reaching.spawn(async move {
            if is_unread {
                return Finding::skipped("sink", &name, only_in_unit());
            }
            let tried = match timeout(LIMIT, sink.sink.reach()).await {
                Ok(tried) => tried.map(|()| sink.sink.target()),
                Err(_) => Err(format!("no connection within {} s", LIMIT.as_secs())),
            };
            let tried = tried.map_err(|reason| format!("{}: {reason}", sink.sink.target()));
            Finding::of("sink", &name, tried)
        });
    }
    let mut found = reaching.join_all().await;
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

async fn store(settings: &Settings) -> Result<String, String> {
    let standing = match &settings.store.database {
        Database::Sqlite(path) => maintenance::standing(path).map(|standing| match standing {
            Standing::New => "does not exist yet, and can be created".to_owned(),
            Standing::Ready => "can be opened and written".to_owned(),
            Standing::InUse => "is open in a running jobwatch".to_owned(),
        }),
        Database::Postgres(server) => postgres::maintenance::standing(server).await,
    };
    standing.map_err(|error| match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    })
}

/// Checks that the port is free, or that a jobwatch holds it.
async fn port(settings: &Settings) -> Finding {
    let Some(listen) = settings.api.listen else {
        return Finding::of(
            "port",
            "none",
            Ok("the API is on its socket only".to_owned()),
        );
    };
    let tried = match TcpListener::bind(listen).await {
        Ok(_) => Ok("is free".to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            if settings.api.certificate.is_some() {
                Ok("a program listens there; with TLS it is not asked which".to_owned())
            } else if is_jobwatch(listen).await {
                Ok("a running jobwatch listens there".to_owned())
            } else {
                Err("another program listens there: stop it, or set another api.listen".to_owned())
            }
        }
        Err(error) => Err(format!(
            "cannot listen there: {error}; set another api.listen"
        )),
    };
    Finding::of("port", &listen.to_string(), tried)
}

/// True if the program at the address answers as a jobwatch does: a probe of life, and problem
/// documents for other paths.
async fn is_jobwatch(mut address: SocketAddr) -> bool {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    let Ok(client) = outbound::client().no_proxy().timeout(LIMIT_NEAR).build() else {
        return false;
    };
    let asked = client.get(format!("http://{address}/v1/{NO_JOB}")).send();
    let Ok(answer) = asked.await else {
        return false;
    };
    let kind = answer.headers().get(http::header::CONTENT_TYPE).cloned();
    let is_problem = kind.is_some_and(|kind| kind == "application/problem+json");
    let body = answer.text().await.unwrap_or_default();
    is_problem && body.contains("urn:jobwatch:problem:")
}

/// Writes the findings as a table.
pub(super) fn in_words(found: &[Finding]) -> String {
    let paint = Paint::for_stdout();
    let mut table = Table::with_header(&["PART", "NAME", "RESULT", "DETAIL"]);
    for finding in found {
        let result = match finding.result {
            Outcome::Ok => paint.as_state("succeeded", "ok"),
            Outcome::Failed => paint.as_state("failed", "failed"),
            Outcome::Skipped => paint.dim("skipped"),
        };
        table.row(vec![
            finding.part.to_owned(),
            plain(&finding.name),
            result,
            plain(&finding.detail),
        ]);
    }
    table.render()
}
