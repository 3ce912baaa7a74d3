//! Access keys that are refused: after a few wrong signatures the gateway locks the key for
//! all its users.

use std::time::Duration;

use jobwatch::watch::observation::ProblemKind;

use crate::credentials::cloud::{ACCESS_KEY, AKSK, Cloud, SECRET_KEY, watches};
use crate::credentials::log::Log;
use crate::credentials::stand::Answer;

const WRONG: &str = "a-wrong-secret-key-of-the-tests";
const WINDOW_S: u64 = 300;
const LOCKED: &str = "AK access failed to reach the limit, forbidden";

#[tokio::test]
async fn a_few_refusals_stop_signing_for_the_lock_window() {
    let log = Log::begin();
    let cloud = Cloud::start();
    cloud.write("sk", WRONG);
    let app = cloud.app(AKSK).await;
    let ids = watches(&app, 8).await;
    app.advance_secs(30).await;
    let refused = cloud.jobs.count();
    assert_eq!(refused, 4, "the gateway locks after more than five");
    let stopped = cloud.jobs.last().at;
    app.advance_secs(WINDOW_S - 35).await;
    assert_eq!(cloud.jobs.count(), refused);
    for id in &ids {
        let problem = app.progress(*id).last_problem.unwrap();
        assert_eq!(problem.kind, ProblemKind::Unauthorized);
        for words in ["`otc`", "nothing is signed for another", "secret_key"] {
            assert!(problem.message.contains(words), "{}", problem.message);
        }
    }
    assert_eq!(
        log.lines_with(&["WARN", "otc", "signatures are refused"])
            .len(),
        1
    );
    // After the window: one trial, and another window.
    app.advance_secs(60).await;
    assert_eq!(cloud.jobs.count(), refused + 1);
    let trial = cloud.jobs.last().at.duration_since(stopped);
    assert!(trial.as_secs() >= 300, "{trial:?}");
    app.advance_secs(3600).await;
    assert!(cloud.jobs.count() <= refused + 13, "{}", cloud.jobs.count());
    for id in ids {
        assert_eq!(app.outcome(id).await, None);
    }
    assert!(!log.text().contains(WRONG) && !log.text().contains(ACCESS_KEY));
}

#[tokio::test]
async fn a_reported_lock_stops_signing_at_once() {
    let cloud = Cloud::start();
    cloud
        .jobs
        .always(Answer::gateway(401, "APIGW.0301", LOCKED));
    let app = cloud.app(AKSK).await;
    watches(&app, 8).await;
    app.advance_secs(WINDOW_S - 1).await;
    assert_eq!(cloud.jobs.count(), 1);
    cloud.jobs.as_usual();
    app.advance_secs(5).await;
    assert!(
        cloud.jobs.count() > 8,
        "the lock is over: every watch is polled again"
    );
}

#[tokio::test]
async fn a_later_lock_stops_all_polls_with_the_key() {
    let cloud = Cloud::start();
    let app = cloud.app(AKSK).await;
    watches(&app, 8).await;
    app.advance_secs(5).await;
    assert_eq!(cloud.jobs.refused(), 0);
    cloud
        .jobs
        .always(Answer::gateway(401, "APIGW.0301", LOCKED));
    let before = cloud.jobs.count();
    app.advance_secs(WINDOW_S - 2).await;
    // The polls that were already in flight.
    assert!(cloud.jobs.count() - before <= 8);
}

#[tokio::test]
async fn an_unproven_key_signs_one_request_at_a_time() {
    let cloud = Cloud::start();
    let app = cloud.app(AKSK).await;
    let ids = watches(&app, 8).await;
    cloud.jobs.hold(true);
    let first = async {
        while cloud.jobs.count() == 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(cloud.jobs.count(), 1);
        cloud.jobs.hold(false);
    };
    tokio::join!(app.advance(Duration::from_secs(1)), first);
    assert_eq!(cloud.jobs.count(), 8);
    // Once accepted, the key signs requests at the same time.
    cloud.jobs.hold(true);
    let all = async {
        while cloud.jobs.count() < 16 {
            tokio::task::yield_now().await;
        }
        cloud.jobs.hold(false);
    };
    tokio::join!(app.advance(Duration::from_secs(1)), all);
    for id in ids {
        assert_eq!(app.progress(id).problems, 0);
    }
}

#[tokio::test]
async fn a_replaced_key_is_used_at_once_after_a_stop() {
    let cloud = Cloud::start();
    cloud.write("sk", WRONG);
    let app = cloud.app(AKSK).await;
    let ids = watches(&app, 8).await;
    app.advance_secs(30).await;
    let refused = cloud.jobs.count();
    cloud.write("sk", SECRET_KEY);
    app.advance_secs(1).await;
    assert_eq!(cloud.jobs.count(), refused + 8);
    let problems: Vec<u32> = ids.iter().map(|id| app.progress(*id).problems).collect();
    app.advance_secs(60).await;
    let later: Vec<u32> = ids.iter().map(|id| app.progress(*id).problems).collect();
    assert_eq!(problems, later);
}

#[tokio::test]
async fn waiting_requests_are_signed_with_the_replaced_key() {
    let cloud = Cloud::start();
    cloud.write("sk", WRONG);
    let app = cloud.app(AKSK).await;
    let ids = watches(&app, 8).await;
    cloud.jobs.hold(true);
    // The key is replaced while one request is on trial and the others wait for its answer.
    let replaced = async {
        while cloud.jobs.count() == 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        cloud.write("sk", SECRET_KEY);
        cloud.jobs.hold(false);
    };
    tokio::join!(app.advance(Duration::from_secs(1)), replaced);
    assert_eq!(cloud.jobs.refused(), 1, "that of the one on trial");
    assert_eq!(cloud.jobs.count(), 9);
    for id in ids {
        assert_eq!(app.progress(id).problems, 0);
    }
}

#[tokio::test]
async fn a_refusal_by_the_service_does_not_count_against_the_key() {
    let cloud = Cloud::start();
    let body = serde_json::json!({ "error": { "code": "111401004", "message": "mismatch" } });
    cloud.jobs.always(Answer::new(401, &body));
    let app = cloud.app(AKSK).await;
    let id = app.submit("jobs", "job-1").await;
    app.advance_secs(3600).await;
    let problem = app.progress(id).last_problem.unwrap().message;
    assert!(!problem.contains("nothing is signed"), "{problem}");
    assert_eq!(app.outcome(id).await, None);
}
