//! Who may call which route: tokens and their scopes, and web pages where there are no tokens.

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::harness::{App, Setup};

/// Routes that only show something.
const READING: &[&str] = &[
    "/v1/watches",
    "/v1/watches/j",
    "/v1/watches/j/evidence",
    "/v1/watches/j/events",
    "/v1/watches/j/wait?timeout=1s",
    "/v1/events",
    "/v1/deliveries",
    "/v1/deliveries/1",
    "/v1/services",
    "/v1/sinks",
    "/v1/durations",
    "/v1/replicas",
    "/v1/badge",
    "/v1/groups/g",
    "/v1/watches/j/why",
    "/openapi.json",
    "/reference",
    "/metrics",
];

/// Routes that change something.
const WRITING: &[(Method, &str)] = &[
    (Method::POST, "/v1/watches"),
    (Method::POST, "/v1/watches/bulk"),
    (Method::POST, "/v1/watches/check"),
    (Method::POST, "/v1/watches/j/poll"),
    (Method::DELETE, "/v1/watches/j"),
    (Method::POST, "/v1/groups/g/close"),
    (Method::POST, "/v1/hints/dcs"),
    (Method::POST, "/v1/deliveries/redrive"),
    (Method::POST, "/v1/deliveries/1/redrive"),
];

const TOKENS: &str = "[api]\nread_token = \"reader\"\nwrite_token = \"writer\"\n";

fn routes() -> impl Iterator<Item = (Method, &'static str, bool)> {
    let reading = READING.iter().map(|path| (Method::GET, *path, false));
    let writing = WRITING
        .iter()
        .map(|(method, path)| (method.clone(), *path, true));
    reading.chain(writing)
}

/// Waits and streams are answered once the announcer runs.
fn announce(app: &App) {
    let announcer = app.program.announcer.clone();
    let stop = CancellationToken::new();
    app.tracker.spawn(async move { announcer.run(stop).await });
}

async fn status(app: &App, method: &Method, path: &str, headers: &[(&str, &str)]) -> StatusCode {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = app.program.router.clone().oneshot(request).await.unwrap();
    response.status()
}

#[tokio::test]
async fn every_route_is_tried() {
    let app = App::start().await;
    let (_, document) = app.call(Method::GET, "/openapi.json", "").await;
    for (path, calls) in document["paths"].as_object().unwrap() {
        for method in calls.as_object().unwrap().keys() {
            let is_open = path == "/livez" || path == "/readyz";
            let is_tried = |(tried, example, _): (Method, &str, bool)| {
                let example = example.split('?').next().unwrap();
                let mut parts = path.split('/').zip(example.split('/'));
                tried.as_str().eq_ignore_ascii_case(method)
                    && path.split('/').count() == example.split('/').count()
                    && parts.all(|(part, tried)| part == tried || part.starts_with('{'))
            };
            assert!(is_open || routes().any(is_tried), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn every_route_needs_a_token_of_its_scope() {
    let setup = Setup {
        more: TOKENS.to_owned(),
        ..Setup::default()
    };
    let app = setup.start().await;
    announce(&app);
    for (method, path, writes) in routes() {
        let answer = async |token: &str| {
            let authorization = format!("Bearer {token}");
            let headers = [(header::AUTHORIZATION.as_str(), &*authorization)];
            status(&app, &method, path, &headers).await
        };
        let case = format!("{method} {path}");
        let without = status(&app, &method, path, &[]).await;
        assert_eq!(without, StatusCode::UNAUTHORIZED, "{case}");
        assert_eq!(answer("other").await, StatusCode::UNAUTHORIZED, "{case}");
        let is_refused = answer("reader").await == StatusCode::FORBIDDEN;
        assert_eq!(is_refused, writes, "{case}");
        let allowed = answer("writer").await;
        assert!(
            allowed != StatusCode::UNAUTHORIZED && allowed != StatusCode::FORBIDDEN,
            "{case}: {allowed}"
        );
        assert_ne!(allowed, StatusCode::METHOD_NOT_ALLOWED, "{case}");
    }
}

#[tokio::test]
async fn without_tokens_no_route_answers_a_web_page() {
    let app = App::start().await;
    announce(&app);
    for (method, path, _) in routes() {
        let foreign = [
            [("host", "evil.example"), ("accept", "*/*")],
            [("host", "localhost"), ("origin", "http://evil.example")],
            [("host", "127.0.0.1:8620"), ("origin", "null")],
        ];
        for headers in foreign {
            let answer = status(&app, &method, path, &headers).await;
            assert_eq!(answer, StatusCode::FORBIDDEN, "{method} {path} {headers:?}");
        }
        let own = status(&app, &method, path, &[("host", "localhost:8620")]).await;
        assert_ne!(own, StatusCode::FORBIDDEN, "{method} {path}");
    }
}

#[tokio::test]
async fn a_body_beyond_64_kib_is_refused() {
    let app = App::start().await;
    let large = format!(
        r#"{{"service":"dcs","job_id":"j","labels":{{"a":"{}"}}}}"#,
        "x".repeat(70_000)
    );
    let (status, problem) = app.call(Method::POST, "/v1/watches", &large).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(problem["type"], "urn:jobwatch:problem:body");
}
