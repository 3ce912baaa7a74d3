//! The services of the daemon with their health, budgets and credentials.

use std::time::Duration;

use crate::api::service_view::{AnswerView, BudgetView, ServiceView, ServicesView};
use crate::cli::age::Times;
use crate::cli::client::{Call, CallError, DaemonArgs};
use crate::cli::exit::Exit;
use crate::cli::paint::Paint;
use crate::cli::table::{Column, Table, plain};
use crate::workers::poller::Health;

/// How long the daemon may take: without it, the configuration is shown.
const PATIENCE: Duration = Duration::from_secs(3);

/// The reason of a missing answer of the daemon.
pub(super) enum Silence {
    /// No daemon answers, or it refuses: the reason in words.
    Because(String),
    /// The options are wrong; the error is printed already.
    Usage(Exit),
}

/// Asks the daemon for its services.
pub(super) async fn ask(daemon: &DaemonArgs) -> Result<Vec<ServiceView>, Silence> {
    let client = daemon.client().map_err(Silence::Usage)?;
    let call = Call::get("/v1/services").within(PATIENCE);
    let answer = client.try_ask::<ServicesView>(call).await;
    let because = |error: CallError| Silence::Because(error.to_string());
    Ok(answer.map_err(because)?.body.services)
}

/// Lists the services. Those whose polls fail are easy to see.
pub(super) fn table(services: &[ServiceView], times: Times) -> Table {
    let paint = Paint::for_stdout();
    let mut table = Table::new([
        Column::new("SERVICE").at_least(8),
        Column::new("HEALTH").whole(),
        Column::new("LAST ANSWER").at_least(14).gives_way(1),
        Column::new("RATE").whole().gives_way(2),
        Column::new("POLLS").at_least(8).gives_way(4),
        Column::new("CREDENTIAL").at_least(12).gives_way(3),
        Column::new("DEFINITION").at_least(8).gives_way(5),
        Column::new("URL").at_least(16).gives_way(6),
    ]);
    for service in services {
        table.row(vec![
            plain(&service.name),
            health(service, times, paint),
            last_answer(service.last_answer.as_ref(), times),
            rate(&service.budget, times),
            polls(&service.budget),
            credential(service, times, paint),
            plain(&service.definition),
            plain(&service.endpoint),
        ]);
    }
    table
}

/// Returns the health, and since when a service is blind.
fn health(service: &ServiceView, times: Times, paint: Paint) -> String {
    let health = service.health;
    let like = match health {
        Health::Ok => "succeeded",
        Health::Failing | Health::Blind => "failed",
        Health::Throttled => "unknown",
        Health::Idle => "unwatched",
    };
    let word = paint.as_state(like, health.as_str());
    match &service.blind {
        Some(blind) => format!("{word}, {}", times.show(blind.since)),
        None => word,
    }
}

fn last_answer(last: Option<&AnswerView>, times: Times) -> String {
    let Some(last) = last else {
        return "-".to_owned();
    };
    let status = last.http_status.map(|status| status.to_string());
    let problem = last.problem.as_ref().map(|problem| problem.kind.as_str());
    let words = [status.as_deref(), problem];
    let words: Vec<&str> = words.into_iter().flatten().collect();
    format!("{}, {}", words.join(" "), times.show(last.at))
}

/// Returns the polls a second, as `5/s` or `2/s of 20`, and the end of a pause.
fn rate(budget: &BudgetView, times: Times) -> String {
    if let Some(until) = budget.paused_until {
        return format!("paused, {}", times.show(until));
    }
    let now = rate_text(budget.rate);
    if budget.rate < budget.ceiling {
        format!("{now}/s of {}", rate_text(budget.ceiling))
    } else {
        format!("{now}/s")
    }
}

/// Writes a rate with one decimal place, if it needs one.
fn rate_text(rate: f64) -> String {
    let text = format!("{rate:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn polls(budget: &BudgetView) -> String {
    let counts = [
        (budget.in_flight, "running"),
        (budget.waiting, "waiting"),
        (budget.late.polls, "late"),
    ];
    let words = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"));
    let words: Vec<String> = words.collect();
    if words.is_empty() {
        "-".to_owned()
    } else {
        words.join(", ")
    }
}

fn credential(service: &ServiceView, times: Times, paint: Paint) -> String {
    let name = plain(&service.credential);
    let state = &service.credential_state;
    if state.refused.is_some() {
        return format!("{name}: {}", paint.as_state("failed", "refused"));
    }
    if state.failing.is_some() {
        return format!("{name}: {}", paint.as_state("unknown", "no secret now"));
    }
    match state.expires_at {
        Some(at) => format!("{name}, ends {}", times.show(at)),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::table::Room;

    fn service(changes: Value) -> ServiceView {
        let mut service = json!({
            "name": "dcs", "definition": "dcs", "endpoint": "https://dcs.example.com", "credential": "otc",
            "health": "ok",
            "last_answer": {"at": "2026-11-26T09:59:57Z", "took_ms": 31, "http_status": 200, "problem": null},
            "credential_state": {"kind": "keystone", "expires_at": "2026-11-27T09:00:00Z"},
            "budget": {"host": "dcs.example.com", "rate": 5.0, "ceiling": 20.0, "burst": 10, "concurrency": 8,
                "in_flight": 0, "waiting": 0, "late": {"polls": 0, "seconds": 0.0}, "paused_until": null},
        });
        let Value::Object(changes) = changes else {
            panic!("changes are an object");
        };
        for (name, value) in changes {
            service[name] = value;
        }
        serde_json::from_value(service).unwrap()
    }

    #[test]
    fn a_service_is_a_row_with_health_rate_and_credential() {
        let now: Timestamp = "2026-11-26T10:00:00Z".parse().unwrap();
        let failing = service(json!({
            "name": "sdrs", "health": "failing",
            "last_answer": {"at": "2026-11-26T09:50:00Z", "took_ms": 31, "http_status": null,
                "problem": {"kind": "unreachable", "code": null, "message": "no route"}, "failed_in_a_row": 7},
            "credential_state": {"kind": "keystone", "expires_at": null, "refused": "wrong password"},
        }));
        let room = Room {
            columns: Some(120),
            paint: Paint::none(),
        };
        let services = [service(json!({})), failing];
        assert_eq!(
            table(&services, Times::new(now, false)).lines(room),
            [
                "SERVICE  HEALTH   LAST ANSWER           RATE       POLLS  CREDENTIAL        DEFINITION  URL",
                "dcs      ok       200, 3s ago           5/s of 20  -      otc, ends in 23h  dcs         https://dcs.example.com",
                "sdrs     failing  unreachable, 10m ago  5/s of 20  -      otc: refused      dcs         https://dcs.example.com",
            ]
        );
    }

    #[test]
    fn a_blind_service_shows_since_when() {
        let now: Timestamp = "2026-11-26T10:00:00Z".parse().unwrap();
        let blind = service(json!({
            "health": "blind",
            "blind": {"since": "2026-11-26T09:50:00Z", "next_probe_at": "2026-11-26T10:00:30Z",
                "problem": {"kind": "unauthorized", "code": null, "message": "wrong token"}},
        }));
        let room = Room {
            columns: Some(120),
            paint: Paint::none(),
        };
        let lines = table(&[blind], Times::new(now, false)).lines(room);
        assert!(
            lines[1].starts_with("dcs      blind, 10m ago  200, 3s ago"),
            "{lines:?}"
        );
    }
}
