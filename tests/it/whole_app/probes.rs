//! Requests without a token: probes, and foreign web pages.

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use jobwatch::store::Query;
use tower::ServiceExt;

use crate::harness::App;
use crate::store::abandoned::probed;

/// Submits a watch like a browser, from a page of `origin` or without one.
async fn post(app: &App, origin: Option<&str>) -> StatusCode {
    let mut request = Request::post("/v1/watches").header(header::HOST, "localhost");
    if let Some(origin) = origin {
        request = request.header(header::ORIGIN, origin);
    }
    let body = Body::from(r#"{"service":"dcs","job_id":"j"}"#);
    let request = request.body(body).unwrap();
    let response = app.program.router.clone().oneshot(request).await.unwrap();
    response.status()
}

async fn stored(app: &App) -> usize {
    let everything = Query {
        limit: 10,
        ..Query::default()
    };
    let page = app.program.store.watches(everything).await.unwrap();
    page.watches.len()
}

#[tokio::test]
async fn without_tokens_a_web_page_submits_nothing() {
    let app = App::start().await;
    for origin in ["http://evil.example", "http://localhost:8620", "null", ""] {
        let status = post(&app, Some(origin)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{origin:?}");
    }
    assert_eq!(stored(&app).await, 0);
    assert_eq!(post(&app, None).await, StatusCode::CREATED);
    assert_eq!(stored(&app).await, 1);
}

#[tokio::test]
async fn readiness_is_checked_on_disk_at_most_once_a_second() {
    let app = App::start().await;
    let ready = async || {
        let (status, _) = app.call(Method::GET, "/readyz", "").await;
        assert_eq!(status, StatusCode::OK);
        probed(&app.database())
    };
    let first = ready().await;
    assert!(first.is_some());
    app.clock.advance(Duration::from_millis(999));
    assert_eq!(ready().await, first, "it was proved just now");
    app.clock.advance(Duration::from_millis(1));
    let second = ready().await;
    assert!(second > first, "{second:?} after {first:?}");
    assert_eq!(ready().await, second);
}

#[tokio::test]
async fn liveness_writes_nothing() {
    let app = App::start().await;
    let (status, _) = app.call(Method::GET, "/livez", "").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(probed(&app.database()), None);
}
