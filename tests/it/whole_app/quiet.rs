//! Effects that must not happen: writes without news, and changes of final watches.

use std::time::Duration;

use http::{Method, StatusCode};
use jobwatch::simulator::{Ending, Faults, Service};
use jobwatch::watch::Outcome;
use rusqlite::Connection;

use crate::harness::{App, job};

const HOUR: Duration = Duration::from_hours(1);

/// A number that changes when another connection commits.
fn data_version(connection: &Connection) -> i64 {
    connection
        .pragma_query_value(None, "data_version", |row| row.get(0))
        .unwrap()
}

#[tokio::test]
async fn a_poll_that_shows_nothing_new_writes_nothing() {
    let app = App::start().await;
    let id = app.watch_new(job(Service::Dcs, 10, Ending::Never)).await;
    app.advance_secs(60).await;
    let database = Connection::open(app.database()).unwrap();
    let (before, stored) = (data_version(&database), app.watch(id).await);
    let polls = app.progress(id).polls;
    for _ in 0..50 {
        app.next_poll(id).await;
    }
    assert_eq!(app.progress(id).polls, polls + 50);
    assert_eq!(data_version(&database), before);
    assert_eq!(app.watch(id).await, stored);
    // The check itself works: an end is written.
    app.call(Method::DELETE, &format!("/v1/watches/{id}"), "")
        .await;
    assert_ne!(data_version(&database), before);
}

#[tokio::test]
async fn a_lasting_problem_writes_nothing() {
    let app = App::start().await;
    let mut spec = job(Service::Sdrs, 10, Ending::Never);
    spec.faults = Faults {
        server_errors: 50,
        ..Faults::default()
    };
    let id = app.watch_new(spec).await;
    let database = Connection::open(app.database()).unwrap();
    app.tick().await;
    let before = data_version(&database);
    for _ in 0..50 {
        app.next_poll(id).await;
    }
    assert_eq!(app.progress(id).problems, 50);
    assert_eq!(data_version(&database), before);
}

#[tokio::test]
async fn polls_between_commits_are_shown_by_the_api() {
    let app = App::start().await;
    let id = app.watch_new(job(Service::Dcs, 10, Ending::Never)).await;
    app.advance_secs(600).await;
    let polls = app.polls(id).await;
    let (status, shown) = app
        .call(Method::GET, &format!("/v1/watches/{id}"), "")
        .await;
    assert_eq!(
        (status, shown["polls"].as_u64()),
        (StatusCode::OK, Some(polls))
    );
    assert!(u64::from(app.watch(id).await.polls) < polls);
}

#[tokio::test]
async fn a_final_watch_stays_final() {
    let app = App::start().await;
    let id = app
        .watch_new(job(Service::Dcs, 10, Ending::Succeeded))
        .await;
    app.run_until_final(id, HOUR).await;
    let (ended, types) = (app.watch(id).await, app.event_types(id).await);
    let polls = app.polls(id).await;
    app.advance_secs(300).await;
    assert_eq!(app.polls(id).await, polls, "an ended watch is not polled");
    app.simulator.forget(&ended.job_id);
    let app = app.restart().await;
    app.advance_secs(300).await;
    app.call(Method::DELETE, &format!("/v1/watches/{id}"), "")
        .await;
    assert_eq!(app.watch(id).await, ended);
    assert_eq!(app.event_types(id).await, types);
    assert_eq!(ended.state.outcome(), Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_job_submitted_again_returns_its_watch() {
    let app = App::start().await;
    let id = app
        .watch_new(job(Service::Dcs, 10, Ending::Succeeded))
        .await;
    let body = format!(
        r#"{{"service":"dcs","job_id":"{}","labels":{{"other":"label"}}}}"#,
        app.watch(id).await.job_id
    );
    for _ in 0..2 {
        let (status, shown) = app.call(Method::POST, "/v1/watches", &body).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(shown["id"], id.to_string());
        assert_eq!(shown["labels"], serde_json::json!({}));
        app.run_until_final(id, HOUR).await;
    }
    let types = app.event_types(id).await;
    assert_eq!(
        types
            .iter()
            .filter(|kind| *kind == "watch.accepted")
            .count(),
        1
    );
}
