//! Secrets that expire during a watch.

use std::time::Duration;

use jobwatch::watch::Outcome;
use jobwatch::watch::observation::ProblemKind;
use serde_json::json;

use crate::credentials::cloud::{
    Cloud, HOUR, KEYS, KEYSTONE, PROJECT, TOKENS, bare_token, watches,
};
use crate::credentials::stand::Answer;

/// Assumes an agency with the credential `source`.
const AGENCY: &str = "[credentials.otc]\nkind = \"agency\"\nsource = \"source\"\n\
    auth_url = \"{iam}\"\nagency_name = \"watchers\"\ndomain = \"OTC-2\"\nproject_id = \"p-2\"\n";
/// A token that does not expire.
const SOURCE_TOKEN: &str =
    "[credentials.source]\nkind = \"token\"\ntoken_file = \"{secrets}/token\"\n";
/// A key that does not expire.
const SOURCE_KEY: &str = "[credentials.source]\nkind = \"aksk\"\n\
    access_key_file = \"{secrets}/ak\"\nsecret_key_file = \"{secrets}/sk\"\ndomain_id = \"d-1\"\n";
const METADATA: &str =
    "[credentials.otc]\nkind = \"metadata\"\nurl = \"{metadata}\"\nproject_id = \"p-2\"\n";

#[tokio::test]
async fn an_hour_long_token_is_renewed_before_it_expires() {
    for (credential, method, path) in [
        (KEYSTONE.to_owned(), "POST", TOKENS),
        (format!("{AGENCY}{SOURCE_TOKEN}"), "POST", TOKENS),
        (format!("{AGENCY}{SOURCE_KEY}"), "POST", KEYS),
        (METADATA.to_owned(), "GET", "/openstack/latest/securitykey"),
    ] {
        let cloud = Cloud::start();
        cloud.write("token", "token-that-does-not-end");
        cloud.register.know_token("token-that-does-not-end");
        cloud.register.issue_for(HOUR);
        let app = cloud.app(&credential).await;
        let id = app.submit("jobs", "job-1").await;
        // Polls are due every second; the clock may move in larger steps.
        for _ in 0..540 {
            app.advance(Duration::from_secs(20)).await;
        }
        cloud.finish_jobs();
        assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Succeeded);
        let watch = app.watch(id).await;
        assert_eq!(watch.problems, 0, "{credential}");
        assert!(watch.polls >= 540, "{} polls", watch.polls);
        assert_eq!(cloud.jobs.refused(), 0, "{credential}");
        // Logins at 0 min, 50 min, 100 min and 150 min.
        assert_eq!(cloud.identity.count_of(method, path), 4, "{credential}");
    }
}

#[tokio::test]
async fn no_poll_carries_an_expired_token() {
    let cloud = Cloud::start();
    // Shorter than the steps of the clock: each poll needs another token.
    cloud.register.issue_for(Duration::from_secs(10));
    let app = cloud.app(KEYSTONE).await;
    let id = app.submit("jobs", "job-1").await;
    for polls in 1..=20_u32 {
        app.advance(Duration::from_secs(30)).await;
        assert_eq!(app.progress(id).polls, polls);
        assert_eq!(u32::try_from(cloud.logins()), Ok(polls));
    }
    assert_eq!(app.progress(id).problems, 0);
    assert_eq!(cloud.jobs.count(), 20, "no poll was refused and repeated");
}

#[tokio::test]
async fn token_without_known_expiry_is_renewed_when_refused() {
    let cloud = Cloud::start();
    let register = std::sync::Arc::clone(&cloud.register);
    cloud
        .identity
        .instead(move |asked| asked.is("POST", TOKENS).then(|| bare_token(&register)));
    cloud.register.issue_for(HOUR);
    let app = cloud.app(KEYSTONE).await;
    let id = app.submit("jobs", "job-1").await;
    for _ in 0..179 {
        app.advance(Duration::from_secs(20)).await;
    }
    assert_eq!(cloud.logins(), 1);
    let before = cloud.jobs.count();
    // The token expires; it is renewed, and the poll is repeated.
    for _ in 0..3 {
        app.advance(Duration::from_secs(20)).await;
    }
    assert_eq!(cloud.logins(), 2);
    assert_eq!(cloud.jobs.count() - before, 4);
    assert_eq!(cloud.jobs.refused(), 1);
    let progress = app.progress(id);
    assert_eq!((progress.polls, progress.problems), (182, 0));
    cloud.finish_jobs();
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Succeeded);
}

#[tokio::test]
async fn revoked_token_is_renewed_and_the_poll_repeated() {
    let cloud = Cloud::start();
    let app = cloud.app(KEYSTONE).await;
    let id = app.submit("jobs", "job-1").await;
    for number in 1..=5_usize {
        app.next_poll(id).await;
        assert_eq!(cloud.logins(), number);
        assert_eq!(cloud.jobs.count(), 2 * number - 1);
        cloud.register.revoke_all();
    }
    let progress = app.progress(id);
    assert_eq!((progress.polls, progress.problems), (5, 0));
}

#[tokio::test]
async fn revoked_temporary_key_is_renewed_and_the_poll_repeated() {
    for (credential, method, path) in [
        (format!("{AGENCY}{SOURCE_TOKEN}"), "POST", TOKENS),
        (METADATA.to_owned(), "GET", "/openstack/latest/securitykey"),
    ] {
        let cloud = Cloud::start();
        cloud.write("token", "token-that-does-not-end");
        cloud.register.know_token("token-that-does-not-end");
        let app = cloud.app(&credential).await;
        let id = app.submit("jobs", "job-1").await;
        app.next_poll(id).await;
        cloud.register.revoke_all();
        cloud.register.know_token("token-that-does-not-end");
        app.next_poll(id).await;
        let progress = app.progress(id);
        assert_eq!((progress.polls, progress.problems), (2, 0), "{credential}");
        assert_eq!(cloud.identity.count_of(method, path), 2, "{credential}");
    }
}

#[tokio::test]
async fn token_that_expires_at_once_is_not_requested_every_poll() {
    let cloud = Cloud::start();
    cloud.register.issue_for(Duration::ZERO);
    let app = cloud.app(KEYSTONE).await;
    let ids = watches(&app, 8).await;
    app.advance_secs(60).await;
    // Requests after 1, 2, 4 … seconds.
    assert!(cloud.logins() <= 7, "{} logins", cloud.logins());
    let problem = app.progress(ids[0]).last_problem.unwrap();
    assert_eq!(problem.kind, ProblemKind::Unauthorized);
    assert!(
        problem.message.contains("for no time"),
        "{}",
        problem.message
    );
    cloud.register.issue_for(HOUR);
    cloud.finish_jobs();
    app.advance_secs(60).await;
    assert_eq!(app.outcome(ids[0]).await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_malformed_token_is_not_sent() {
    for text in ["", "token-of-t\u{e9}sts"] {
        let cloud = Cloud::start();
        let body = json!({ "token": { "project": { "id": PROJECT } } });
        cloud.identity.instead(move |asked| {
            let answer = || Answer::new(201, &body).with("x-subject-token", text);
            asked.is("POST", TOKENS).then(answer)
        });
        let app = cloud.app(KEYSTONE).await;
        let id = app.submit("jobs", "job-1").await;
        app.next_poll(id).await;
        let problem = app.progress(id).last_problem.unwrap().message;
        assert!(problem.contains("X-Subject-Token"), "{problem}");
        assert_eq!(cloud.jobs.count(), 0);
    }
}

#[tokio::test]
async fn a_token_without_a_project_ends_no_watch() {
    for body in [
        json!({}),
        json!("garbage"),
        json!({ "token": { "expires_at": "2036-11-22T10:00:00Z", "project": [] } }),
    ] {
        let cloud = Cloud::start();
        let register = std::sync::Arc::clone(&cloud.register);
        cloud.identity.instead(move |asked| {
            let token = || Answer::new(201, &body).with("x-subject-token", register.token());
            asked.is("POST", TOKENS).then(token)
        });
        let app = cloud.app(KEYSTONE).await;
        let id = app.submit("jobs", "job-1").await;
        app.advance_secs(1800).await;
        assert_eq!(app.outcome(id).await, None, "longer than give_up_after");
        let problem = app.progress(id).last_problem.unwrap();
        assert_eq!(problem.kind, ProblemKind::Unauthorized);
        assert!(problem.message.contains("project"), "{}", problem.message);
        cloud.identity.as_usual();
        cloud.finish_jobs();
        assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Succeeded);
    }
}
