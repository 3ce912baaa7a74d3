//! The health of services, as the API shows it.

use std::time::Duration;

use http::Method;
use jobwatch::simulator::{Ending, Faults, RetryAfter, Service, Throttle};
use serde_json::Value;

use crate::harness::{App, Setup, TOKEN, job, job_with};

impl App {
    /// A configured service, as `GET /v1/services` shows it.
    pub(super) async fn service(&self, name: &str) -> Value {
        let (status, page) = self.call(Method::GET, "/v1/services", "").await;
        assert_eq!(status, 200, "{page}");
        let services = page["services"].as_array().unwrap();
        let found = services.iter().find(|service| service["name"] == name);
        found.unwrap().clone()
    }
}

#[tokio::test]
async fn a_service_is_idle_until_it_was_polled() {
    let app = App::start().await;
    let idle = app.service("dcs").await;
    assert_eq!(
        (&idle["health"], &idle["last_answer"]),
        (&"idle".into(), &Value::Null)
    );
    assert_eq!(idle["credential_state"]["kind"], "token");
    app.watch_new(job(Service::Dcs, 600, Ending::Never)).await;
    app.advance_secs(2).await;
    let ok = app.service("dcs").await;
    assert_eq!(ok["health"], "ok");
    let answer = &ok["last_answer"];
    assert_eq!(
        (&answer["http_status"], &answer["problem"]),
        (&200.into(), &Value::Null)
    );
    assert_eq!(answer["at"], app.now().to_string());
    assert!(answer["took_ms"].is_u64(), "{answer}");
    assert_eq!(
        app.service("sdrs").await["health"],
        "idle",
        "it has its own answers"
    );
}

#[tokio::test]
async fn a_service_that_fails_is_failing_until_it_answers() {
    let app = App::start().await;
    let faults = Faults {
        server_errors: 2,
        ..Faults::default()
    };
    app.watch_new(job_with(Service::Dcs, faults)).await;
    app.advance_secs(4).await;
    let failing = app.service("dcs").await;
    assert_eq!(failing["health"], "failing");
    let answer = &failing["last_answer"];
    assert_eq!(answer["problem"]["kind"], "server_error", "{answer}");
    assert_eq!(answer["failed_in_a_row"], 2);
    assert_eq!(answer["failing_since"], "2026-11-22T10:00:02Z");
    app.advance_secs(5).await;
    let ok = app.service("dcs").await;
    assert_eq!(ok["health"], "ok", "{ok}");
    assert!(ok["last_answer"].get("failed_in_a_row").is_none());
}

#[tokio::test]
async fn a_service_is_throttled_until_it_answers_again() {
    let app = App::start().await;
    let faults = Faults {
        throttle: Some(Throttle {
            polls: 1,
            retry_after: RetryAfter::Seconds(60),
        }),
        ..Faults::default()
    };
    app.watch_new(job_with(Service::Dcs, faults)).await;
    app.advance_secs(2).await;
    assert_eq!(app.service("dcs").await["health"], "throttled");
    assert_eq!(
        app.service("sdrs").await["health"],
        "throttled",
        "one budget"
    );
    app.advance(Duration::from_mins(1)).await;
    assert_eq!(app.service("dcs").await["health"], "ok");
    assert_eq!(app.service("sdrs").await["health"], "idle");
}

#[tokio::test]
async fn an_unknown_job_says_nothing_about_its_service() {
    let app = App::start().await;
    app.submit("dcs", "ff80808200000000000000000000dead").await;
    app.advance_secs(2).await;
    let service = app.service("dcs").await;
    assert_eq!(service["last_answer"]["problem"]["kind"], "not_found");
    assert_eq!(service["health"], "ok");
}

#[tokio::test]
async fn a_refused_credential_is_shown_without_its_secret() {
    let setup = Setup {
        tokens: Some(vec!["another".to_owned()]),
        ..Setup::default()
    };
    let app = setup.start().await;
    app.watch_new(job(Service::Dcs, 600, Ending::Never)).await;
    app.advance_secs(2).await;
    let service = app.service("dcs").await;
    assert_eq!(service["health"], "failing");
    let refused = &service["credential_state"]["refused"];
    assert_eq!(
        refused,
        "the service refused the secret, and a new one as well"
    );
    assert!(!service.to_string().contains(TOKEN), "{service}");
}
