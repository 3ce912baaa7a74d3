//! Resources: ids with one run after another, whose answers mislead a watcher.
//!
//! The definitions are those that `jobwatch simulate` hands out.

use std::time::Duration;

use http::{Method, StatusCode};
use jiff::SignedDuration;
use jobwatch::clock::until;
use jobwatch::simulator::{Absence, BodyFormat, Ending, Faults, Flicker, ResourceSpec, RunSpec};
use jobwatch::watch::note::Note;
use jobwatch::watch::observation::ProblemKind;
use jobwatch::watch::request::WatchRequest;
use jobwatch::watch::{Outcome, Watch, WatchId};
use serde_json::Value;

use crate::harness::{App, Setup};

const HOUR: Duration = Duration::from_hours(1);

/// The program with the services `resource` and `resource-xml`, polled each second.
async fn app_with(poll: &str) -> App {
    let services = ["resource", "resource-xml"].map(|name| {
        format!(
            "[services.{name}]\ndefinition = \"{name}\"\nurl = \"{{sim}}\"\ncredential = \"none\"\n\
             rate = 10000.0\n\
             poll = {{ jitter = 0.0, initial = \"1s\", max = \"1s\", multiplier = 1.0, {poll} }}\n"
        )
    });
    let definitions = concat!(env!("CARGO_MANIFEST_DIR"), "/config/simulator");
    let setup = Setup {
        head: format!("services_dir = \"{definitions}\""),
        more: services.concat(),
        ..Setup::default()
    };
    setup.start().await
}

fn run(name: &str, starts: i64, secs: u64, outcome: Ending) -> RunSpec {
    RunSpec {
        run: name.to_owned(),
        starts: SignedDuration::from_secs(starts),
        duration: Duration::from_secs(secs),
        outcome,
        message: None,
    }
}

/// A resource whose only run begins now.
fn one_run(secs: u64, outcome: Ending) -> ResourceSpec {
    ResourceSpec::new("web", vec![run("a", 0, secs, outcome)])
}

/// A run that ended long ago, and then these.
fn after_a_stale_end(mut runs: Vec<RunSpec>) -> ResourceSpec {
    runs.insert(0, run("old", -7200, 600, Ending::Succeeded));
    ResourceSpec::new("web", runs)
}

fn flickering(after: u32, secs: u64) -> ResourceSpec {
    ResourceSpec {
        flicker: Some(Flicker {
            after,
            polls: 1,
            shows: Ending::Failed,
        }),
        ..one_run(secs, Ending::Succeeded)
    }
}

fn absent(secs: u64) -> ResourceSpec {
    ResourceSpec {
        not_found: Some(Absence {
            from: Duration::from_secs(5),
            lasts: Duration::from_secs(secs),
        }),
        ..one_run(10, Ending::Succeeded)
    }
}

fn request() -> WatchRequest {
    WatchRequest {
        service: "resource".to_owned(),
        job_id: "web".to_owned(),
        ..WatchRequest::default()
    }
}

async fn watch_new(app: &App, spec: ResourceSpec) -> WatchId {
    app.simulator.create_resource(spec).unwrap();
    app.request(&request()).await
}

/// Runs a watch to its end; returns it with the evidence of its outcome.
async fn ended(app: &App, id: WatchId) -> (Watch, Value) {
    app.run_until_final(id, HOUR).await;
    let path = format!("/v1/watches/{id}/evidence");
    let (status, evidence) = app.call(Method::GET, &path, "").await;
    assert_eq!(status, StatusCode::OK, "{evidence}");
    (app.watch(id).await, evidence)
}

fn outcome(watch: &Watch) -> Outcome {
    watch.state.outcome().unwrap()
}

/// The reason of an outcome that the job itself does not explain.
fn cause(watch: &Watch) -> &str {
    &watch.cause.as_ref().unwrap().reason
}

/// The body of an answer in JSON that proved an outcome.
fn proof(evidence: &Value) -> Value {
    serde_json::from_str(evidence["body"].as_str().unwrap()).unwrap()
}

/// The paths of the polls so far.
fn paths(app: &App) -> Vec<String> {
    let polls = app.simulator.resource("web").unwrap().recent_polls;
    polls.into_iter().map(|poll| poll.path).collect()
}

#[tokio::test]
async fn stale_end_is_passed_over_for_the_next_run() {
    let app = app_with("").await;
    let next = vec![run("new", 30, 20, Ending::Failed)];
    let id = watch_new(&app, after_a_stale_end(next)).await;
    app.advance_secs(20).await;
    assert_eq!(app.outcome(id).await, None);
    let (watch, evidence) = ended(&app, id).await;
    assert_eq!(outcome(&watch), Outcome::Failed);
    assert_eq!(watch.run.as_deref(), Some("new"));
    assert!(watch.notes.has(Note::Stale) && watch.has_progress);
    assert_eq!(watch.job.unwrap().reason.as_deref(), Some("the run failed"));
    assert_eq!(evidence["http_status"], 200);
    assert_eq!(proof(&evidence)["run"], "new");
    assert_eq!(proof(&evidence)["status"], "failed");
}

#[tokio::test]
async fn stale_end_that_stays_is_unknown_after_the_grace() {
    let app = app_with("not_found_grace = \"1m\"").await;
    let id = watch_new(&app, after_a_stale_end(Vec::new())).await;
    app.advance_secs(50).await;
    assert_eq!(app.outcome(id).await, None);
    let (watch, evidence) = ended(&app, id).await;
    assert_eq!(outcome(&watch), Outcome::Unknown);
    assert!(
        cause(&watch).contains("before this watch's since"),
        "{watch:?}"
    );
    assert_eq!(proof(&evidence)["run"], "old");
}

#[tokio::test]
async fn old_end_counts_for_a_watch_since_earlier() {
    let app = app_with("").await;
    let spec = after_a_stale_end(Vec::new());
    app.simulator.create_resource(spec).unwrap();
    let request = WatchRequest {
        since: Some("3h".to_owned()),
        ..request()
    };
    let id = app.request(&request).await;
    let (watch, evidence) = ended(&app, id).await;
    assert_eq!(outcome(&watch), Outcome::Succeeded);
    assert_eq!(proof(&evidence)["run"], "old");
    let took = until(watch.submitted_at, watch.finished_at.unwrap());
    assert!(took >= Duration::from_secs(30), "it settled for {took:?}");
}

#[tokio::test]
async fn named_run_is_awaited_while_another_goes_on() {
    let app = app_with("").await;
    let runs = vec![
        run("a", -10, 15, Ending::Failed),
        run("b", 20, 10, Ending::Succeeded),
    ];
    let spec = ResourceSpec::new("web", runs);
    app.simulator.create_resource(spec).unwrap();
    let request = WatchRequest {
        run: Some("b".to_owned()),
        ..request()
    };
    let id = app.request(&request).await;
    let (watch, evidence) = ended(&app, id).await;
    assert_eq!(outcome(&watch), Outcome::Succeeded);
    assert_eq!(proof(&evidence)["run"], "b");
}

#[tokio::test]
async fn end_that_flickers_before_progress_does_not_settle() {
    let app = app_with("").await;
    let id = watch_new(&app, flickering(0, 60)).await;
    app.advance_secs(5).await;
    assert_eq!(app.outcome(id).await, None);
    let (watch, evidence) = ended(&app, id).await;
    assert_eq!(outcome(&watch), Outcome::Succeeded);
    assert_eq!(proof(&evidence)["status"], "succeeded");
}

#[tokio::test]
async fn end_that_flickers_later_needs_confirmation() {
    for (poll, expected) in [
        ("confirm = 1", Outcome::Failed),
        ("confirm = 2", Outcome::Succeeded),
    ] {
        let app = app_with(poll).await;
        let id = watch_new(&app, flickering(10, 60)).await;
        let (watch, evidence) = ended(&app, id).await;
        assert_eq!(outcome(&watch), expected, "{poll}");
        assert_eq!(proof(&evidence)["status"], expected.as_str(), "{poll}");
    }
}

#[tokio::test]
async fn run_that_is_replaced_is_lost() {
    let app = app_with("").await;
    let runs = vec![
        run("a", 0, 60, Ending::Never),
        run("b", 20, 10, Ending::Succeeded),
    ];
    let id = watch_new(&app, ResourceSpec::new("web", runs)).await;
    let (watch, evidence) = ended(&app, id).await;
    assert_eq!(outcome(&watch), Outcome::Lost);
    assert_eq!(cause(&watch), "replaced by run b");
    assert!(watch.notes.has(Note::Replaced));
    assert_eq!(watch.run.as_deref(), Some("a"));
    assert_eq!(proof(&evidence)["run"], "b");
}

#[tokio::test]
async fn job_that_is_absent_for_a_short_time_goes_on() {
    let app = app_with("gone_after = \"30s\"").await;
    let id = watch_new(&app, absent(20)).await;
    app.advance_secs(24).await;
    assert_eq!(app.last_problem(id), Some(ProblemKind::NotFound));
    let (watch, evidence) = ended(&app, id).await;
    assert_eq!(outcome(&watch), Outcome::Succeeded);
    assert_eq!(evidence["http_status"], 200);
}

#[tokio::test]
async fn job_that_is_absent_for_long_is_lost() {
    let app = app_with("gone_after = \"30s\"").await;
    let id = watch_new(&app, absent(60)).await;
    app.advance_secs(34).await;
    assert_eq!(app.outcome(id).await, None);
    let (watch, evidence) = ended(&app, id).await;
    assert_eq!(outcome(&watch), Outcome::Lost);
    assert_eq!(evidence["http_status"], 404);
    assert_eq!(proof(&evidence)["error"], "there is no such resource");
    assert_eq!(evidence["last_sighting"]["status"], "running");
}

#[tokio::test]
async fn claimed_error_status_is_a_verdict() {
    for status in [422, 500] {
        let app = app_with("").await;
        let spec = ResourceSpec {
            failure_status: Some(status),
            ..one_run(10, Ending::Failed)
        };
        let id = watch_new(&app, spec).await;
        let (watch, evidence) = ended(&app, id).await;
        assert_eq!(outcome(&watch), Outcome::Failed);
        assert_eq!(
            (watch.problems, &evidence["http_status"]),
            (0, &status.into())
        );
        assert_eq!(proof(&evidence)["status"], "failed");
    }
}

#[tokio::test]
async fn claimed_error_status_without_a_verdict_is_a_problem() {
    let app = app_with("").await;
    let spec = ResourceSpec {
        failure_status: Some(500),
        faults: Faults {
            server_errors: 30,
            ..Faults::default()
        },
        ..one_run(10, Ending::Failed)
    };
    let id = watch_new(&app, spec).await;
    app.advance_secs(20).await;
    assert_eq!(app.last_problem(id), Some(ProblemKind::ServerError));
    assert_eq!(app.watch(id).await.job, None);
    let (watch, _) = ended(&app, id).await;
    assert_eq!((outcome(&watch), watch.problems), (Outcome::Failed, 30));
}

#[tokio::test]
async fn odd_bytes_are_read_and_noted() {
    let app = app_with("").await;
    let spec = ResourceSpec {
        odd_bytes: true,
        ..one_run(10, Ending::Succeeded)
    };
    let id = watch_new(&app, spec).await;
    let (watch, evidence) = ended(&app, id).await;
    assert_eq!((outcome(&watch), watch.problems), (Outcome::Succeeded, 0));
    assert!(watch.notes.has(Note::Lenient));
    assert_eq!(evidence["lenient"], true);
}

#[tokio::test]
async fn xml_is_read_as_json_is() {
    let app = app_with("").await;
    let mut spec = one_run(10, Ending::Failed);
    spec.format = BodyFormat::Xml;
    spec.runs[0].message = Some("2 < 3 & out of memory".to_owned());
    app.simulator.create_resource(spec).unwrap();
    let request = WatchRequest {
        service: "resource-xml".to_owned(),
        ..request()
    };
    let id = app.request(&request).await;
    let (watch, evidence) = ended(&app, id).await;
    assert_eq!((outcome(&watch), watch.problems), (Outcome::Failed, 0));
    assert_eq!(watch.run.as_deref(), Some("a"));
    let reason = watch.job.unwrap().reason;
    assert_eq!(reason.as_deref(), Some("2 < 3 & out of memory"));
    let body = evidence["body"].as_str().unwrap();
    assert!(body.contains("<status>failed</status>"), "{body}");
}

#[tokio::test]
async fn moving_url_is_followed_over_a_restart() {
    let app = app_with("").await;
    let spec = ResourceSpec {
        moving: true,
        ..one_run(60, Ending::Succeeded)
    };
    let id = watch_new(&app, spec).await;
    app.advance_secs(20).await;
    let before = paths(&app);
    let steps = (1..before.len()).map(|step| format!("/resources/web/steps/{step}"));
    let expected: Vec<String> = ["/resources/web".to_owned()]
        .into_iter()
        .chain(steps)
        .collect();
    assert_eq!(before, expected);

    // Only a change of the job is written, so the latest URL is not known any more.
    let stored = app.watch(id).await.follow.unwrap();
    assert_ne!(
        stored,
        format!("{}{}", app.simulator.url(), before[before.len() - 1])
    );
    let app = app.restart().await;
    app.next_poll(id).await;
    let after = paths(&app);
    assert_eq!(
        format!("{}{}", app.simulator.url(), after[before.len()]),
        stored
    );
    let (watch, _) = ended(&app, id).await;
    assert_eq!((outcome(&watch), watch.problems), (Outcome::Succeeded, 0));
    let polls = app.simulator.resource("web").unwrap().polls;
    let last = paths(&app).pop().unwrap();
    assert_eq!(last, format!("/resources/web/steps/{}", polls - 1));
}
