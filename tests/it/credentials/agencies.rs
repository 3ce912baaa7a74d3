//! Agencies of other accounts, assumed with a token and with a key.

use std::time::Duration;

use serde_json::json;

use crate::credentials::cloud::{Cloud, DOMAIN, KEYS, KEYSTONE, PASSWORD, PROJECT, TOKENS};
use crate::credentials::register::parts;
use crate::credentials::stand::{Answer, Asked};

const AGENCY: &str = "[credentials.otc]\nkind = \"agency\"\nsource = \"source\"\n\
    auth_url = \"{iam}\"\nagency_name = \"watchers\"\n";
const SOURCE_KEY: &str = "[credentials.source]\nkind = \"aksk\"\n\
    access_key_file = \"{secrets}/ak\"\nsecret_key_file = \"{secrets}/sk\"\ndomain_id = \"d-1\"\n";

fn source_login() -> String {
    KEYSTONE.replace("[credentials.otc]", "[credentials.source]")
}

fn with_token() -> String {
    let source = source_login();
    format!("{AGENCY}domain = \"OTC-2\"\nproject = \"eu-de_prod\"\n{source}")
}

fn with_key() -> String {
    format!("{AGENCY}domain_id = \"d-2\"\nproject = \"eu-de_prod\"\n{SOURCE_KEY}")
}

fn assumes(asked: &Asked) -> bool {
    asked.json()["auth"]["identity"]["methods"][0] == "assume_role"
}

/// The requests that assumed the agency.
fn assumptions(cloud: &Cloud) -> Vec<Asked> {
    cloud.identity.asked().into_iter().filter(assumes).collect()
}

#[tokio::test]
async fn a_token_assumes_an_agency_and_gets_another_token() {
    let cloud = Cloud::start();
    let app = cloud.app(&with_token()).await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    assert_eq!(app.progress(id).problems, 0);
    let asked = cloud.identity.asked();
    assert_eq!(asked.len(), 2, "one login, one agency");
    let assumed = &asked[1];
    assert!(assumed.is("POST", TOKENS));
    assert_eq!(
        assumed.header("x-auth-token"),
        Some("token-1-of-the-stand-in")
    );
    let role = json!({ "domain_name": "OTC-2", "xrole_name": "watchers" });
    let body = json!({ "auth": {
        "identity": { "methods": ["assume_role"], "assume_role": role },
        "scope": { "project": { "name": "eu-de_prod", "domain": { "name": "OTC-2" } } },
    }});
    assert_eq!(assumed.json(), body);
    let poll = cloud.jobs.last();
    assert_eq!(poll.header("x-auth-token"), Some("token-2-of-the-stand-in"));
    assert_eq!(poll.path, format!("/v2/{PROJECT}/jobs/job-1"));
}

#[tokio::test]
async fn a_key_assumes_an_agency_and_gets_a_temporary_key() {
    let cloud = Cloud::start();
    let app = cloud.app(&with_key()).await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    assert_eq!(
        app.progress(id).problems,
        0,
        "{:?}",
        app.progress(id).last_problem
    );
    let asked = cloud.identity.asked();
    assert_eq!(asked.len(), 2, "one key, one project");
    let assumed = &asked[0];
    assert!(assumed.is("POST", KEYS));
    assert_eq!(assumed.header("x-domain-id"), Some("d-1"));
    let role = json!({ "domain_id": "d-2", "agency_name": "watchers", "duration_seconds": 3600 });
    let body = json!({ "auth": {
        "identity": { "methods": ["assume_role"], "assume_role": role },
    }});
    assert_eq!(assumed.json(), body);
    // The project is looked up with the temporary key.
    let lookup = &asked[1];
    assert_eq!(lookup.path, "/v3/projects?name=eu-de_prod");
    let (access_key, _) = parts(lookup.header("authorization").unwrap()).unwrap();
    assert_eq!(access_key, "TEMPORARYACCESS1");
    let poll = cloud.jobs.last();
    assert_eq!(poll.header("x-security-token"), Some("TEMPORARYTOKEN1"));
    assert_eq!(poll.header("x-project-id"), Some(PROJECT));
    assert_eq!(poll.header("x-domain-id"), None);
    assert_eq!(poll.path, format!("/v2/{PROJECT}/jobs/job-1"));
    assert_eq!(cloud.register.judge(&poll), Ok(()));
    assert_ne!(PROJECT, DOMAIN);
}

#[tokio::test]
async fn agency_name_falls_back_to_the_other_field_name() {
    let cloud = Cloud::start();
    cloud.identity.instead(|asked| {
        let role = &asked.json()["auth"]["identity"]["assume_role"];
        let is_unknown = assumes(asked) && role["agency_name"].is_null();
        let body = json!({ "error": { "code": 400, "message": "The request body is invalid", "title": "Bad Request" } });
        is_unknown.then(|| Answer::new(400, &body))
    });
    let app = cloud.app(&with_token()).await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    assert_eq!(app.progress(id).problems, 0);
    let roles: Vec<_> = assumptions(&cloud)
        .iter()
        .map(|it| it.json()["auth"]["identity"]["assume_role"].clone())
        .collect();
    let first = json!({ "domain_name": "OTC-2", "xrole_name": "watchers" });
    let second = json!({ "domain_name": "OTC-2", "agency_name": "watchers" });
    assert_eq!(roles, [first, second]);
}

#[tokio::test]
async fn a_source_whose_token_was_revoked_is_renewed() {
    let cloud = Cloud::start();
    let app = cloud.app(&with_token()).await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    // Both tokens are revoked: the job API refuses one, the identity service the other.
    cloud.register.revoke_all();
    cloud.identity.forget();
    app.next_poll(id).await;
    let progress = app.progress(id);
    assert_eq!(
        (progress.polls, progress.problems),
        (2, 0),
        "{:?}",
        progress.last_problem
    );
    let asked = cloud.identity.asked();
    let assumed: Vec<bool> = asked.iter().map(assumes).collect();
    assert_eq!(assumed, [true, false, true], "refused, logged in, accepted");
}

#[tokio::test]
async fn forbidden_agency_is_reported_and_asked_for_rarely() {
    for (credential, path) in [(with_token(), TOKENS), (with_key(), KEYS)] {
        let cloud = Cloud::start();
        cloud.identity.instead(|asked| {
            let message = "You have no right to assume the agency";
            let body = json!({ "error": { "code": 403, "message": message } });
            assumes(asked).then(|| Answer::new(403, &body))
        });
        let app = cloud.app(&credential).await;
        let id = app.submit("jobs", "job-1").await;
        app.advance_secs(290).await;
        let problem = app.progress(id).last_problem.unwrap().message;
        for words in ["`otc`", "`watchers`", "HTTP 403", "`source`", "no right"] {
            assert!(problem.contains(words), "{problem}");
        }
        assert!(!problem.contains(PASSWORD));
        assert_eq!(assumptions(&cloud).len(), 1);
        assert!(assumptions(&cloud)[0].is("POST", path));
        cloud.identity.as_usual();
        app.advance_secs(15).await;
        assert!(cloud.jobs.count() > 0);
    }
}

#[tokio::test]
async fn failed_login_of_a_source_names_source_and_agency() {
    let cloud = Cloud::start();
    cloud.identity.instead(|asked| {
        let body = json!({ "error_code": "IAM.0062", "error_msg": "Incorrect password" });
        (!assumes(asked)).then(|| Answer::new(401, &body))
    });
    let app = cloud.app(&with_token()).await;
    let id = app.submit("jobs", "job-1").await;
    app.advance_secs(290).await;
    let problem = app.progress(id).last_problem.unwrap().message;
    for words in ["`otc`", "`source`", "IAM.0062", &cloud.place("password")] {
        assert!(problem.contains(words), "{problem}");
    }
    assert_eq!(
        cloud.logins(),
        1,
        "the agency retries often, its source rarely"
    );
}

#[tokio::test]
async fn failing_agency_does_not_disturb_its_source() {
    let cloud = Cloud::start();
    cloud.identity.instead(|asked| {
        let body = json!({ "error_code": "IAM.0001", "error_msg": "invalid" });
        assumes(asked).then(|| Answer::new(401, &body))
    });
    let own = cloud.another_job_api();
    let service =
        Cloud::service("own", &own.url).replace("credential = \"otc\"", "credential = \"source\"");
    let app = cloud.app(&format!("{}{service}", with_token())).await;
    let delegated = app.submit("jobs", "job-1").await;
    let good = app.submit("own", "job-2").await;
    for _ in 0..300 {
        app.advance(Duration::from_secs(6)).await;
    }
    let progress = app.progress(good);
    assert_eq!((progress.polls, progress.problems), (300, 0));
    assert_eq!(app.outcome(delegated).await, None);
    let logins = cloud.logins() - assumptions(&cloud).len();
    assert!(logins <= 6, "{logins} logins in half an hour");
}
