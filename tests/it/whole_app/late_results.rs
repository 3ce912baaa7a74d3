//! Verdicts that come after the end of their watch.

use std::time::Duration;

use jobwatch::clock::until;
use jobwatch::simulator::{Ending, Faults, Service};
use jobwatch::watch::{Outcome, WatchId};
use rusqlite::Connection;

use crate::harness::receiver::Received;
use crate::harness::{App, Setup, job, job_with};

const MINUTE: Duration = Duration::from_mins(1);

/// Watches that time out after ten minutes and get late polls for `after` more.
async fn looking_for(after: &str) -> App {
    let setup = Setup {
        schedule: format!("jitter = 0.0, deadline = \"10m\", after_watch = \"{after}\""),
        hook: "events = [\"finished\"]".to_owned(),
        ..Setup::default()
    };
    setup.start().await
}

/// Advances in steps of a minute.
async fn minutes(app: &App, count: u32) {
    for _ in 0..count {
        app.advance(MINUTE).await;
    }
}

fn late(app: &App) -> Vec<Received> {
    let mut received = app.receiver.received();
    received.retain(|one| one.kind() == "job.late_result");
    received
}

/// A watch that has just timed out on a job that ends this many minutes after its start.
async fn timed_out(app: &App, minutes_of_job: u64) -> WatchId {
    let spec = job(Service::Dcs, minutes_of_job * 60, Ending::Succeeded);
    let id = app.watch_new(spec).await;
    minutes(app, 11).await;
    assert_eq!(app.outcome(id).await, Some(Outcome::TimedOut));
    id
}

#[tokio::test]
async fn late_verdict_is_reported_once_and_the_outcome_stays() {
    let app = looking_for("6h").await;
    let id = timed_out(&app, 120).await;
    let polls = app.polls(id).await;
    let before = app.watch(id).await;
    minutes(&app, 8 * 60).await;
    let reported = late(&app);
    assert_eq!(reported.len(), 1);
    let data = &reported[0].body["data"];
    assert_eq!(
        (&data["outcome"], &data["verdict"]),
        (&"timed_out".into(), &"succeeded".into())
    );
    assert_eq!(data["status"], "SUCCESS");
    let noticed: jiff::Timestamp = data["noticed_at"].as_str().unwrap().parse().unwrap();
    let after = until(before.submitted_at, noticed);
    // One late poll each half hour after the end at ten minutes.
    assert_eq!(after.as_secs() / 60, 130, "{after:?}");
    assert_eq!(app.polls(id).await - polls, 4);
    assert_eq!(app.watch(id).await, before, "final is final");
    assert_eq!(app.event_types(id).await.last().unwrap(), "job.late_result");
    let first = app.receiver.received().remove(0);
    assert_eq!(first.kind(), "job.timed_out");
    assert!(
        !first.body["data"]
            .as_object()
            .unwrap()
            .contains_key("verdict")
    );
}

#[tokio::test]
async fn without_after_watch_no_late_poll_is_made() {
    let app = looking_for("0s").await;
    let id = timed_out(&app, 120).await;
    let polls = app.polls(id).await;
    minutes(&app, 8 * 60).await;
    assert_eq!(app.polls(id).await, polls);
    assert!(late(&app).is_empty());
}

#[tokio::test]
async fn late_polls_end_after_after_watch() {
    let app = looking_for("1h").await;
    let id = timed_out(&app, 120).await;
    let polls = app.polls(id).await;
    minutes(&app, 8 * 60).await;
    assert_eq!(app.polls(id).await - polls, 12);
    assert!(late(&app).is_empty());
    assert_eq!(app.program.poller.watching(), 0);
}

#[tokio::test]
async fn a_lost_job_that_reappears_makes_a_late_result() {
    let setup = Setup {
        schedule: "jitter = 0.0, not_found_grace = \"1m\", after_watch = \"6h\"".to_owned(),
        ..Setup::default()
    };
    let app = setup.start().await;
    let faults = Faults {
        not_found_for: Duration::from_hours(1),
        ..Faults::default()
    };
    let id = app.watch_new(job_with(Service::Dcs, faults)).await;
    minutes(&app, 5).await;
    assert_eq!(app.outcome(id).await, Some(Outcome::Lost));
    minutes(&app, 50).await;
    assert!(late(&app).is_empty());
    minutes(&app, 60).await;
    let reported = late(&app);
    assert_eq!(reported.len(), 1);
    assert_eq!(reported[0].body["data"]["outcome"], "lost");
    assert_eq!(reported[0].body["data"]["verdict"], "succeeded");
}

#[tokio::test]
async fn a_restart_keeps_late_polls_and_repeats_no_result() {
    let app = looking_for("6h").await;
    let id = timed_out(&app, 60).await;
    let app = app.restart().await;
    assert_eq!(app.program.poller.watching(), 0);
    minutes(&app, 120).await;
    assert_eq!(late(&app).len(), 1);
    let app = app.restart().await;
    let polls = app.polls(id).await;
    minutes(&app, 6 * 60).await;
    assert_eq!(app.polls(id).await, polls);
    assert_eq!(late(&app).len(), 1);
}

#[tokio::test]
async fn a_late_poll_yields_to_waiting_watches() {
    let setup = Setup {
        schedule: "jitter = 0.0, deadline = \"10m\", after_watch = \"1h\"".to_owned(),
        limits: "rate = 0.02\nburst = 1\nconcurrency = 1".to_owned(),
        ..Setup::default()
    };
    let app = setup.start().await;
    let id = app
        .watch_new(job(Service::Dcs, 1200, Ending::Succeeded))
        .await;
    minutes(&app, 12).await;
    assert_eq!(app.outcome(id).await, Some(Outcome::TimedOut));
    let polls = app.polls(id).await;
    for _ in 0..40 {
        app.watch_new(job(Service::Dcs, 36_000, Ending::Never))
            .await;
    }
    // Forty watches are due each minute, and the budget permits one poll each fifty seconds.
    minutes(&app, 9).await;
    assert_eq!(app.polls(id).await, polls);
    minutes(&app, 60).await;
    assert_eq!(late(&app).len(), 1, "there is room once they have ended");
}

#[tokio::test]
async fn a_late_verdict_is_kept_until_the_store_recovers() {
    let app = looking_for("6h").await;
    let id = timed_out(&app, 20).await;
    let database = Connection::open(app.database()).unwrap();
    let trouble = "CREATE TRIGGER trouble BEFORE INSERT ON events
        BEGIN SELECT RAISE(ABORT, 'no more room'); END";
    database.execute_batch(trouble).unwrap();
    minutes(&app, 60).await;
    assert_eq!(app.program.poller.unsaved(), 1);
    app.simulator.forget(&app.watch(id).await.job_id);
    database.execute_batch("DROP TRIGGER trouble").unwrap();
    minutes(&app, 2).await;
    assert_eq!(late(&app).len(), 1);
    assert_eq!(app.program.poller.unsaved(), 0);
}
