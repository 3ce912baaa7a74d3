//! Clocks that differ: ours, and that of the server.

use std::time::Duration;

use jobwatch::clock::later;

use crate::credentials::cloud::{AKSK, Cloud, HOUR, KEYSTONE};
use crate::credentials::log::Log;
use crate::credentials::register::signed_at;
use crate::credentials::stand::{Answer, Stand};

const AHEAD: Duration = Duration::from_mins(20);

/// Sets its clock 20 minutes ahead and makes it refuse signatures of other times.
fn is_ahead(stand: &Stand) {
    stand.go_ahead(AHEAD);
    let clock = stand.clone();
    stand.instead(move |asked| {
        asked.header("x-sdk-date")?;
        let skew = clock.now().duration_since(signed_at(asked)).as_secs().abs();
        let message = "verify aksk signature fail, x-sdk-date is out of range";
        (skew > 900).then(|| Answer::gateway(401, "APIGW.0301", message))
    });
}

#[tokio::test]
async fn clock_offset_is_reported_once_with_its_size() {
    for credential in [KEYSTONE, AKSK] {
        let log = Log::begin();
        let cloud = Cloud::start();
        is_ahead(&cloud.identity);
        is_ahead(&cloud.jobs);
        let app = cloud.app(credential).await;
        app.submit("jobs", "job-1").await;
        app.advance_secs(600).await;
        let warnings = log.lines_with(&["WARN", "credential=\"otc\"", "clock_ahead_s=1200"]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }
}

#[tokio::test]
async fn small_clock_offset_is_not_reported() {
    let log = Log::begin();
    let cloud = Cloud::start();
    cloud.jobs.go_ahead(Duration::from_secs(30));
    let app = cloud.app(AKSK).await;
    app.submit("jobs", "job-1").await;
    app.advance_secs(60).await;
    assert!(log.lines_with(&["clock_ahead_s"]).is_empty());
    let poll = cloud.jobs.last();
    assert_eq!(signed_at(&poll), poll.at);
}

#[tokio::test]
async fn signatures_carry_the_time_of_the_service() {
    let cloud = Cloud::start();
    is_ahead(&cloud.jobs);
    let app = cloud.app(AKSK).await;
    let id = app.submit("jobs", "job-1").await;
    app.advance_secs(10).await;
    let poll = cloud.jobs.last();
    assert_eq!(signed_at(&poll), later(poll.at, AHEAD));
    let problems = app.progress(id).problems;
    app.advance_secs(600).await;
    assert_eq!(
        app.progress(id).problems,
        problems,
        "no request is refused any more"
    );
    // Our clock is set.
    cloud.jobs.go_ahead(Duration::ZERO);
    app.advance_secs(60).await;
    let poll = cloud.jobs.last();
    assert_eq!(signed_at(&poll), poll.at);
}

#[tokio::test]
async fn project_lookup_is_signed_with_the_identity_service_time() {
    let cloud = Cloud::start();
    is_ahead(&cloud.identity);
    is_ahead(&cloud.jobs);
    let by_name = AKSK.replace(
        "project_id = \"project-id-of-the-stand-in\"",
        "project = \"eu-de_prod\"\nauth_url = \"{iam}\"",
    );
    let app = cloud.app(&by_name).await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    assert_eq!(
        app.progress(id).problems,
        0,
        "{:?}",
        app.progress(id).last_problem
    );
}

#[tokio::test]
async fn agency_request_is_signed_with_the_identity_service_time() {
    let cloud = Cloud::start();
    is_ahead(&cloud.identity);
    is_ahead(&cloud.jobs);
    let source = AKSK.replace("[credentials.otc]", "[credentials.source]");
    let agency = format!(
        "[credentials.otc]\nkind = \"agency\"\nsource = \"source\"\nauth_url = \"{{iam}}\"\n\
         agency_name = \"watchers\"\ndomain = \"OTC-2\"\nproject = \"eu-de_prod\"\n{source}"
    );
    let app = cloud.app(&agency).await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    let progress = app.progress(id);
    assert_eq!(progress.problems, 0, "{:?}", progress.last_problem);
}

#[tokio::test]
async fn token_lifetime_is_measured_by_the_issuers_clock() {
    let cloud = Cloud::start();
    cloud.identity.go_ahead(AHEAD);
    cloud.register.issue_for(HOUR);
    // Its token is valid from 10:00 to 11:00, which must not be compared with our clock.
    let app = cloud.app(KEYSTONE).await;
    cloud
        .clock
        .set_wall("2026-11-22T15:00:00Z".parse().unwrap());
    let id = app.submit("jobs", "job-1").await;
    for _ in 0..300 {
        app.advance(Duration::from_secs(10)).await;
    }
    assert_eq!((cloud.logins(), app.progress(id).problems), (1, 0));
}

#[tokio::test]
async fn clock_set_back_does_not_disturb_renewal() {
    let cloud = Cloud::start();
    cloud.register.issue_for(HOUR);
    let app = cloud.app(KEYSTONE).await;
    let id = app.submit("jobs", "job-1").await;
    app.advance_secs(60).await;
    cloud
        .clock
        .set_wall("2026-11-22T09:00:00Z".parse().unwrap());
    app.advance_secs(60).await;
    assert_eq!(cloud.logins(), 1);
    for _ in 0..360 {
        app.advance(Duration::from_secs(30)).await;
    }
    assert_eq!(app.progress(id).problems, 0);
    assert!((3..=5).contains(&cloud.logins()), "{}", cloud.logins());
}
