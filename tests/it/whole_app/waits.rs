//! Clients that wait for watches, and clients that follow the log of events.

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use jobwatch::simulator::{Ending, Service};
use jobwatch::watch::WatchId;
use serde_json::Value;
use tokio::task::{JoinHandle, yield_now};
use tower::ServiceExt;

use crate::harness::{App, job};

type Answer = JoinHandle<(StatusCode, Value)>;

/// Begins a request, and lets the announcer wake for it.
async fn begin(app: &App, path: &str) -> Answer {
    let router = app.program.router.clone();
    let request = Request::get(path).header("host", "localhost");
    let request = request.body(Body::empty()).unwrap();
    let answer = app.tracker.spawn(async move {
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    });
    settle(app).await;
    answer
}

/// Lets the requests under way go as far as they can.
async fn settle(app: &App) {
    for _ in 0..50 {
        app.program.announcer.run_once().await.unwrap();
        yield_now().await;
        // A read of the store has its own thread.
        app.program.store.cursor().await.unwrap();
    }
}

async fn watched(app: &App, seconds: u64) -> WatchId {
    app.watch_new(job(Service::Dcs, seconds, Ending::Succeeded))
        .await
}

#[tokio::test]
async fn a_wait_is_answered_when_its_watch_ends() {
    let app = App::start().await;
    let id = watched(&app, 30).await;
    let answer = begin(&app, &format!("/v1/watches/{id}/wait")).await;
    app.advance_secs(10).await;
    settle(&app).await;
    assert!(!answer.is_finished());
    app.advance_secs(60).await;
    settle(&app).await;
    let (status, watch) = answer.await.unwrap();
    assert_eq!(
        (status, &watch["state"]),
        (StatusCode::OK, &"succeeded".into())
    );
    let again = begin(&app, &format!("/v1/watches/{id}/wait")).await;
    assert_eq!(again.await.unwrap().1["state"], "succeeded", "at once");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_over_shows_the_watch_as_it_is() {
    let app = App::start().await;
    let id = watched(&app, 30).await;
    let answer = begin(&app, &format!("/v1/watches/{id}/wait?timeout=5s")).await;
    let (status, watch) = answer.await.unwrap();
    assert_eq!(
        (status, &watch["state"]),
        (StatusCode::OK, &"watching".into())
    );
}

#[tokio::test]
async fn a_wait_for_an_unknown_watch_is_refused() {
    let app = App::start().await;
    let unknown = "0199c0de-0000-7000-8000-000000000000";
    let answer = begin(&app, &format!("/v1/watches/{unknown}/wait")).await;
    let (status, problem) = answer.await.unwrap();
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
}

#[tokio::test]
async fn a_wait_for_all_needs_every_end() {
    let app = App::start().await;
    let (short, long) = (watched(&app, 20).await, watched(&app, 90).await);
    let all = begin(&app, "/v1/watches?service=dcs&wait=10m").await;
    let any = begin(&app, "/v1/watches?service=dcs&wait=10m&for=any").await;
    app.advance_secs(60).await;
    settle(&app).await;
    assert!(any.is_finished() && !all.is_finished());
    let (_, page) = any.await.unwrap();
    assert_eq!(page["watches"][1]["id"], short.to_string());
    assert_eq!(page["watches"][1]["state"], "succeeded");
    app.advance_secs(120).await;
    settle(&app).await;
    let (_, page) = all.await.unwrap();
    assert_eq!(page["watches"][0]["id"], long.to_string());
    assert_eq!(page["watches"][0]["state"], "succeeded");
}

#[tokio::test]
async fn a_wait_for_a_change_misses_none_since_the_last_answer() {
    let app = App::start().await;
    let id = watched(&app, 60).await;
    let path = format!("/v1/watches?id={id}&wait=10m&for=change&after=");
    let (status, _) = begin(&app, &format!("{path}7777")).await.await.unwrap();
    assert_eq!(status, StatusCode::BAD_REQUEST, "a position beyond the log");
    let (_, page) = app.call(Method::GET, "/v1/watches", "").await;
    let as_of = page["as_of"].as_str().unwrap().to_owned();
    let first = begin(&app, &format!("{path}{as_of}")).await;
    app.advance_secs(10).await;
    settle(&app).await;
    let (_, page) = first.await.unwrap();
    assert_eq!(page["watches"][0]["status"], "RUNNING");
    let as_of = page["as_of"].as_str().unwrap().to_owned();
    // The job ends while no request waits.
    app.advance_secs(120).await;
    settle(&app).await;
    let next = begin(&app, &format!("{path}{as_of}")).await;
    let (_, page) = next.await.unwrap();
    assert_eq!(page["watches"][0]["state"], "succeeded");
}

#[tokio::test]
async fn a_wait_ends_when_the_daemon_stops() {
    let app = App::start().await;
    let id = watched(&app, 60).await;
    let answer = begin(&app, &format!("/v1/watches/{id}/wait")).await;
    app.program.stop();
    let (status, problem) = answer.await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
}

#[tokio::test]
async fn parameters_of_a_wait_are_checked() {
    let app = App::start().await;
    let id = watched(&app, 60).await;
    for (query, named) in [
        ("timeout=11m", "at most 10m"),
        ("timeout=soon", "`soon`"),
        ("timout=5s", "timout"),
        ("for=ends", "end"),
        ("after=7", "for=change"),
    ] {
        let path = format!("/v1/watches/{id}/wait?{query}");
        let (status, problem) = app.call(Method::GET, &path, "").await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(named), "{query}: {detail}");
    }
}

#[tokio::test]
async fn a_poll_now_sees_the_end_of_a_job_at_once() {
    let app = App::start().await;
    let id = watched(&app, 5).await;
    app.advance_secs(3).await;
    app.clock.advance(Duration::from_secs(3));
    let before = app.polls(id).await;
    let path = format!("/v1/watches/{id}/poll");
    let (status, _) = app.call(Method::POST, &path, "").await;
    assert_eq!(status, StatusCode::OK);
    app.tick().await;
    assert_eq!(app.polls(id).await, before + 1);
}

/// Reads a stream of events until it has `count` of them; returns their ids and types.
async fn events(app: &App, path: &str, last: Option<&str>, count: usize) -> Vec<(String, String)> {
    let mut request = Request::get(path).header("host", "localhost");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let request = request.body(Body::empty()).unwrap();
    let router = app.program.router.clone();
    let reading = app.tracker.spawn(async move {
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut body = response.into_body();
        let (mut text, mut found) = (String::new(), Vec::new());
        while found.len() < count {
            let frame = body.frame().await.unwrap().unwrap();
            text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
            let blocks = text.split("\n\n").filter_map(|block| {
                let value = |name: &str| {
                    let line = block.lines().find_map(|line| line.strip_prefix(name));
                    line.map(|value| value.trim().to_owned())
                };
                value("data:")?;
                Some((value("id:")?, value("event:")?))
            });
            found = blocks.collect();
        }
        found
    });
    while !reading.is_finished() {
        settle(app).await;
    }
    reading.await.unwrap()
}

#[tokio::test]
async fn a_follower_continues_after_a_restart_without_a_gap() {
    let app = App::start().await;
    watched(&app, 20).await;
    app.advance_secs(60).await;
    let first = events(&app, "/v1/events?after=0", None, 2).await;
    let types: Vec<&str> = first.iter().map(|(_, kind)| kind.as_str()).collect();
    assert_eq!(
        types,
        ["dev.jobwatch.watch.accepted", "dev.jobwatch.job.changed"]
    );
    let app = app.restart().await;
    watched(&app, 20).await;
    let rest = events(&app, "/v1/events", Some(&first[1].0), 2).await;
    let types: Vec<&str> = rest.iter().map(|(_, kind)| kind.as_str()).collect();
    assert_eq!(
        types,
        ["dev.jobwatch.job.succeeded", "dev.jobwatch.watch.accepted"]
    );
    let all = events(&app, "/v1/events?after=0", None, 4).await;
    assert_eq!(all, [first, rest].concat());
}

#[tokio::test]
async fn a_follower_gets_only_the_events_it_asked_for() {
    let app = App::start().await;
    let one = watched(&app, 20).await;
    let other = watched(&app, 20).await;
    app.advance_secs(60).await;
    let path = format!("/v1/events?after=0&watch={other}&type=finished");
    let found = events(&app, &path, None, 1).await;
    assert_eq!(found[0].1, "dev.jobwatch.job.succeeded");
    let path = format!("/v1/watches/{one}/events");
    let (_, shown) = app.call(Method::GET, &path, "").await;
    let shown = shown["events"].as_array().unwrap();
    assert!(
        shown
            .iter()
            .all(|event| event["data"]["watch_id"] == one.to_string())
    );
    assert_eq!(shown.len(), app.event_types(one).await.len());
}
