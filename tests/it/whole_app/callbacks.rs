//! Watches with a callback URL: the allowed hosts, and the deliveries.

use std::time::Duration;

use http::{Method, StatusCode};
use jobwatch::simulator::{Ending, Service};
use jobwatch::store::delivery::DeliveryState;
use jobwatch::watch::CallbackUrl;
use jobwatch::watch::request::WatchRequest;
use serde_json::json;

use crate::harness::{App, Setup, job};
use crate::store::samples::deliveries_in;

const URL: &str = "https://localhost:1/hunter2";

async fn allowing(hosts: &str) -> App {
    let setup = Setup {
        more: format!("[api]\nallow_callback_hosts = [{hosts}]"),
        ..Setup::default()
    };
    setup.start().await
}

fn body(job_id: &str, url: &str) -> String {
    json!({"service": "dcs", "job_id": job_id, "callback_url": url}).to_string()
}

#[tokio::test]
async fn a_url_is_refused_unless_its_host_is_listed() {
    let app = allowing("\"hooks.example.com\"").await;
    for url in [
        "https://evil.example/hunter2",
        "http://hooks.example.com/hunter2",
        "https://u:hunter2@hooks.example.com/",
        "https://169.254.169.254/hunter2",
        "https://2852039166/hunter2",
        "https://[::ffff:169.254.169.254]/hunter2",
    ] {
        let (status, answer) = app.call(Method::POST, "/v1/watches", &body("1", url)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
        let detail = answer.to_string();
        assert!(detail.contains("callback_url"), "{detail}");
        assert!(!detail.contains("hunter2"), "{detail}");
    }
    let url = "https://hooks.example.com/hunter2";
    let (status, answer) = app.call(Method::POST, "/v1/watches", &body("1", url)).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    assert_eq!(answer["callback_host"], "hooks.example.com");
    assert!(!answer.to_string().contains("hunter2"));
}

#[tokio::test]
async fn without_a_host_list_every_callback_url_is_refused() {
    let app = App::start().await;
    let (status, answer) = app.call(Method::POST, "/v1/watches", &body("1", URL)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        answer.to_string().contains("allow_callback_hosts"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_callback_delivery_survives_a_restart() {
    let app = allowing("\"localhost\"").await;
    let created = app
        .simulator
        .create(job(Service::Dcs, 1, Ending::Succeeded))
        .unwrap();
    let request = WatchRequest {
        service: "dcs".to_owned(),
        job_id: created.job_id,
        sinks: vec!["log".to_owned()],
        callback_url: Some(CallbackUrl(URL.to_owned())),
        ..WatchRequest::default()
    };
    let id = app.request(&request).await;
    let owed = async |app: &App| {
        let backlog = app.program.store.backlog().await.unwrap();
        let pending = backlog.into_iter().filter(|sink| sink.pending > 0);
        pending
            .map(|sink| (sink.sink, sink.pending))
            .collect::<Vec<_>>()
    };
    app.program.courier.run_once().await.unwrap();
    assert_eq!(owed(&app).await, [], "the acceptance is not delivered");
    app.run_until_final(id, Duration::from_mins(1)).await;
    app.tick().await;
    assert_eq!(owed(&app).await, [("callback".to_owned(), 1)]);
    let app = app.restart().await;
    let stored = app.watch(id).await.callback_url;
    assert_eq!(stored, Some(CallbackUrl(URL.to_owned())));
    assert!(!format!("{stored:?}").contains("hunter2"));
    // A name with a private address is tried again, and becomes a dead letter in the end.
    for _ in 0..12 {
        app.advance(Duration::from_hours(9)).await;
    }
    assert_eq!(
        deliveries_in(&app.program.store, DeliveryState::Dead).await,
        1
    );
    let events = app.events(id).await;
    assert!(!format!("{events:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_host_no_longer_listed_gets_nothing() {
    let app = allowing("\"localhost\"").await;
    let request = WatchRequest {
        service: "dcs".to_owned(),
        job_id: "1".to_owned(),
        callback_url: Some(CallbackUrl(URL.to_owned())),
        ..WatchRequest::default()
    };
    let id = app.request(&request).await;
    let app = app
        .restart_with(|settings| settings.replace("[\"localhost\"]", "[\"hooks.example.com\"]"))
        .await;
    app.call(Method::DELETE, &format!("/v1/watches/{id}"), "")
        .await;
    app.tick().await;
    assert_eq!(
        deliveries_in(&app.program.store, DeliveryState::Dead).await,
        1
    );
}
