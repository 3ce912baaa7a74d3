//! Hints: another program says that a job may have ended, and the job is polled soon.

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use jobwatch::simulator::{Ending, RetryAfter, Service, Throttle};
use jobwatch::sink::signature::Signer;
use jobwatch::watch::{Outcome, WatchId};
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use crate::harness::{App, Setup, WEBHOOK_SECRET, job, job_with};

const HINTS: &str = "[services.dcs.hints]\njob_id = \"$.data.job_id\"\n";
const SIGNED: &str = "secret_file = \"{folder}/webhook-secret\"\n";
const TOKENS: &str =
    "[api]\nread_token_file = \"{folder}/token\"\nwrite_token_file = \"{folder}/webhook-secret\"\n";

async fn start(hints: &str) -> App {
    let setup = Setup {
        schedule: "jitter = 0.0, initial = \"60s\", max = \"60s\"".to_owned(),
        more: hints.to_owned(),
        ..Setup::default()
    };
    setup.start().await
}

impl App {
    async fn hint_of(&self, id: WatchId) -> String {
        let job_id = self.watch(id).await.job_id;
        json!({"specversion": "1.0", "data": {"job_id": job_id}}).to_string()
    }

    async fn hint(&self, id: WatchId) -> (StatusCode, Value) {
        let body = self.hint_of(id).await;
        self.call(Method::POST, "/v1/hints/dcs", &body).await
    }

    /// Sends a hint with these headers.
    async fn send(&self, headers: &[(&str, &str)], body: &str) -> StatusCode {
        let mut request = Request::post("/v1/hints/dcs").header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.program.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(!String::from_utf8_lossy(&body).contains(WEBHOOK_SECRET));
        status
    }

    /// Sends a hint that was signed at `sent_at`.
    async fn send_signed(&self, key: &str, sent_at: i64, body: &str) -> StatusCode {
        let id = Uuid::nil();
        let signature = Signer::new(&[key.into()])
            .unwrap()
            .sign(id, sent_at, body.as_bytes());
        let headers = [
            ("webhook-id", &*id.to_string()),
            ("webhook-timestamp", &*sent_at.to_string()),
            ("webhook-signature", &*signature),
        ];
        self.send(&headers, body).await
    }
}

#[tokio::test]
async fn a_hint_brings_the_poll_forward_and_the_poll_decides() {
    let app = start(HINTS).await;
    let id = app
        .watch_new(job(Service::Dcs, 20, Ending::Succeeded))
        .await;
    app.advance_secs(10).await;
    assert_eq!(app.polls(id).await, 1, "the next is due after 62 s");
    assert_eq!(
        app.hint(id).await,
        (StatusCode::ACCEPTED, json!({"polled": 1}))
    );
    app.tick().await;
    assert_eq!(
        (app.polls(id).await, app.outcome(id).await),
        (2, None),
        "a forged hint"
    );
    app.advance_secs(12).await;
    app.hint(id).await;
    app.tick().await;
    assert_eq!(app.outcome(id).await, Some(Outcome::Succeeded));
    assert_eq!(
        app.hint(id).await,
        (StatusCode::ACCEPTED, json!({"polled": 0})),
        "it has ended"
    );
}

#[tokio::test]
async fn many_hints_make_one_poll_in_five_seconds() {
    let app = start(HINTS).await;
    let id = app.watch_new(job(Service::Dcs, 600, Ending::Never)).await;
    app.advance_secs(10).await;
    for second in 0..20 {
        for _ in 0..10 {
            app.hint(id).await;
        }
        app.advance(Duration::from_secs(1)).await;
        let polls = app.polls(id).await;
        assert!(polls <= 2 + second / 5 + 1, "{polls} polls in {second} s");
    }
    assert_eq!(app.polls(id).await, 1 + 4);
}

#[tokio::test]
async fn a_hint_during_a_pause_waits_for_its_end() {
    let app = start(HINTS).await;
    let faults = jobwatch::simulator::Faults {
        throttle: Some(Throttle {
            polls: 1,
            retry_after: RetryAfter::Seconds(100),
        }),
        ..jobwatch::simulator::Faults::default()
    };
    let id = app.watch_new(job_with(Service::Dcs, faults)).await;
    app.advance_secs(2).await;
    app.hint(id).await;
    app.advance_secs(50).await;
    assert_eq!(app.polls(id).await, 1);
    app.advance_secs(50).await;
    assert_eq!(app.polls(id).await, 2);
}

#[tokio::test]
async fn a_hint_with_a_mistake_names_it() {
    let app = start(HINTS).await;
    for (service, body, status, word) in [
        ("dsc", "{}", 404, "did you mean `dcs`?"),
        ("sdrs", "{}", 409, "[services.sdrs.hints] is missing"),
        ("dcs", "no json", 400, "not JSON"),
        (
            "dcs",
            "{\"data\": {}}",
            422,
            "`$.data.job_id` selects no job id",
        ),
    ] {
        let path = format!("/v1/hints/{service}");
        let (got, problem) = app.call(Method::POST, &path, body).await;
        assert_eq!(got, status, "{problem}");
        assert!(
            problem["detail"].as_str().unwrap().contains(word),
            "{problem}"
        );
    }
    let unknown = json!({"data": {"job_id": "nothing watched"}}).to_string();
    let answer = app.call(Method::POST, "/v1/hints/dcs", &unknown).await;
    assert_eq!(answer, (StatusCode::ACCEPTED, json!({"polled": 0})));
}

#[tokio::test]
async fn with_a_secret_an_unsigned_or_forged_hint_is_refused() {
    let app = start(&format!("{HINTS}{SIGNED}")).await;
    let id = app.watch_new(job(Service::Dcs, 600, Ending::Never)).await;
    app.advance_secs(10).await;
    let body = app.hint_of(id).await;
    let now = app.now().as_second();
    let refused = StatusCode::UNAUTHORIZED;
    assert_eq!(app.send(&[], &body).await, refused);
    assert_eq!(
        app.send(&[("webhook-signature", "v1,AAAA")], &body).await,
        refused
    );
    let other = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    assert_eq!(app.send_signed(other, now, &body).await, refused);
    assert_eq!(
        app.send_signed(WEBHOOK_SECRET, now - 301, &body).await,
        refused
    );
    assert_eq!(
        app.send_signed(WEBHOOK_SECRET, now + 301, &body).await,
        refused
    );
    app.tick().await;
    assert_eq!(app.polls(id).await, 1);
    let signed = app.send_signed(WEBHOOK_SECRET, now - 299, &body).await;
    assert_eq!(signed, StatusCode::ACCEPTED);
    app.tick().await;
    assert_eq!(app.polls(id).await, 2);
}

#[tokio::test]
async fn with_tokens_a_hint_needs_the_write_token_or_a_signature() {
    let app = start(&format!("{TOKENS}{HINTS}{SIGNED}")).await;
    let id = app.watch_new(job(Service::Dcs, 600, Ending::Never)).await;
    let body = app.hint_of(id).await;
    let bearer = |token: &str| format!("Bearer {token}");
    let token = |token: String| [("authorization".to_owned(), token)];
    let send = async |headers: [(String, String); 1]| {
        let headers = headers.each_ref().map(|(name, value)| (&**name, &**value));
        app.send(&headers, &body).await
    };
    assert_eq!(
        send(token(bearer(WEBHOOK_SECRET))).await,
        StatusCode::ACCEPTED
    );
    let reader = token(bearer(crate::harness::TOKEN));
    assert_eq!(send(reader).await, StatusCode::FORBIDDEN);
    assert_eq!(send(token(bearer("other"))).await, StatusCode::UNAUTHORIZED);
    assert_eq!(app.send(&[], &body).await, StatusCode::UNAUTHORIZED);
    let now = app.now().as_second();
    let signed = app.send_signed(WEBHOOK_SECRET, now, &body).await;
    assert_eq!(signed, StatusCode::ACCEPTED);
}

/// A signature for a service without a secret must not open the door.
#[tokio::test]
async fn a_signature_without_a_secret_to_check_is_refused() {
    let app = start(&format!("{TOKENS}{HINTS}")).await;
    let id = app.watch_new(job(Service::Dcs, 600, Ending::Never)).await;
    let body = app.hint_of(id).await;
    let now = app.now().as_second();
    let signed = app.send_signed(WEBHOOK_SECRET, now, &body).await;
    assert_eq!(signed, StatusCode::UNAUTHORIZED);
}
