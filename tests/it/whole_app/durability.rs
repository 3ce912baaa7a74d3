//! Restarts: no loss, no repetition, and no burst of polls.

use std::collections::BTreeSet;
use std::time::Duration;

use http::{Method, StatusCode};
use jobwatch::clock::later;
use jobwatch::simulator::{Ending, Faults, Service};
use jobwatch::watch::Outcome;

use crate::harness::receiver::{Received, Reply};
use crate::harness::{App, Setup, job};

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_restart_loses_and_repeats_nothing() {
    let mut app = App::start().await;
    let id = app.watch_new(job(Service::Sdrs, 600, Ending::Failed)).await;
    for _ in 0..4 {
        app.advance_secs(60).await;
        app = app.restart().await;
    }
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Failed);
    assert_eq!(
        app.event_types(id).await,
        ["watch.accepted", "job.changed", "job.changed", "job.failed"]
    );
    let received = app.receiver.received();
    let ids: BTreeSet<&str> = received.iter().map(Received::id).collect();
    assert_eq!((received.len(), ids.len()), (4, 4));
}

#[tokio::test]
async fn a_watch_accepted_just_before_a_restart_is_kept() {
    let app = App::start().await;
    let job_id = app
        .simulator
        .create(job(Service::Dcs, 60, Ending::Succeeded))
        .unwrap()
        .job_id;
    let body = format!(r#"{{"service":"dcs","job_id":"{job_id}","labels":{{"deploy":"42"}}}}"#);
    let (status, shown) = app.call(Method::POST, "/v1/watches", &body).await;
    assert_eq!(status, StatusCode::CREATED);
    let app = app.restart().await;
    let id = shown["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(app.watch(id).await.labels["deploy"], "42");
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Succeeded);
    assert_eq!(app.receiver.received()[0].kind(), "watch.accepted");
}

#[tokio::test]
async fn an_undelivered_event_is_delivered_after_a_restart() {
    let app = App::start().await;
    app.receiver.always_answers(Reply::Status(503));
    let id = app.watch_new(job(Service::Dcs, 0, Ending::Succeeded)).await;
    app.advance_secs(3).await;
    assert_eq!(app.outcome(id).await, Some(Outcome::Succeeded));
    let app = app.restart().await;
    let before = app.receiver.received().len();
    app.receiver.always_answers(Reply::Status(204));
    app.advance(Duration::from_secs(10)).await;
    let received = app.receiver.received();
    let mut kinds: Vec<&str> = received[before..].iter().map(Received::kind).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["job.succeeded", "watch.accepted"]);
}

#[tokio::test]
async fn a_delivery_cut_off_by_a_crash_is_repeated() {
    let app = App::start().await;
    let id = app.watch_new(job(Service::Dcs, 600, Ending::Never)).await;
    let store = &app.program.store;
    let claimed = store.claim_deliveries("hook", HOUR, 10).await.unwrap();
    assert_eq!(claimed.len(), 1);
    app.program.courier.run_once().await.unwrap();
    assert!(
        app.receiver.received().is_empty(),
        "another process has claimed it"
    );
    let app = app.restart().await;
    app.program.courier.run_once().await.unwrap();
    let received = app.receiver.received();
    assert_eq!(received[0].id(), claimed[0].delivery.event_id.to_string());
    assert_eq!(received[0].body["data"]["watch_id"], id.to_string());
}

#[tokio::test]
async fn the_last_sighting_of_a_job_survives_a_restart() {
    let app = App::start().await;
    let id = app.watch_new(job(Service::Dcs, 10, Ending::Never)).await;
    app.advance_secs(60).await;
    let app = app.restart().await;
    // The job was seen before: its absence must be confirmed, and the grace does not apply.
    app.simulator.forget(&app.watch(id).await.job_id);
    app.tick().await;
    app.advance_secs(119).await;
    assert_eq!(app.outcome(id).await, None);
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Lost);
    let evidence = app.evidence(id).await;
    let last = evidence.last_sighting.unwrap();
    assert_eq!(last.status.as_deref(), Some("RUNNING"));
}

#[tokio::test]
async fn the_first_polls_after_a_restart_are_spread() {
    let app = App::start().await;
    let mut watches = Vec::new();
    for _ in 0..50 {
        watches.push(
            app.watch_new(job(Service::Dcs, 36_000, Ending::Never))
                .await,
        );
    }
    app.advance_secs(60).await;
    let app = app.restart().await;
    let due: BTreeSet<_> = watches
        .iter()
        .map(|id| app.progress(*id).next_poll_at)
        .collect();
    assert!(due.len() > 40, "{} moments", due.len());
    let longest = later(app.now(), Duration::from_secs(30));
    assert!(due.iter().all(|at| *at <= longest));
}

#[tokio::test]
async fn a_long_downtime_is_caught_up_after_a_restart() {
    let setup = Setup {
        schedule: "deadline = \"2h\"".to_owned(),
        ..Setup::default()
    };
    let app = setup.start().await;
    let ended = app
        .watch_new(job(Service::Dcs, 600, Ending::Succeeded))
        .await;
    let mut spec = job(Service::Dcs, 600, Ending::Succeeded);
    spec.faults = Faults {
        server_errors: u32::MAX,
        ..Faults::default()
    };
    let hidden = app.watch_new(spec).await;
    app.advance_secs(60).await;
    app.clock.advance(24 * HOUR);
    let app = app.restart().await;
    app.tick().await;
    app.advance_secs(60).await;
    assert_eq!(app.outcome(ended).await, Some(Outcome::Succeeded));
    assert_eq!(app.outcome(hidden).await, Some(Outcome::TimedOut));
}
