//! A store whose writes fail for a while: polling goes on, and all transitions are reported.
//!
//! Another connection adds a trigger to the database that makes the writes fail until the
//! test removes it.

use std::time::Duration;

use http::{Method, StatusCode};
use jobwatch::clock::later;
use jobwatch::simulator::{Ending, Service};
use jobwatch::store::delivery::DeliveryState;
use jobwatch::watch::Outcome;
use rusqlite::Connection;
use serde_json::Value;

use crate::harness::receiver::Reply;
use crate::harness::{App, job};
use crate::store::samples::deliveries_in;

/// The error of the failing database.
const REASON: &str = "no more room";

/// Makes every `what` fail, for example `UPDATE ON watches`.
struct Trouble {
    database: Connection,
    triggers: usize,
}

impl Trouble {
    fn begin(app: &App, what: &[&str]) -> Self {
        let database = Connection::open(app.database()).unwrap();
        for (n, what) in what.iter().enumerate() {
            let sql = format!(
                "CREATE TRIGGER trouble_{n} BEFORE {what} BEGIN SELECT RAISE(ABORT, '{REASON}'); END"
            );
            database.execute_batch(&sql).unwrap();
        }
        Self {
            database,
            triggers: what.len(),
        }
    }

    fn end(self) {
        for n in 0..self.triggers {
            let sql = format!("DROP TRIGGER trouble_{n}");
            self.database.execute_batch(&sql).unwrap();
        }
    }
}

/// The times of the events of a watch, by type.
fn noticed(events: &[Value], kind: &str) -> Value {
    let kind = format!("dev.jobwatch.{kind}");
    let event = events.iter().find(|event| event["type"] == kind);
    event.unwrap()["data"]["noticed_at"].clone()
}

#[tokio::test]
async fn a_verdict_is_reported_although_the_job_disappears() {
    let app = App::start().await;
    let id = app
        .watch_new(job(Service::Dcs, 10, Ending::Succeeded))
        .await;
    app.advance_secs(5).await;
    let trouble = Trouble::begin(&app, &["UPDATE ON watches"]);
    app.advance_secs(20).await;
    assert_eq!(app.outcome(id).await, None);
    assert_eq!(app.program.poller.unsaved(), 1);
    let seen_at = app.now();
    let polls = app.polls(id).await;
    app.simulator.forget(&app.watch(id).await.job_id);
    app.advance_secs(600).await;
    assert_eq!(app.outcome(id).await, None);
    trouble.end();
    app.advance_secs(20).await;
    assert_eq!(app.outcome(id).await, Some(Outcome::Succeeded));
    assert_eq!(app.program.poller.unsaved(), 0);
    let watch = app.watch(id).await;
    assert!(
        watch.finished_at.unwrap() <= seen_at,
        "noticed then, stored later"
    );
    assert_eq!(u64::from(watch.polls), polls, "it was not polled any more");
    let reported: Vec<_> = app.receiver.received();
    assert_eq!(reported.last().unwrap().kind(), "job.succeeded");
}

#[tokio::test]
async fn polling_goes_on_and_events_keep_their_order() {
    let app = App::start().await;
    let id = app.watch_new(job(Service::Sdrs, 600, Ending::Failed)).await;
    app.advance_secs(60).await;
    let before = app.event_types(id).await;
    assert_eq!(before, ["watch.accepted", "job.changed"]);
    let trouble = Trouble::begin(&app, &["UPDATE ON watches"]);
    app.advance_secs(900).await;
    assert_eq!(app.event_types(id).await, before);
    let waiting = app.program.poller.unsaved();
    assert!(waiting >= 2, "a change and the end, not {waiting}");
    trouble.end();
    app.advance_secs(30).await;
    let reported = app.event_types(id).await;
    assert_eq!(reported.len(), before.len() + waiting, "{reported:?}");
    assert_eq!(reported.last().unwrap(), "job.failed");
    let events = app.events(id).await;
    assert!(
        noticed(&events, "job.failed").as_str() > noticed(&events, "job.changed").as_str(),
        "each carries the time when it was noticed"
    );
    let ended: jiff::Timestamp = noticed(&events, "job.failed")
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(ended < later(app.now(), Duration::ZERO) - Duration::from_mins(3));
}

#[tokio::test]
async fn a_deadline_holds_while_the_store_fails() {
    let setup = crate::harness::Setup {
        schedule: "jitter = 0.0\ndeadline = \"1m\"".replace('\n', ", "),
        ..crate::harness::Setup::default()
    };
    let app = setup.start().await;
    let id = app.watch_new(job(Service::Dcs, 30, Ending::Never)).await;
    app.advance_secs(5).await;
    let trouble = Trouble::begin(&app, &["UPDATE ON watches"]);
    app.advance_secs(120).await;
    trouble.end();
    app.advance_secs(30).await;
    assert_eq!(app.outcome(id).await, Some(Outcome::TimedOut));
    let watch = app.watch(id).await;
    assert!(watch.finished_at.unwrap() <= later(watch.deadline, Duration::from_secs(1)));
}

#[tokio::test]
async fn a_refused_submission_has_its_reason_and_is_not_stored() {
    let app = App::start().await;
    // Readiness succeeds in this second, and the probe would keep that result for a while.
    let (status, _) = app.call(Method::GET, "/readyz", "").await;
    assert_eq!(status, StatusCode::OK);
    let trouble = Trouble::begin(&app, &["INSERT ON watches", "INSERT ON replicas"]);
    let body = r#"{"service":"dcs","job_id":"j"}"#;
    let (status, problem) = app.call(Method::POST, "/v1/watches", body).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains(REASON) && detail.contains("nothing was stored"),
        "{detail}"
    );
    let (status, problem) = app.call(Method::GET, "/readyz", "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(problem["detail"].as_str().unwrap().contains(REASON));
    let (status, page) = app.call(Method::GET, "/v1/watches", "").await;
    assert_eq!(
        (status, page["watches"].as_array().unwrap().len()),
        (StatusCode::OK, 0)
    );
    let (status, _) = app.call(Method::GET, "/livez", "").await;
    assert_eq!(status, StatusCode::OK);
    trouble.end();
    let (status, _) = app.call(Method::GET, "/readyz", "").await;
    assert_eq!(status, StatusCode::OK);
    let (status, _) = app.call(Method::POST, "/v1/watches", body).await;
    assert_eq!(status, StatusCode::CREATED);
}

#[tokio::test]
async fn an_unrecorded_delivery_is_not_sent_again() {
    let app = App::start().await;
    app.watch_new(job(Service::Dcs, 600, Ending::Never)).await;
    let trouble = Trouble::begin(&app, &["UPDATE OF state ON deliveries"]);
    assert!(app.program.courier.run_once().await.is_err());
    assert_eq!(app.receiver.received().len(), 1);
    app.receiver.always_answers(Reply::Status(500));
    for _ in 0..5 {
        // Longer than a lease.
        app.clock.advance(Duration::from_mins(5));
        assert!(app.program.courier.run_once().await.is_err());
    }
    assert_eq!(
        app.receiver.received().len(),
        1,
        "an event that cannot be recorded is not sent"
    );
    trouble.end();
    app.program.courier.run_once().await.unwrap();
    assert_eq!(app.receiver.received().len(), 1);
    let delivered = deliveries_in(&app.program.store, DeliveryState::Delivered).await;
    assert_eq!(delivered, 2, "the hook and the log");
}

/// As on a disk with room for a few pages: writes of one kind fail, those of others succeed.
#[tokio::test]
async fn readiness_is_red_while_only_small_writes_fit() {
    let app = App::start().await;
    let ready = async || app.call(Method::GET, "/readyz", "").await.0;
    assert_eq!(ready().await, StatusCode::OK);
    app.watch_new(job(Service::Dcs, 600, Ending::Never)).await;
    let large = "INSERT ON replicas WHEN length(NEW.version) >= 4096";
    let trouble = Trouble::begin(&app, &["UPDATE OF state ON deliveries", large]);
    assert!(app.program.courier.run_once().await.is_err());
    for _ in 0..3 {
        assert_eq!(ready().await, StatusCode::SERVICE_UNAVAILABLE);
        app.clock.advance(Duration::from_secs(1));
    }
    trouble.end();
    assert_eq!(ready().await, StatusCode::OK);

    // The write itself is proof, too.
    let trouble = Trouble::begin(&app, &["UPDATE OF state ON deliveries"]);
    app.watch_new(job(Service::Dcs, 600, Ending::Never)).await;
    assert!(app.program.courier.run_once().await.is_err());
    trouble.end();
    let trouble = Trouble::begin(&app, &[large]);
    assert_eq!(ready().await, StatusCode::SERVICE_UNAVAILABLE);
    app.program.courier.run_once().await.unwrap();
    assert_eq!(ready().await, StatusCode::OK);
    trouble.end();
}
