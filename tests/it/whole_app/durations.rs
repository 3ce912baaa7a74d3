//! How long jobs usually take: learned from ends, shown while others are watched.

use http::Method;
use jobwatch::simulator::{Ending, Service};
use serde_json::{Value, json};

use crate::harness::{App, job};

/// Watches jobs of 10 s until they end.
async fn end_jobs(app: &App, count: usize) {
    for _ in 0..count {
        app.watch_new(job(Service::Dcs, 10, Ending::Succeeded))
            .await;
    }
    app.advance_secs(20).await;
}

async fn get(app: &App, path: &str) -> Value {
    let (status, body) = app.call(Method::GET, path, "").await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

#[tokio::test]
async fn durations_are_listed_by_service_and_type() {
    let app = App::start().await;
    assert_eq!(get(&app, "/v1/durations").await["durations"], json!([]));
    end_jobs(&app, 4).await;
    app.watch_new(job(Service::Sdrs, 5, Ending::Failed)).await;
    app.advance_secs(20).await;
    let all = get(&app, "/v1/durations").await;
    assert_eq!(all["durations"].as_array().unwrap().len(), 2, "{all}");
    let dcs = get(&app, "/v1/durations?service=dcs").await;
    let dcs = &dcs["durations"][0];
    assert_eq!((&dcs["service"], &dcs["count"]), (&json!("dcs"), &json!(4)));
    for percentile in ["p10_s", "p50_s", "p90_s"] {
        let seconds = dcs[percentile].as_f64().unwrap();
        assert!((9.0..=16.0).contains(&seconds), "{dcs}");
    }
    let (status, problem) = app.call(Method::GET, "/v1/durations?servce=dcs", "").await;
    assert_eq!(status, 400, "{problem}");
}

#[tokio::test]
async fn the_usual_duration_is_shown_once_three_ends_are_known() {
    let app = App::start().await;
    end_jobs(&app, 2).await;
    let id = app
        .watch_new(job(Service::Dcs, 600, Ending::Succeeded))
        .await;
    app.advance_secs(2).await;
    let path = format!("/v1/watches/{id}");
    assert!(get(&app, &path).await.get("usual").is_none());
    end_jobs(&app, 1).await;
    let usual = get(&app, &path).await["usual"].clone();
    assert_eq!(usual["count"], 3, "{usual}");
    assert!(
        usual["p50_s"].as_f64() <= usual["p90_s"].as_f64(),
        "{usual}"
    );
    let list = get(&app, "/v1/watches").await;
    let shown = list["watches"].as_array().unwrap();
    let with_usual = shown.iter().filter(|watch| watch.get("usual").is_some());
    assert_eq!(with_usual.count(), 1, "only the one that goes on: {list}");
    let why = get(&app, &format!("{path}/why")).await;
    let text = why["text"].as_str().unwrap();
    assert!(text.contains("Of the last 3 jobs of"), "{text}");
}
