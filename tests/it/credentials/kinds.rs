//! The requests of each kind: the body of a login, and the header of a poll.

use serde_json::{Value, json};

use crate::credentials::cloud::{Cloud, KEYSTONE, PASSWORD, PROJECT, TOKENS};
use crate::credentials::stand::{Answer, Asked};

/// Makes one poll with `credential`; returns the login and the poll.
async fn login_and_poll(cloud: &Cloud, credential: &str) -> (Asked, Asked) {
    let app = cloud.app(credential).await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    let progress = app.progress(id);
    assert_eq!((progress.polls, progress.problems), (1, 0), "{credential}");
    assert_eq!((cloud.identity.count(), cloud.jobs.count()), (1, 1));
    (cloud.identity.last(), cloud.jobs.last())
}

/// Logs in with `credential`, and expects exactly this body.
async fn logs_in_with(credential: &str, body: Value) {
    let cloud = Cloud::start();
    cloud.write("token", "token-from-elsewhere");
    let (login, poll) = login_and_poll(&cloud, credential).await;
    assert!(login.is("POST", TOKENS));
    assert_eq!(login.path, "/v3/auth/tokens?nocatalog=any");
    let content_type = login.header("content-type").unwrap();
    assert_eq!(content_type, "application/json;charset=utf8");
    assert_eq!(login.header("authorization"), None);
    assert_eq!(login.header("x-auth-token"), None);
    assert_eq!(login.json(), json!({ "auth": body }));
    // The service sets no project, so the project of the token is used.
    assert_eq!(poll.path, format!("/v2/{PROJECT}/jobs/job-1"));
    assert_eq!(poll.header("x-auth-token"), Some("token-1-of-the-stand-in"));
    assert_eq!(poll.header("authorization"), None);
    assert!(poll.body.is_empty());
}

#[tokio::test]
async fn a_password_logs_in_by_names() {
    let user = json!({ "name": "watcher", "domain": { "name": "OTC-1" }, "password": PASSWORD });
    logs_in_with(
        KEYSTONE,
        json!({
            "identity": { "methods": ["password"], "password": { "user": user } },
            "scope": { "project": { "name": "eu-de_prod", "domain": { "name": "OTC-1" } } },
        }),
    )
    .await;
}

#[tokio::test]
async fn a_password_logs_in_by_ids() {
    let credential = "[credentials.otc]\nkind = \"keystone\"\nauth_url = \"{iam}\"\n\
        user_id = \"u-1\"\npassword_file = \"{secrets}/password\"\nproject_id = \"p-1\"\n";
    logs_in_with(
        credential,
        json!({
            "identity": {
                "methods": ["password"],
                "password": { "user": { "id": "u-1", "password": PASSWORD } },
            },
            "scope": { "project": { "id": "p-1" } },
        }),
    )
    .await;
}

#[tokio::test]
async fn the_project_may_be_in_another_domain_than_the_user() {
    let credential = KEYSTONE.replace("domain = \"OTC-1\"", "domain_id = \"d-1\"")
        + "project_domain = \"OTC-2\"\n";
    let user = json!({ "name": "watcher", "domain": { "id": "d-1" }, "password": PASSWORD });
    logs_in_with(
        &credential,
        json!({
            "identity": { "methods": ["password"], "password": { "user": user } },
            "scope": { "project": { "name": "eu-de_prod", "domain": { "name": "OTC-2" } } },
        }),
    )
    .await;
}

#[tokio::test]
async fn an_application_credential_brings_its_own_scope() {
    let credential = "[credentials.otc]\nkind = \"keystone\"\nauth_url = \"{iam}\"\n\
        application_id = \"a-1\"\napplication_secret_file = \"{secrets}/password\"\n";
    logs_in_with(
        credential,
        json!({ "identity": {
            "methods": ["application_credential"],
            "application_credential": { "id": "a-1", "secret": PASSWORD },
        }}),
    )
    .await;
}

#[tokio::test]
async fn a_token_is_exchanged_for_one_of_a_project() {
    let credential = "[credentials.otc]\nkind = \"keystone-token\"\nauth_url = \"{iam}\"\n\
        token_file = \"{secrets}/token\"\nproject_id = \"p-1\"\n";
    logs_in_with(
        credential,
        json!({
            "identity": { "methods": ["token"], "token": { "id": "token-from-elsewhere" } },
            "scope": { "project": { "id": "p-1" } },
        }),
    )
    .await;
}

#[tokio::test]
async fn a_login_sends_the_current_one_time_code() {
    let cloud = Cloud::start();
    // The seed in appendix B of RFC 6238.
    cloud.write("totp", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n");
    let credential = format!("{KEYSTONE}totp_file = \"{{secrets}}/totp\"\n");
    let (login, _) = login_and_poll(&cloud, &credential).await;
    let identity = login.json()["auth"]["identity"].clone();
    assert_eq!(identity["methods"], json!(["password", "totp"]));
    let user = &identity["totp"]["user"];
    assert_eq!(user["name"], "watcher");
    assert_eq!(user["domain"], json!({ "name": "OTC-1" }));
    // The code at 2026-11-22T10:00:01Z.
    assert_eq!(user["passcode"], "731444");
    assert_eq!(identity["password"]["user"]["password"], PASSWORD);
}

#[tokio::test]
async fn a_service_may_use_another_project_than_the_token() {
    let cloud = Cloud::start();
    let service = Cloud::service("jobs", &cloud.jobs.url);
    let settings = format!("{KEYSTONE}{service}params = {{ project_id = \"p-2\" }}\n");
    let app = cloud.app_with(&settings).await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    assert_eq!(cloud.jobs.last().path, "/v2/p-2/jobs/job-1");
}

/// Makes one poll with a credential that needs no identity service; the poll must carry
/// exactly this header.
async fn sends(credential: &str, header: &str, value: &str) {
    let cloud = Cloud::start();
    cloud.write("secret", "secret-in-a-file\n");
    let body = json!({ "job_id": "job-1", "status": "RUNNING" });
    cloud.jobs.always(Answer::new(200, &body));
    let service = Cloud::service("jobs", &cloud.jobs.url);
    let settings =
        format!("[credentials.otc]\n{credential}\n{service}params = {{ project_id = \"p\" }}\n");
    let app = cloud.app_with(&settings).await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    assert_eq!(app.progress(id).problems, 0);
    let poll = cloud.jobs.last();
    assert_eq!(poll.header(header), Some(value), "{credential}");
    for other in ["authorization", "x-auth-token", "private-token"] {
        assert!(other == header || poll.header(other).is_none(), "{other}");
    }
    assert_eq!(cloud.identity.count(), 0);
}

#[tokio::test]
async fn a_secret_header_has_the_format_of_its_kind() {
    for (credential, header, value) in [
        (
            "kind = \"token\"\ntoken_file = \"{secrets}/secret\"",
            "x-auth-token",
            "secret-in-a-file",
        ),
        (
            "kind = \"bearer\"\ntoken_file = \"{secrets}/secret\"",
            "authorization",
            "Bearer secret-in-a-file",
        ),
        (
            "kind = \"basic\"\nusername = \"watcher\"\npassword_file = \"{secrets}/secret\"",
            "authorization",
            // "watcher:secret-in-a-file"
            "Basic d2F0Y2hlcjpzZWNyZXQtaW4tYS1maWxl",
        ),
        (
            "kind = \"header\"\nheader = \"PRIVATE-TOKEN\"\nvalue_file = \"{secrets}/secret\"",
            "private-token",
            "secret-in-a-file",
        ),
        (
            "kind = \"header\"\nheader = \"Authorization\"\nprefix = \"GenieKey \"\n\
             value_file = \"{secrets}/secret\"",
            "authorization",
            "GenieKey secret-in-a-file",
        ),
    ] {
        sends(credential, header, value).await;
    }
}

/// A page that repeats a secret escapes it, and the quotation in the message decodes it.
#[tokio::test]
async fn secret_repeated_in_a_page_is_not_shown() {
    let cloud = Cloud::start();
    cloud.write("secret", "canary+of/this&test=");
    let page = "<html><title>unknown key canary&#43;of&#x2F;this&amp;test&#61;</title>";
    cloud.jobs.always(Answer::text(502, page));
    let service = Cloud::service("jobs", &cloud.jobs.url);
    let settings = format!(
        "[credentials.otc]\nkind = \"bearer\"\ntoken_file = \"{{secrets}}/secret\"\n\
         {service}params = {{ project_id = \"p\" }}\n"
    );
    let app = cloud.app_with(&settings).await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    let problem = app.progress(id).last_problem.unwrap();
    assert_eq!(problem.message, "unknown key [REDACTED]");
}

#[tokio::test]
async fn a_replaced_secret_is_used_before_and_after_a_refusal() {
    for (kind, key, header, prefix) in [
        ("token", "token", "x-auth-token", ""),
        ("bearer", "token", "authorization", "Bearer "),
    ] {
        let cloud = Cloud::start();
        cloud.write("secret", "first-secret");
        let body = json!({ "job_id": "job-1", "status": "RUNNING" });
        cloud.jobs.always(Answer::new(200, &body));
        let service = Cloud::service("jobs", &cloud.jobs.url);
        let settings = format!(
            "[credentials.otc]\nkind = \"{kind}\"\n{key}_file = \"{{secrets}}/secret\"\n\
             {service}params = {{ project_id = \"p\" }}\n"
        );
        let app = cloud.app_with(&settings).await;
        let id = app.submit("jobs", "job-1").await;
        app.next_poll(id).await;
        cloud.write("secret", "second-secret");
        app.next_poll(id).await;
        let wanted = format!("{prefix}second-secret");
        assert_eq!(cloud.jobs.last().header(header), Some(wanted.as_str()));
        // Refused and replaced within the second in which the file is not read again.
        let good = format!("{prefix}another-third-secret");
        cloud.jobs.instead(move |asked| {
            let is_good = asked.header(header) == Some(good.as_str());
            let body = json!({ "job_id": "job-1", "status": "RUNNING" });
            Some(Answer::new(if is_good { 200 } else { 401 }, &body))
        });
        cloud.write("secret", "another-third-secret");
        app.next_poll(id).await;
        assert_eq!(app.progress(id).problems, 0);
    }
}

#[tokio::test]
async fn several_secret_headers_are_sent_and_read_again() {
    let cloud = Cloud::start();
    cloud.write("api", "secret-of-the-api\n");
    cloud.write("app", "secret-of-the-app");
    let body = json!({ "job_id": "job-1", "status": "RUNNING" });
    cloud.jobs.always(Answer::new(200, &body));
    let service = Cloud::service("jobs", &cloud.jobs.url);
    let settings = format!(
        "[credentials.otc]\nkind = \"headers\"\n\
         headers = {{ X-Api-Key = {{ file = \"{{secrets}}/api\" }}, \
         Authorization = {{ file = \"{{secrets}}/app\", prefix = \"App \" }} }}\n\
         {service}params = {{ project_id = \"p\" }}\n"
    );
    let app = cloud.app_with(&settings).await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    let poll = cloud.jobs.last();
    assert_eq!(poll.header("x-api-key"), Some("secret-of-the-api"));
    assert_eq!(poll.header("authorization"), Some("App secret-of-the-app"));
    cloud.write("app", "another-secret");
    cloud.jobs.instead(|asked| {
        let is_new = asked.header("authorization") == Some("App another-secret");
        let said = format!("{:?}", asked.headers);
        let body = json!({ "job_id": "job-1", "status": "RUNNING", "message": said });
        Some(Answer::new(if is_new { 502 } else { 401 }, &body))
    });
    app.next_poll(id).await;
    let problem = app.progress(id).last_problem.unwrap();
    assert_eq!(problem.http_status, Some(502));
    for secret in ["another-secret", "secret-of-the-api"] {
        assert!(!problem.message.contains(secret), "{}", problem.message);
    }
}

#[tokio::test]
async fn wrong_basic_password_ends_no_watch_and_is_not_shown() {
    let cloud = Cloud::start();
    cloud.jobs.instead(|asked| {
        let sent = asked.header("authorization").unwrap_or_default();
        let body = json!({ "error": format!("{sent} is not for us") });
        Some(Answer::new(401, &body))
    });
    let service = Cloud::service("jobs", &cloud.jobs.url);
    let settings = format!(
        "[credentials.otc]\nkind = \"basic\"\nusername = \"watcher\"\n\
         password_file = \"{{secrets}}/password\"\n{service}params = {{ project_id = \"p\" }}\n"
    );
    let app = cloud.app_with(&settings).await;
    let id = app.submit("jobs", "job-1").await;
    app.advance_secs(1800).await;
    assert_eq!(app.outcome(id).await, None);
    let problem = format!("{:?}", app.progress(id).last_problem);
    let asked = cloud.jobs.last();
    let sent = asked.header("authorization").unwrap();
    let encoded = sent.trim_start_matches("Basic ");
    assert!(
        !problem.contains(encoded) && !problem.contains(PASSWORD),
        "{problem}"
    );
}
