//! Access keys: the signed requests, and the lookups before them.

use crate::credentials::cloud::{ACCESS_KEY, AKSK, Cloud, PROJECT};
use crate::credentials::register::{parts, signed_at};
use crate::credentials::stand::{Answer, Asked};
use serde_json::json;

/// Makes one poll with `credential`. The job API accepts it only if it computes the same
/// signature.
async fn poll(cloud: &Cloud, credential: &str) -> Asked {
    let app = cloud.app(credential).await;
    let id = app.submit("jobs", "job 1").await;
    app.next_poll(id).await;
    let progress = app.progress(id);
    assert_eq!(
        (progress.polls, progress.problems),
        (1, 0),
        "{:?}",
        progress.last_problem
    );
    cloud.jobs.last()
}

fn signed_headers(asked: &Asked) -> Vec<&str> {
    let (access_key, names) = parts(asked.header("authorization").unwrap()).unwrap();
    assert_eq!(access_key, ACCESS_KEY);
    names.split(';').collect()
}

#[tokio::test]
async fn a_poll_is_signed_for_its_project() {
    let cloud = Cloud::start();
    let poll = poll(&cloud, AKSK).await;
    assert_eq!(poll.path, format!("/v2/{PROJECT}/jobs/job%201"));
    assert_eq!(poll.header("x-project-id"), Some(PROJECT));
    assert_eq!(poll.header("x-domain-id"), None);
    assert_eq!(poll.header("x-security-token"), None);
    assert_eq!(poll.header("x-auth-token"), None);
    assert_eq!(
        signed_headers(&poll),
        ["content-type", "host", "x-project-id", "x-sdk-date"]
    );
    assert_eq!(signed_at(&poll), poll.at);
    assert_eq!(cloud.identity.count(), 0, "no lookup is needed");
}

#[tokio::test]
async fn a_temporary_key_is_sent_with_its_security_token() {
    let cloud = Cloud::start();
    cloud.write("security-token", "token-of-the-key");
    cloud.register.know_key(
        ACCESS_KEY,
        "secret-key-of-the-tests",
        Some("token-of-the-key"),
    );
    let credential = format!("{AKSK}security_token_file = \"{{secrets}}/security-token\"\n");
    let poll = poll(&cloud, &credential).await;
    assert_eq!(poll.header("x-security-token"), Some("token-of-the-key"));
    assert!(signed_headers(&poll).contains(&"x-security-token"));
}

#[tokio::test]
async fn a_key_without_a_project_signs_for_its_domain() {
    let cloud = Cloud::start();
    let credential = AKSK.replace("project_id = \"project-id-of-the-stand-in\"", "");
    let settings = format!(
        "{credential}domain_id = \"d-1\"\n{}params = {{ project_id = \"p-2\" }}\n",
        Cloud::service("jobs", &cloud.jobs.url)
    );
    let app = cloud.app_with(&settings).await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    assert_eq!(app.progress(id).problems, 0);
    let poll = cloud.jobs.last();
    assert_eq!(poll.path, "/v2/p-2/jobs/job-1");
    assert_eq!(poll.header("x-domain-id"), Some("d-1"));
    assert!(signed_headers(&poll).contains(&"x-domain-id"));
}

/// A key whose project is known by name.
fn by_name() -> String {
    AKSK.replace(
        "project_id = \"project-id-of-the-stand-in\"",
        "project = \"eu-de_prod\"\nauth_url = \"{iam}\"",
    )
}

#[tokio::test]
async fn the_project_id_is_looked_up_once() {
    let cloud = Cloud::start();
    let app = cloud.app(&by_name()).await;
    let id = app.submit("jobs", "job-1").await;
    for _ in 0..20 {
        app.next_poll(id).await;
    }
    assert_eq!(app.progress(id).problems, 0);
    assert_eq!(cloud.identity.count(), 1);
    let lookup = cloud.identity.last();
    assert_eq!(lookup.method, "GET");
    assert_eq!(lookup.path, "/v3/projects?name=eu-de_prod");
    assert_eq!(signed_headers(&lookup), ["host", "x-sdk-date"]);
    assert_eq!(cloud.register.judge(&lookup), Ok(()));
    let poll = cloud.jobs.last();
    assert_eq!(poll.path, format!("/v2/{PROJECT}/jobs/job-1"));
    assert_eq!(poll.header("x-project-id"), Some(PROJECT));
}

#[tokio::test]
async fn a_project_invisible_to_the_key_is_named() {
    let cloud = Cloud::start();
    cloud.identity.instead(|asked| {
        let other = json!({ "id": "p-2", "name": "eu-de_prod2" });
        let body = json!({ "projects": [other] });
        asked
            .is("GET", "/v3/projects")
            .then(|| Answer::new(200, &body))
    });
    let app = cloud.app(&by_name()).await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    let problem = app.progress(id).last_problem.unwrap();
    for word in ["`otc`", "`eu-de_prod`", "no such project"] {
        assert!(problem.message.contains(word), "{}", problem.message);
    }
    assert_eq!(cloud.jobs.count(), 0);
}

#[tokio::test]
async fn a_refused_lookup_names_the_key_files_and_not_the_key() {
    let cloud = Cloud::start();
    cloud.write("ak", "SOMEOTHERACCESSKEY");
    let app = cloud.app(&by_name()).await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    let problem = app.progress(id).last_problem.unwrap().message;
    for word in ["`otc`", "`eu-de_prod`", "APIGW.0301", "access_key"] {
        assert!(problem.contains(word), "{problem}");
    }
    assert!(!problem.contains("SOMEOTHERACCESSKEY"), "{problem}");
}
