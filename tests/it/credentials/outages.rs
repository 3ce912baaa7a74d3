//! An identity service that is down, busy or throttles, for an hour.

use std::time::Duration;

use jobwatch::watch::WatchId;
use jobwatch::watch::observation::ProblemKind;
use serde_json::json;

use crate::credentials::cloud::{Cloud, HOUR, KEYSTONE, watches};
use crate::credentials::stand::Answer;
use crate::harness::App;

/// An hour without tokens: nothing ends, nothing is asked.
async fn an_hour_without(cloud: &Cloud, app: &App) -> Vec<WatchId> {
    let ids = watches(app, 8).await;
    app.advance_secs(3600).await;
    for id in &ids {
        assert_eq!(app.outcome(*id).await, None);
        assert_eq!(app.last_problem(*id), Some(ProblemKind::Unauthorized));
    }
    assert_eq!(cloud.jobs.count(), 0);
    ids
}

/// Within a minute of its return every watch sees its job, and from then on at every poll.
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
async fn an_identity_service_that_refuses_connections_for_an_hour_ends_nothing() {
    let cloud = Cloud::start();
    let app = cloud.app(KEYSTONE).await;
    let closed = cloud.identity.close().await;
    let ids = an_hour_without(&cloud, &app).await;
    let problem = app.progress(ids[0]).last_problem.unwrap().message;
    assert!(problem.contains("cannot connect"), "{problem}");
    closed.reopen();
    all_recover(&cloud, &app, &ids).await;
    assert_eq!(cloud.logins(), 1);
}

#[tokio::test]
async fn an_identity_service_that_fails_for_an_hour_is_asked_once_a_minute() {
    let cloud = Cloud::start();
    cloud
        .identity
        .always(Answer::text(503, "<html>maintenance</html>"));
    let app = cloud.app(KEYSTONE).await;
    let ids = an_hour_without(&cloud, &app).await;
    // 1, 2, 4, 8, 16 and 32 seconds, then a minute each.
    let attempts = cloud.logins();
    assert!((60..=66).contains(&attempts), "{attempts} attempts");
    let problem = app.progress(ids[0]).last_problem.unwrap().message;
    assert!(problem.contains("HTTP 503"), "{problem}");
    cloud.identity.as_usual();
    all_recover(&cloud, &app, &ids).await;
    assert_eq!(cloud.logins(), attempts + 1);
}

#[tokio::test]
async fn an_identity_service_that_throttles_is_left_alone_as_long_as_it_wishes() {
    let cloud = Cloud::start();
    let body = json!({ "error": { "code": 429, "message": "The throttling threshold has been reached.", "title": "Too Many Requests" } });
    let busy = |seconds: &str| Answer::new(429, &body).with("retry-after", seconds);
    cloud.identity.always(busy("300"));
    let app = cloud.app(KEYSTONE).await;
    let ids = an_hour_without(&cloud, &app).await;
    assert_eq!(cloud.logins(), 12);
    // A wish of hours is cut, and one of nothing is no leave to hammer.
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
async fn while_the_token_holds_an_outage_is_not_noticed() {
    for down in [true, false] {
        let cloud = Cloud::start();
        cloud.register.issue_for(2 * HOUR);
        let app = cloud.app(KEYSTONE).await;
        let ids = watches(&app, 2).await;
        app.advance_secs(5).await;
        // From here on it cannot be renewed; it is due after 100 minutes.
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
async fn an_outage_that_outlasts_the_token_stops_polls_until_it_is_over() {
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
    assert_eq!(app.last_problem(id), Some(ProblemKind::Unauthorized));
    let before = cloud.jobs.count();
    cloud.identity.as_usual();
    app.advance_secs(61).await;
    assert!(cloud.jobs.count() > before);
    let polled = cloud.jobs.last();
    assert_eq!(cloud.register.judge(&polled), Ok(()));
}
