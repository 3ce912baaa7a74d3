//! Services that refuse tokens which the identity service accepts, and 403s of both kinds.

use std::time::Duration;

use jobwatch::watch::Outcome;
use jobwatch::watch::observation::ProblemKind;
use serde_json::{Value, json};

use crate::credentials::cloud::{Cloud, HOUR, KEYSTONE};
use crate::credentials::stand::Answer;

fn recorded_403() -> Value {
    serde_json::from_str(include_str!("iam/error_403_numeric_code.json")).unwrap()
}

#[tokio::test]
async fn refusing_service_causes_few_logins_and_disturbs_no_other() {
    let cloud = Cloud::start();
    let picky = cloud.another_job_api();
    picky.always(Answer::gateway(401, "APIGW.0301", "decrypt token fail"));
    // Probes of a blind service would ask less often.
    let sighted = "poll = { blind_after = \"0s\",";
    let settings = format!(
        "{KEYSTONE}{}{}",
        Cloud::service("jobs", &cloud.jobs.url),
        Cloud::service("picky", &picky.url).replace("poll = {", sighted)
    );
    let app = cloud.app_with(&settings).await;
    let good = app.submit("jobs", "job-1").await;
    let mut bad = Vec::new();
    for number in 0..4 {
        bad.push(app.submit("picky", &format!("job-{number}")).await);
    }
    app.advance_secs(3600).await;
    // One login at first, then after 5, 10, 20 … seconds, and every 5 minutes.
    let asked = cloud.identity.asked();
    let pauses: Vec<i64> = asked
        .windows(2)
        .map(|two| two[1].at.duration_since(two[0].at).as_secs())
        .collect();
    assert_eq!(pauses[..8], [0, 5, 10, 20, 40, 80, 160, 300]);
    assert!(pauses[8..].iter().all(|pause| *pause >= 300), "{pauses:?}");
    let progress = app.progress(good);
    assert_eq!((progress.polls, progress.problems), (3600, 0));
    // Between logins the refused token is not sent again.
    assert!(picky.count() <= 10 * asked.len(), "{} polls", picky.count());
    for id in bad {
        assert_eq!(app.outcome(id).await, None);
        assert_eq!(app.last_problem(id), Some(ProblemKind::Unauthorized));
    }
    // The service accepts the token now.
    picky.as_usual();
    cloud.finish_jobs();
    app.advance_secs(301).await;
    let id = app.submit("picky", "job-9").await;
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Succeeded);
}

#[tokio::test]
async fn one_refused_job_does_not_stop_other_polls() {
    let cloud = Cloud::start();
    let body = json!({ "error": { "code": "111401004", "message": "project mismatch" } });
    cloud.jobs.instead(move |asked| {
        asked
            .path
            .ends_with("foreign")
            .then(|| Answer::new(401, &body))
    });
    let app = cloud.app(KEYSTONE).await;
    let good = app.submit("jobs", "job-1").await;
    app.next_poll(good).await;
    let bad = app.submit("jobs", "foreign").await;
    app.advance_secs(1200).await;
    let progress = app.progress(good);
    assert_eq!(
        progress.problems, 0,
        "of {}: {:?}",
        progress.polls, progress.last_problem
    );
    assert_eq!(app.last_problem(bad), Some(ProblemKind::Unauthorized));
    assert!(cloud.logins() <= 12, "{} logins", cloud.logins());
}

#[tokio::test]
async fn a_403_about_the_token_gets_a_new_token() {
    let cloud = Cloud::start();
    cloud.jobs.instead(|asked| {
        let is_first = asked.header("x-auth-token") == Some("token-1-of-the-stand-in");
        is_first.then(|| Answer::new(403, &recorded_403()))
    });
    let app = cloud.app(KEYSTONE).await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    let progress = app.progress(id);
    assert_eq!((progress.polls, progress.problems), (1, 0));
    assert_eq!((cloud.logins(), cloud.jobs.count()), (2, 2));
}

#[tokio::test]
async fn a_lasting_403_about_the_token_ends_at_the_deadline() {
    let cloud = Cloud::start();
    cloud.jobs.always(Answer::new(403, &recorded_403()));
    let service = Cloud::service("jobs", &cloud.jobs.url);
    let times = "poll = { blind_after = \"0s\", deadline = \"2h\",";
    let service = service.replace("poll = {", times);
    let app = cloud.app_with(&format!("{KEYSTONE}{service}")).await;
    let id = app.submit("jobs", "job-1").await;
    for _ in 0..2 * 360 - 1 {
        app.advance(Duration::from_secs(10)).await;
        assert_eq!(app.outcome(id).await, None, "at {}", app.now());
        assert_eq!(app.last_problem(id), Some(ProblemKind::Unauthorized));
    }
    app.advance_secs(11).await;
    assert_eq!(app.outcome(id).await, Some(Outcome::TimedOut));
    assert!(cloud.logins() <= 40, "{} logins", cloud.logins());
}

#[tokio::test]
async fn a_403_about_rights_gets_no_new_token() {
    for body in [
        json!({ "error_code": "APIGW.0302", "error_msg": "Policy doesn't allow it" }),
        json!({ "error": { "code": 403, "message": "You are not authorized to perform the requested action" } }),
        json!({ "error": { "code": "DCS.0403", "message": "token invalid" } }),
    ] {
        let cloud = Cloud::start();
        cloud.jobs.always(Answer::new(403, &body));
        let app = cloud.app(KEYSTONE).await;
        let id = app.submit("jobs", "job-1").await;
        for _ in 0..14 {
            app.advance(Duration::from_mins(1)).await;
        }
        assert_eq!(app.last_problem(id), Some(ProblemKind::Forbidden));
        let ended = app.run_until_final(id, HOUR).await;
        assert_eq!(ended, Outcome::Unknown, "after give_up_after");
        assert_eq!(cloud.logins(), 1);
    }
}

#[tokio::test]
async fn a_403_about_a_fixed_token_ends_no_watch() {
    let cloud = Cloud::start();
    cloud.write("token", "token-from-elsewhere");
    cloud.jobs.always(Answer::new(403, &recorded_403()));
    let credential = "[credentials.otc]\nkind = \"token\"\ntoken_file = \"{secrets}/token\"\n";
    let service = Cloud::service("jobs", &cloud.jobs.url);
    let settings = format!("{credential}{service}params = {{ project_id = \"p\" }}\n");
    let app = cloud.app_with(&settings).await;
    let id = app.submit("jobs", "job-1").await;
    app.advance_secs(1800).await;
    assert_eq!(app.outcome(id).await, None);
    assert_eq!(app.last_problem(id), Some(ProblemKind::Unauthorized));
    cloud.register.know_token("the-right-token-from-elsewhere");
    cloud.write("token", "the-right-token-from-elsewhere");
    cloud.jobs.as_usual();
    cloud.finish_jobs();
    app.advance_secs(1).await;
    assert_eq!(app.outcome(id).await, Some(Outcome::Succeeded));
}
