//! `why`: one paragraph from what the process knows.

use http::Method;
use jobwatch::simulator::{Ending, Faults, RetryAfter, Service, Throttle};
use jobwatch::watch::WatchId;
use serde_json::{Value, json};

use crate::harness::{App, job, job_with};

impl App {
    async fn why(&self, id: WatchId) -> Value {
        let path = format!("/v1/watches/{id}/why");
        let (status, why) = self.call(Method::GET, &path, "").await;
        assert_eq!(status, 200, "{why}");
        why
    }
}

#[track_caller]
fn says(why: &Value, parts: &[&str]) {
    let text = why["text"].as_str().unwrap();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[tokio::test]
async fn a_watch_is_explained_from_its_first_moment() {
    let app = App::start().await;
    let id = app.watch_new(job(Service::Dcs, 600, Ending::Never)).await;
    let new = app.why(id).await;
    says(
        &new,
        &[
            "It has not been polled yet.",
            "The next poll comes in 2s, after the delay before the first poll.",
            "Its end goes to `hook` and `log`.",
        ],
    );
    app.advance_secs(3).await;
    let running = app.why(id).await;
    says(
        &running,
        &[
            "since 2026-11-22T10:00:00Z, for 3s.",
            "The last answer, 1s ago, shows the status `INIT`.",
            "The next poll comes in 1s, after the usual interval between two polls.",
            "Without a verdict it ends as `timed_out` at 2026-11-23T10:00:00Z",
        ],
    );
    assert_eq!(running["next_poll"]["because"], "interval");
    assert_eq!(running["state"], "watching");
    assert!(
        running["receivers"]["delivered"].as_u64() > Some(0),
        "{running}"
    );
}

#[tokio::test]
async fn throttling_is_explained_to_all_watches_of_the_budget() {
    let app = App::start().await;
    let faults = Faults {
        throttle: Some(Throttle {
            polls: 1,
            retry_after: RetryAfter::Seconds(60),
        }),
        ..Faults::default()
    };
    let throttled = app.watch_new(job_with(Service::Dcs, faults)).await;
    app.advance_secs(2).await;
    let other = app.watch_new(job(Service::Sdrs, 600, Ending::Never)).await;
    app.advance_secs(3).await;
    let pause = "the service was asked too often, and all polls of its budget pause until 2026-11-22T10:01:02Z.";
    says(
        &app.why(throttled).await,
        &["HTTP 429", "The job has not been seen yet.", pause],
    );
    says(
        &app.why(other).await,
        &["It has not been polled yet.", pause],
    );
}

#[tokio::test]
async fn problems_in_a_row_are_counted_in_words() {
    let app = App::start().await;
    let faults = Faults {
        server_errors: 5,
        ..Faults::default()
    };
    let id = app.watch_new(job_with(Service::Dcs, faults)).await;
    app.advance_secs(5).await;
    let why = app.why(id).await;
    says(
        &why,
        &[
            "did not show the job, because the service failed, HTTP 503",
            "That was problem 2 in a row.",
        ],
    );
    assert_eq!(
        (&why["problem"]["kind"], &why["problem"]["in_a_row"]),
        (&json!("server_error"), &json!(2))
    );
}

#[tokio::test]
async fn an_end_is_explained_with_its_evidence() {
    let app = App::start().await;
    let failed = app.watch_new(job(Service::Dcs, 5, Ending::Failed)).await;
    let stopped = app.watch_new(job(Service::Dcs, 600, Ending::Never)).await;
    app.advance_secs(20).await;
    app.call(Method::DELETE, &format!("/v1/watches/{stopped}"), "")
        .await;
    let why = app.why(failed).await;
    says(
        &why,
        &[
            "ended as `failed` at",
            "The service said `FAIL`.",
            "is kept as evidence.",
        ],
    );
    assert_eq!(
        (&why["end"]["outcome"], &why["next_poll"]),
        (&json!("failed"), &Value::Null)
    );
    says(
        &app.why(stopped).await,
        &["A person stopped the watch. The job itself was not changed."],
    );
}

#[tokio::test]
async fn a_poll_that_was_asked_for_says_so() {
    let app = App::start().await;
    let id = app.watch_new(job(Service::Dcs, 600, Ending::Never)).await;
    app.advance_secs(60).await;
    app.call(Method::POST, &format!("/v1/watches/{id}/poll"), "")
        .await;
    assert_eq!(app.why(id).await["next_poll"]["because"], "asked");
}

#[tokio::test]
async fn a_restart_is_told() {
    let app = App::start().await;
    let id = app.watch_new(job(Service::Dcs, 600, Ending::Never)).await;
    app.advance_secs(30).await;
    let app = app.restart().await;
    says(
        &app.why(id).await,
        &[
            "It has not been polled since the daemon started; the last known answer had the status `INIT`.",
        ],
    );
}
