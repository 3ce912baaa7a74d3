//! The key of the server that jobwatch runs on, from its metadata service.

use crate::credentials::cloud::Cloud;
use crate::credentials::register::parts;
use crate::credentials::stand::Answer;

const METADATA: &str =
    "[credentials.otc]\nkind = \"metadata\"\nurl = \"{metadata}\"\nproject_id = \"p-2\"\n";
const SESSION: &str = "/meta-data/latest/api/token";
const KEY: &str = "/openstack/latest/securitykey";

#[tokio::test]
async fn a_session_is_opened_before_the_key_is_requested() {
    let cloud = Cloud::start();
    let app = cloud.app(METADATA).await;
    let id = app.submit("jobs", "job-1").await;
    app.advance_secs(60).await;
    assert_eq!(app.progress(id).problems, 0);
    let asked = cloud.identity.asked();
    assert_eq!(asked.len(), 2);
    assert!(asked[0].is("PUT", SESSION));
    assert_eq!(
        asked[0].header("x-metadata-token-ttl-seconds"),
        Some("21600")
    );
    assert!(asked[1].is("GET", KEY));
    assert_eq!(
        asked[1].header("x-metadata-token"),
        Some("session-of-the-stand-in")
    );
    let poll = cloud.jobs.last();
    assert_eq!(poll.path, "/v2/p-2/jobs/job-1");
    assert_eq!(poll.header("x-project-id"), Some("p-2"));
    assert_eq!(poll.header("x-security-token"), Some("TEMPORARYTOKEN1"));
    let (access_key, _) = parts(poll.header("authorization").unwrap()).unwrap();
    assert_eq!(access_key, "TEMPORARYACCESS1");
}

#[tokio::test]
async fn a_metadata_service_may_have_no_sessions() {
    for http_status in [404, 405, 503] {
        let cloud = Cloud::start();
        cloud.identity.instead(move |asked| {
            asked
                .is("PUT", SESSION)
                .then(|| Answer::text(http_status, ""))
        });
        let app = cloud.app(METADATA).await;
        let id = app.submit("jobs", "job-1").await;
        app.next_poll(id).await;
        assert_eq!(app.progress(id).problems, 0, "{http_status}");
        let key = cloud.identity.last();
        assert!(key.is("GET", KEY));
        assert_eq!(key.header("x-metadata-token"), None);
    }
}

#[tokio::test]
async fn a_server_without_an_agency_is_reported() {
    let cloud = Cloud::start();
    cloud
        .identity
        .instead(|asked| asked.is("GET", KEY).then(|| Answer::text(401, "")));
    let app = cloud.app(METADATA).await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    let problem = app.progress(id).last_problem.unwrap().message;
    for words in ["`otc`", "HTTP 401", "agency", KEY] {
        assert!(problem.contains(words), "{problem}");
    }
    app.advance_secs(290).await;
    assert_eq!(cloud.identity.count_of("GET", KEY), 1);
    cloud.identity.as_usual();
    app.advance_secs(15).await;
    assert!(cloud.jobs.count() > 0, "it was assigned one meanwhile");
}

#[tokio::test]
async fn an_answer_without_a_key_is_reported_but_not_shown() {
    let cloud = Cloud::start();
    let body = serde_json::json!({ "credential": { "access": "A-1", "secret": "half-of-a-key" } });
    cloud
        .identity
        .instead(move |asked| asked.is("GET", KEY).then(|| Answer::new(200, &body)));
    let app = cloud.app(METADATA).await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    let problem = app.progress(id).last_problem.unwrap().message;
    assert!(problem.contains("credential.securitytoken"), "{problem}");
    assert!(!problem.contains("half-of-a-key"), "{problem}");
}
