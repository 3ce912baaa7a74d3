//! The badge: a small picture of how the watches of a query are.

use axum::body::Body;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use jobwatch::simulator::{Ending, Service};
use tower::ServiceExt;

use crate::harness::{App, job};

impl App {
    /// The status, the headers that matter, and the body of a badge.
    async fn badge(&self, query: &str) -> (StatusCode, [String; 2], String) {
        let request = Request::get(format!("/v1/badge?{query}")).header(header::HOST, "localhost");
        let request = request.body(Body::empty()).unwrap();
        let response = self.program.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let headers = [header::CONTENT_TYPE, header::CACHE_CONTROL].map(|name| {
            let value = response.headers().get(name).map(|it| it.to_str().unwrap());
            value.unwrap_or_default().to_owned()
        });
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, headers, String::from_utf8(body.to_vec()).unwrap())
    }
}

#[tokio::test]
async fn a_badge_follows_its_watches() {
    let app = App::start().await;
    let (status, headers, none) = app.badge("service=dcs").await;
    assert_eq!(status, 200);
    assert_eq!(headers, ["image/svg+xml; charset=utf-8", "no-cache"]);
    assert!(none.contains("<title>dcs: no watches</title>"), "{none}");
    app.watch_new(job(Service::Dcs, 5, Ending::Succeeded)).await;
    app.watch_new(job(Service::Dcs, 5, Ending::Succeeded)).await;
    let watching = app.badge("service=dcs").await.2;
    assert!(watching.contains(">2 watching</text>"), "{watching}");
    app.advance_secs(20).await;
    let good = app.badge("service=dcs&title=nightly+%3C%26%3E").await.2;
    assert!(
        good.contains("<title>nightly &lt;&amp;&gt;: all succeeded</title>"),
        "{good}"
    );
    app.watch_new(job(Service::Dcs, 5, Ending::Failed)).await;
    app.advance_secs(20).await;
    assert!(
        app.badge("")
            .await
            .2
            .contains("<title>jobs: failed 1</title>")
    );
    assert!(
        app.badge("state=succeeded")
            .await
            .2
            .contains("all succeeded")
    );
}

#[tokio::test]
async fn a_badge_refuses_unknown_parameters() {
    let app = App::start().await;
    for query in [
        "staet=failed",
        "title=a&title=b",
        "title=%07",
        "state=fialed",
    ] {
        let (status, _, body) = app.badge(query).await;
        assert_eq!(status, 400, "{query}: {body}");
    }
}
