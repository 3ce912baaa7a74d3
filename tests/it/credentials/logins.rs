//! Wrong passwords: the messages about them, the pauses between attempts, and the reaction
//! to a replaced password.

use std::time::Duration;

use jobwatch::watch::Outcome;
use jobwatch::watch::observation::ProblemKind;
use serde_json::json;

use crate::credentials::cloud::{Cloud, HOUR, KEYSTONE, PASSWORD, TOKENS, watches};
use crate::credentials::log::Log;
use crate::credentials::stand::Answer;

const WRONG: &str = "wrong-horse-battery";

/// A cloud whose identity service accepts only [`PASSWORD`], and repeats others in its answer.
fn cloud_with(password: &str) -> Cloud {
    let cloud = Cloud::start();
    cloud.write("password", password);
    cloud.identity.instead(|asked| {
        let sent = asked.json()["auth"]["identity"]["password"]["user"]["password"].clone();
        if !asked.is("POST", TOKENS) || sent == PASSWORD {
            return None;
        }
        let sent = sent.as_str().unwrap();
        let message = format!("Incorrect user name or password: watcher / {sent}");
        let body = json!({ "error_code": "IAM.0062", "error_msg": message });
        Some(Answer::new(401, &body))
    });
    cloud
}

#[tokio::test]
async fn a_wrong_password_is_reported_but_not_shown() {
    let log = Log::begin();
    let cloud = cloud_with(WRONG);
    let app = cloud.app(KEYSTONE).await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    let problem = app.progress(id).last_problem.unwrap();
    assert_eq!(problem.kind, ProblemKind::Unauthorized);
    let place = cloud.place("password");
    let url = format!("{}/v3", cloud.identity.url);
    let said = [
        "credential `otc`: cannot log in at",
        &url,
        "`watcher` of the domain `OTC-1`",
        "HTTP 401",
        "IAM.0062",
        &place,
        "`project`",
        "next attempt in 5m",
    ];
    for words in said {
        assert!(
            problem.message.contains(words),
            "{words}: {}",
            problem.message
        );
    }
    let warnings = log.lines_with(&["WARN", "credential=\"otc\"", "IAM.0062", &place]);
    assert_eq!(warnings.len(), 1, "{}", log.text());
    assert!(
        warnings[0].contains("next_attempt_in=\"5m\""),
        "{warnings:?}"
    );
    assert!(!log.text().contains(WRONG));
    assert!(!problem.message.contains(WRONG));
    assert_eq!(cloud.jobs.count(), 0, "no poll is made without a token");
}

#[tokio::test]
async fn a_wrong_password_is_tried_less_and_less_often() {
    let cloud = cloud_with(WRONG);
    let app = cloud.app(KEYSTONE).await;
    let ids = watches(&app, 8).await;
    for _ in 0..3 * 3600 / 5 {
        app.advance(Duration::from_secs(5)).await;
    }
    let asked = cloud.identity.asked();
    let minutes: Vec<i64> = asked
        .windows(2)
        .map(|two| two[1].at.duration_since(two[0].at).as_mins())
        .collect();
    assert_eq!(minutes, [5, 10, 20, 40, 60]);
    for id in ids {
        assert_eq!(app.outcome(id).await, None);
    }
}

#[tokio::test]
async fn a_replaced_password_is_tried_within_a_second() {
    let cloud = cloud_with(WRONG);
    let app = cloud.app(KEYSTONE).await;
    let ids = watches(&app, 8).await;
    app.advance_secs(60).await;
    assert_eq!(cloud.logins(), 1);
    cloud.write("password", PASSWORD);
    app.advance_secs(1).await;
    assert_eq!(cloud.logins(), 2);
    assert_eq!(cloud.jobs.count(), 8, "every watch has seen its job");
    cloud.finish_jobs();
    for id in ids {
        assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Succeeded);
    }
    assert_eq!(cloud.logins(), 2);
}

#[tokio::test]
async fn a_wrong_new_password_leaves_the_token_in_use() {
    let cloud = cloud_with(PASSWORD);
    cloud.register.issue_for(HOUR);
    let app = cloud.app(KEYSTONE).await;
    let id = app.submit("jobs", "job-1").await;
    app.advance_secs(5).await;
    cloud.write("password", WRONG);
    app.advance_secs(1800).await;
    assert_eq!(app.progress(id).problems, 0);
    // One attempt at once, and no other before the token must be renewed.
    assert_eq!(cloud.logins(), 1 + 1);
}

#[tokio::test]
async fn a_missing_password_file_is_named_and_read_when_it_returns() {
    let cloud = cloud_with(PASSWORD);
    let app = cloud.app(KEYSTONE).await;
    std::fs::remove_file(cloud.place("password")).unwrap();
    let id = app.submit("jobs", "job-1").await;
    app.advance_secs(120).await;
    let problem = app.progress(id).last_problem.unwrap().message;
    assert!(problem.contains(&cloud.place("password")), "{problem}");
    assert_eq!(cloud.logins(), 0);
    cloud.write("password", PASSWORD);
    cloud.finish_jobs();
    app.advance_secs(2).await;
    assert_eq!(app.outcome(id).await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_login_response_without_a_token_is_reported() {
    let cloud = Cloud::start();
    cloud
        .identity
        .always(Answer::text(200, "<html>welcome</html>"));
    let app = cloud.app(KEYSTONE).await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    let problem = app.progress(id).last_problem.unwrap().message;
    assert!(problem.contains("X-Subject-Token"), "{problem}");
    cloud.identity.as_usual();
    app.advance_secs(5).await;
    assert_eq!(
        cloud.jobs.last().header("x-auth-token"),
        Some("token-1-of-the-stand-in")
    );
}
