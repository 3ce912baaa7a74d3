//! An identity service that is down, fails or throttles for an hour.

use std::time::Duration;

use jobwatch::watch::WatchId;
use jobwatch::watch::observation::ProblemKind;
use serde_json::json;

use crate::credentials::cloud::{Cloud, HOUR, KEYSTONE, PASSWORD, watches};
use crate::credentials::stand::Answer;
use crate::harness::App;

/// An hour without tokens: nothing ends, nothing is asked, and the problem is of this kind.
async fn an_hour_without(cloud: &Cloud, app: &App, kind: ProblemKind) -> Vec<WatchId> {
    let ids = watches(app, 8).await;
    app.advance_secs(3600).await;
    for id in &ids {
        assert_eq!(app.outcome(*id).await, None);
        assert_eq!(app.last_problem(*id), Some(kind));
    }
    assert_eq!(cloud.jobs.count(), 0);
    ids
}

/// Within a minute of its return every watch sees its job, and then at every poll.
async fn all_recover(cloud: &Cloud, app: &App, ids: &[WatchId]) {
    app.advance_secs(60).await;
    let asked = cloud.jobs.asked();
    let problems: Vec<u32> = ids.iter().map(|id| app.progress(*id).problems).collect();
    for id in ids {
        let job_id = app.watch(*id).await.job_id;
        assert!(
            asked.iter().any(|it| it.path.ends_with(&job_id)),
            "{job_id}"
        );
    }
    app.advance_secs(60).await;
    let later: Vec<u32> = ids.iter().map(|id| app.progress(*id).problems).collect();
    assert_eq!(problems, later);
    assert_eq!(cloud.jobs.refused(), 0);
}

#[tokio::test]
async fn an_hour_of_refused_connections_ends_no_watch() {
    let cloud = Cloud::start();
    let app = cloud.app(KEYSTONE).await;
    let closed = cloud.identity.close().await;
    let ids = an_hour_without(&cloud, &app, ProblemKind::Unreachable).await;
    let problem = app.progress(ids[0]).last_problem.unwrap().message;
    assert!(problem.contains("cannot connect"), "{problem}");
    closed.reopen();
    all_recover(&cloud, &app, &ids).await;
    assert_eq!(cloud.logins(), 1);
}

#[tokio::test]
async fn failing_identity_service_is_asked_once_a_minute() {
    let cloud = Cloud::start();
    cloud
        .identity
        .always(Answer::text(503, "<html>maintenance</html>"));
    let app = cloud.app(KEYSTONE).await;
    let ids = an_hour_without(&cloud, &app, ProblemKind::ServerError).await;
    // Pauses of 1, 2, 4, 8, 16 and 32 seconds, then of a minute.
    let attempts = cloud.logins();
    assert!((60..=66).contains(&attempts), "{attempts} attempts");
    let problem = app.progress(ids[0]).last_problem.unwrap().message;
    assert!(problem.contains("HTTP 503 (maintenance)"), "{problem}");
    cloud.identity.as_usual();
    all_recover(&cloud, &app, &ids).await;
    assert_eq!(cloud.logins(), attempts + 1);
}

#[tokio::test]
async fn retry_after_of_the_identity_service_is_respected() {
    let cloud = Cloud::start();
    let body = json!({ "error": { "code": 429, "message": "The throttling threshold has been reached.", "title": "Too Many Requests" } });
    let busy = |seconds: &str| Answer::new(429, &body).with("retry-after", seconds);
    cloud.identity.always(busy("300"));
    let app = cloud.app(KEYSTONE).await;
    let ids = an_hour_without(&cloud, &app, ProblemKind::Throttled).await;
    assert_eq!(cloud.logins(), 12);
    // A Retry-After of hours is cut, and one of zero still pauses.
    cloud.identity.always(busy("86400"));
    app.advance_secs(5).await;
    assert_eq!(cloud.logins(), 13);
    cloud.identity.always(busy("0"));
    app.advance_secs(590).await;
    assert_eq!(cloud.logins(), 13);
    app.advance_secs(10).await;
    assert_eq!(cloud.logins(), 14);
    app.advance_secs(600).await;
    assert!((23..=24).contains(&cloud.logins()), "{}", cloud.logins());
    cloud.identity.as_usual();
    all_recover(&cloud, &app, &ids).await;
}

#[tokio::test]
async fn failed_login_is_a_problem_of_its_kind() {
    for (status, kind) in [
        (408, ProblemKind::ServerError),
        (500, ProblemKind::ServerError),
        (502, ProblemKind::ServerError),
        (429, ProblemKind::Throttled),
        (302, ProblemKind::Unauthorized),
        (400, ProblemKind::Unauthorized),
        (401, ProblemKind::Unauthorized),
        (403, ProblemKind::Unauthorized),
        (404, ProblemKind::Unauthorized),
        (200, ProblemKind::Unauthorized),
    ] {
        for credential in [KEYSTONE, &agency_of_keystone()] {
            let cloud = Cloud::start();
            cloud.identity.always(Answer::text(status, ""));
            let app = cloud.app(credential).await;
            let id = app.submit("jobs", "job-1").await;
            app.next_poll(id).await;
            let problem = app.progress(id).last_problem.unwrap();
            assert_eq!(problem.kind, kind, "HTTP {status}, {credential}");
            assert_eq!(problem.http_status, None, "the service was not asked");
            let wanted = format!("problem=\"{}\"", kind.as_str());
            let counted = app.metrics().await;
            assert!(counted.contains(&wanted), "{wanted} is not in:\n{counted}");
        }
    }
}

/// An agency that is assumed with the token of a user.
fn agency_of_keystone() -> String {
    let source = KEYSTONE.replace("[credentials.otc]", "[credentials.source]");
    format!(
        "[credentials.otc]\nkind = \"agency\"\nsource = \"source\"\nauth_url = \"{{iam}}\"\n\
         agency_name = \"watchers\"\ndomain = \"OTC-2\"\nproject = \"eu-de_prod\"\n{source}"
    )
}

#[tokio::test]
async fn throttled_identity_service_pauses_no_budget() {
    let cloud = Cloud::start();
    cloud
        .identity
        .always(Answer::text(429, "").with("retry-after", "300"));
    let app = cloud.app(KEYSTONE).await;
    let waits = app.submit("jobs", "job-1").await;
    app.advance_secs(1).await;
    assert_eq!(app.last_problem(waits), Some(ProblemKind::Throttled));
    // A new password is tried at once; nothing else keeps the service from being asked.
    cloud.identity.as_usual();
    cloud.write("password", PASSWORD);
    app.submit("jobs", "job-2").await;
    app.advance_secs(2).await;
    assert!(cloud.jobs.last().path.ends_with("job-2"));
    assert_eq!(
        app.progress(waits).polls,
        1,
        "it waits as long as it was asked to"
    );
    app.advance_secs(298).await;
    assert_eq!(app.progress(waits).polls, 2);
}

#[tokio::test]
async fn an_outage_shorter_than_the_token_has_no_effect() {
    for down in [true, false] {
        let cloud = Cloud::start();
        cloud.register.issue_for(2 * HOUR);
        let app = cloud.app(KEYSTONE).await;
        let ids = watches(&app, 2).await;
        app.advance_secs(5).await;
        // From here on the token cannot be renewed; its renewal is due after 100 minutes.
        let closed = if down {
            Some(cloud.identity.close().await)
        } else {
            cloud.identity.always(Answer::text(503, ""));
            None
        };
        for _ in 0..118 * 2 {
            app.advance(Duration::from_secs(30)).await;
        }
        assert!(cloud.logins() <= 1 + 25, "{} attempts", cloud.logins());
        match closed {
            Some(closed) => closed.reopen(),
            None => cloud.identity.as_usual(),
        }
        for _ in 0..20 {
            app.advance(Duration::from_secs(30)).await;
        }
        for id in ids {
            assert_eq!(app.progress(id).problems, 0);
        }
        assert_eq!(cloud.jobs.refused(), 0);
    }
}

#[tokio::test]
async fn an_outage_longer_than_the_token_pauses_polls() {
    let cloud = Cloud::start();
    cloud.register.issue_for(HOUR);
    let app = cloud.app(KEYSTONE).await;
    let id = app.submit("jobs", "job-1").await;
    app.advance_secs(5).await;
    cloud.identity.always(Answer::text(503, ""));
    for _ in 0..2 * 360 {
        app.advance(Duration::from_secs(10)).await;
    }
    assert_eq!(app.outcome(id).await, None);
    assert_eq!(app.last_problem(id), Some(ProblemKind::ServerError));
    let before = cloud.jobs.count();
    cloud.identity.as_usual();
    app.advance_secs(61).await;
    assert!(cloud.jobs.count() > before);
    let polled = cloud.jobs.last();
    assert_eq!(cloud.register.judge(&polled), Ok(()));
}
