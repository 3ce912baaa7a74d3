//! Tokens of an OAuth 2.0 authorization server: the token requests, the renewals, and the
//! reaction to its errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jobwatch::watch::WatchId;
use jobwatch::watch::observation::{ProblemKind, ProblemNote};
use serde_json::{Value, json};

use crate::credentials::cloud::{Cloud, watches};
use crate::credentials::stand::{Answer, Asked};
use crate::harness::App;

const TOKENS: &str = "/oauth/token";
const CLIENT: &str = "[credentials.otc]\nkind = \"oauth2\"\ntoken_url = \"{metadata}/oauth/token\"\n\
    client_id = \"watcher\"\nclient_secret_file = \"{secrets}/client\"\n";
const SECRET: &str = "secret+of/the client";

/// An authorization server and a job API that accepts only its last token.
struct Sso {
    cloud: Cloud,
    /// The number of the token that the job API accepts.
    valid: Arc<AtomicUsize>,
}

impl Sso {
    /// Answers a token request with these members beside the token.
    fn start(members: &Value) -> Self {
        let cloud = Cloud::start();
        cloud.write("client", SECRET);
        let valid = Arc::new(AtomicUsize::new(0));
        let (issued, members) = (Arc::clone(&valid), members.clone());
        cloud.identity.instead(move |asked| {
            let number = issued.fetch_add(1, Ordering::Relaxed) + 1;
            let mut body = members.clone();
            body["access_token"] = format!("token-{number}-of-the-sso").into();
            asked.is("POST", TOKENS).then(|| Answer::new(200, &body))
        });
        let accepted = Arc::clone(&valid);
        cloud.jobs.instead(move |asked| {
            let number = accepted.load(Ordering::Relaxed);
            let wanted = format!("Bearer token-{number}-of-the-sso");
            let is_valid = asked.header("authorization") == Some(wanted.as_str());
            let job_id = asked.path.rsplit('/').next();
            let body = json!({ "job_id": job_id, "status": "RUNNING" });
            Some(Answer::new(if is_valid { 200 } else { 401 }, &body))
        });
        Self { cloud, valid }
    }

    async fn app(&self, more: &str) -> App {
        let service = Cloud::service("jobs", &self.cloud.jobs.url);
        let params = "params = { project_id = \"p\" }\n";
        let settings = format!("{CLIENT}{more}{service}{params}");
        self.cloud.app_with(&settings).await
    }

    fn logins(&self) -> usize {
        self.cloud.identity.count_of("POST", TOKENS)
    }

    /// Makes one poll with these settings of the credential; returns the token request.
    async fn login(&self, more: &str) -> Asked {
        let app = self.app(more).await;
        let id = app.submit("jobs", "job-1").await;
        app.next_poll(id).await;
        assert_eq!(app.progress(id).problems, 0);
        self.cloud.identity.last()
    }

    /// Makes one poll and returns its problem.
    async fn problem(&self) -> (App, WatchId, ProblemNote) {
        let app = self.app("scope = \"jobs.read\"\n").await;
        let id = app.submit("jobs", "job-1").await;
        app.next_poll(id).await;
        let problem = app.progress(id).last_problem.unwrap();
        assert_eq!(
            self.cloud.jobs.count(),
            0,
            "no poll is made without a token"
        );
        (app, id, problem)
    }
}

fn bearer() -> Value {
    json!({ "token_type": "Bearer", "expires_in": 3600 })
}

fn body(asked: &Asked) -> &str {
    std::str::from_utf8(&asked.body).unwrap()
}

#[tokio::test]
async fn a_client_proves_itself_by_basic() {
    let sso = Sso::start(&bearer());
    let login = sso.login("scope = \"jobs.read jobs.list\"\n").await;
    assert!(login.is("POST", TOKENS));
    let form = "application/x-www-form-urlencoded";
    assert_eq!(login.header("content-type"), Some(form));
    assert_eq!(login.header("accept"), Some("application/json"));
    // "watcher:secret%2Bof%2Fthe+client"
    let basic = "Basic d2F0Y2hlcjpzZWNyZXQlMkJvZiUyRnRoZStjbGllbnQ=";
    assert_eq!(login.header("authorization"), Some(basic));
    let params = "grant_type=client_credentials&scope=jobs.read+jobs.list";
    assert_eq!(body(&login), params);
}

#[tokio::test]
async fn a_client_may_prove_itself_in_the_body() {
    let sso = Sso::start(&bearer());
    let login = sso
        .login(
            "auth = \"body\"\ngrant = \"client-credentials\"\naudience = \"https://jobs\"\n\
             extra = { resource = \"a&b\" }\n",
        )
        .await;
    assert_eq!(login.header("authorization"), None);
    assert_eq!(
        body(&login),
        "grant_type=client_credentials&client_id=watcher\
         &client_secret=secret%2Bof%2Fthe+client&audience=https%3A%2F%2Fjobs&resource=a%26b"
    );
}

#[tokio::test]
async fn one_token_serves_all_watches_and_is_renewed() {
    for members in [bearer(), json!({}), json!({ "expires_in": "3600" })] {
        let sso = Sso::start(&members);
        let app = sso.app("").await;
        let ids = watches(&app, 8).await;
        app.advance_secs(5).await;
        assert_eq!(sso.logins(), 1, "{members}");
        // A sixth of the hour is left at its 50th minute.
        for _ in 0..2 * 65 {
            app.advance(Duration::from_secs(30)).await;
        }
        assert_eq!(sso.logins(), 2, "{members}");
        for id in ids {
            assert_eq!(app.progress(id).problems, 0);
        }
        assert_eq!(sso.cloud.jobs.refused(), 0);
    }
}

#[tokio::test]
async fn a_revoked_token_is_renewed_and_the_poll_repeated() {
    let sso = Sso::start(&bearer());
    let app = sso.app("").await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    sso.valid.store(7, Ordering::Relaxed);
    app.next_poll(id).await;
    assert_eq!(app.progress(id).problems, 0);
    assert_eq!((sso.logins(), sso.cloud.jobs.refused()), (2, 1));
}

#[tokio::test]
async fn a_replaced_client_secret_is_used() {
    let sso = Sso::start(&bearer());
    let app = sso.app("auth = \"body\"\n").await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    sso.cloud.write("client", "another-secret");
    app.advance_secs(2).await;
    let login = sso.cloud.identity.last();
    assert!(body(&login).contains("client_secret=another-secret"));
    assert_eq!(app.progress(id).problems, 0);
}

#[tokio::test]
async fn errors_of_the_token_endpoint_have_their_kind() {
    let error = |status, code: &str| {
        let body = json!({ "error": code, "error_description": "said so" });
        Answer::new(status, &body)
    };
    let page = "<html><title>Welcome</title></html>";
    let mac = json!({ "access_token": "t", "token_type": "mac" });
    for (answer, kind, words) in [
        (Answer::text(503, ""), ProblemKind::ServerError, "HTTP 503"),
        (Answer::text(429, ""), ProblemKind::Throttled, "HTTP 429"),
        (
            error(400, "temporarily_unavailable"),
            ProblemKind::ServerError,
            "(temporarily_unavailable said so)",
        ),
        (
            error(401, "invalid_client"),
            ProblemKind::Unauthorized,
            "HTTP 401 (invalid_client said so); check `client_id`, the `client_secret` in",
        ),
        (
            error(200, "invalid_scope"),
            ProblemKind::Unauthorized,
            "(invalid_scope said so); check",
        ),
        (
            Answer::text(302, "").with("location", "/elsewhere"),
            ProblemKind::Unauthorized,
            "HTTP 302, a redirect, is not followed",
        ),
        (
            Answer::text(200, page),
            ProblemKind::Unauthorized,
            "has no access_token",
        ),
        (
            Answer::new(200, &mac),
            ProblemKind::Unauthorized,
            "of the type `mac`",
        ),
        (
            Answer::text(200, &"x".repeat(5 * 1024 * 1024)),
            ProblemKind::Unauthorized,
            "the answer is larger than",
        ),
    ] {
        let sso = Sso::start(&bearer());
        sso.cloud.identity.always(answer);
        let (_app, _, problem) = sso.problem().await;
        assert_eq!(problem.kind, kind, "{}", problem.message);
        let begin = format!(
            "credential `otc`: cannot get a token from {}{TOKENS} for the client `watcher`: ",
            sso.cloud.identity.url
        );
        assert!(problem.message.starts_with(&begin), "{}", problem.message);
        assert!(problem.message.contains(words), "{}", problem.message);
        assert_eq!(sso.cloud.identity.count(), 1);
    }
}

#[tokio::test]
async fn a_token_endpoint_that_is_down_is_unreachable() {
    let sso = Sso::start(&bearer());
    let closed = sso.cloud.identity.close().await;
    let (app, id, problem) = sso.problem().await;
    assert_eq!(problem.kind, ProblemKind::Unreachable);
    assert!(problem.message.contains("cannot connect"));
    closed.reopen();
    app.advance_secs(5).await;
    assert_eq!(sso.logins(), 1);
    assert_eq!(app.progress(id).problems, 1);
    assert_eq!(sso.cloud.jobs.refused(), 0);
    assert!(sso.cloud.jobs.count() > 0, "the job is seen again");
}

#[tokio::test]
async fn a_refused_client_is_tried_less_and_less_often() {
    let sso = Sso::start(&bearer());
    let body = json!({ "error": "invalid_client" });
    sso.cloud.identity.always(Answer::new(400, &body));
    let (app, id, _) = sso.problem().await;
    for _ in 0..3600 / 5 {
        app.advance(Duration::from_secs(5)).await;
    }
    assert_eq!(app.outcome(id).await, None);
    // After 5, 10 and 20 minutes.
    assert_eq!(sso.logins(), 4);
}
