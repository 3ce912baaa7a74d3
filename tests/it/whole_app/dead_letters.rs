//! Dead letters: listed, explained, and redriven.

use std::collections::BTreeSet;
use std::time::Duration;

use http::{Method, StatusCode};
use jobwatch::simulator::{Ending, Service};
use serde_json::{Value, json};

use crate::harness::receiver::{Received, Reply};
use crate::harness::{App, Setup, job};

/// A sink of acceptances only, so that one submission is one event; without a log sink.
async fn accepting() -> App {
    let setup = Setup {
        hook: "events = [\"watch.accepted\"]".to_owned(),
        more: "[sinks.log]\nkind = \"log\"\nevents = [\"job.held\"]".to_owned(),
        ..Setup::default()
    };
    setup.start().await
}

/// Makes `count` dead letters at a receiver that is broken for days.
async fn given_up(app: &App, count: usize) {
    app.receiver.always_answers(Reply::Status(500));
    for _ in 0..count {
        app.watch_new(job(Service::Dcs, 360_000, Ending::Never))
            .await;
    }
    app.program.courier.run_once().await.unwrap();
    for _ in 0..12 {
        app.clock.advance(Duration::from_hours(9));
        app.program.courier.run_once().await.unwrap();
    }
}

async fn get(app: &App, path: &str) -> Value {
    let (status, body) = app.call(Method::GET, path, "").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

async fn post(app: &App, path: &str, body: &Value) -> (StatusCode, Value) {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    app.call(Method::POST, path, &body).await
}

fn ids(page: &Value) -> Vec<String> {
    let deliveries = page["deliveries"].as_array().unwrap();
    let id = |delivery: &Value| delivery["id"].as_str().unwrap().to_owned();
    deliveries.iter().map(id).collect()
}

#[tokio::test]
async fn a_dead_letter_is_listed_with_every_attempt() {
    let app = accepting().await;
    given_up(&app, 2).await;
    let page = get(&app, "/v1/deliveries?state=dead&sink=hook").await;
    assert_eq!((ids(&page).len(), &page["next"]), (2, &Value::Null));
    let first = get(&app, "/v1/deliveries?state=dead&limit=1").await;
    let cursor = first["next"].as_str().unwrap();
    let second = get(
        &app,
        &format!("/v1/deliveries?state=dead&limit=1&cursor={cursor}"),
    )
    .await;
    assert_eq!([ids(&first), ids(&second)].concat(), ids(&page));

    let delivery = &page["deliveries"][0];
    assert_eq!(delivery["type"], "dev.jobwatch.watch.accepted");
    assert_eq!(delivery["attempts"], 10);
    assert_eq!(delivery["last_status"], 500);
    assert_eq!(delivery["due_at"], Value::Null);
    assert!(delivery["settled_at"].is_string());
    let shown = get(&app, &format!("/v1/deliveries/{}", ids(&page)[0])).await;
    assert_eq!(shown["event_id"], delivery["event_id"]);
    let history = shown["history"].as_array().unwrap();
    assert_eq!(history.len(), 10);
    for (n, attempt) in (1..).zip(history) {
        assert_eq!(
            (&attempt["number"], &attempt["http_status"]),
            (&json!(n), &json!(500))
        );
        assert!(attempt["error"].as_str().unwrap().contains("500"));
        assert!(attempt["at"].is_string() && attempt["took_ms"].is_u64());
    }
    let text = app.metrics().await;
    for line in [
        "jobwatch_deliveries_total{sink=\"hook\",result=\"failed\"} 18",
        "jobwatch_deliveries_total{sink=\"hook\",result=\"dead\"} 2",
        "jobwatch_deliveries_dead{sink=\"hook\"} 2",
        "jobwatch_deliveries_pending{sink=\"hook\"} 0",
    ] {
        assert!(text.contains(line), "{line} is missing in:\n{text}");
    }
}

#[tokio::test]
async fn a_redriven_letter_gets_ten_more_attempts_with_its_id() {
    let app = accepting().await;
    given_up(&app, 1).await;
    let id = ids(&get(&app, "/v1/deliveries?state=dead").await).remove(0);
    let path = format!("/v1/deliveries/{id}/redrive");
    let (status, owed) = post(&app, &path, &Value::Null).await;
    assert_eq!(
        (status, &owed["state"]),
        (StatusCode::OK, &json!("pending"))
    );
    let (status, problem) = post(&app, &path, &Value::Null).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(problem["type"], "urn:jobwatch:problem:not-dead");
    for _ in 0..12 {
        app.program.courier.run_once().await.unwrap();
        app.clock.advance(Duration::from_hours(9));
    }
    assert_eq!(app.receiver.received().len(), 20);
    let dead = get(&app, &format!("/v1/deliveries/{id}")).await;
    assert_eq!(
        (&dead["state"], &dead["attempts"]),
        (&json!("dead"), &json!(20))
    );
    assert_eq!(dead["history"].as_array().unwrap().len(), 20);
    app.receiver.always_answers(Reply::Status(204));
    post(&app, &path, &json!({"force": false})).await;
    app.program.courier.run_once().await.unwrap();
    let received = app.receiver.received();
    let events: BTreeSet<&str> = received.iter().map(Received::id).collect();
    assert_eq!((received.len(), events.len()), (21, 1));

    let (status, problem) = post(&app, &path, &Value::Null).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(problem["detail"].as_str().unwrap().contains("force"));
    let (status, _) = post(&app, &path, &json!({"force": true})).await;
    assert_eq!(status, StatusCode::OK);
    app.program.courier.run_once().await.unwrap();
    assert_eq!(app.receiver.received().len(), 22);
    assert_eq!(
        get(&app, &format!("/v1/deliveries/{id}")).await["state"],
        "delivered"
    );
}

#[tokio::test]
async fn all_dead_letters_since_a_time_are_redriven() {
    let app = accepting().await;
    given_up(&app, 2).await;
    app.clock.advance(Duration::from_hours(100));
    given_up(&app, 3).await;
    let redrive = async |body: Value| post(&app, "/v1/deliveries/redrive", &body).await;
    let (_, view) = redrive(json!({"sink": "hook", "since": "1h"})).await;
    assert_eq!(view["redriven"], 0);
    let (_, view) = redrive(json!({"since": "150h"})).await;
    assert_eq!(
        (&view["redriven"], &view["by_sink"]),
        (&json!(3), &json!({"hook": 3}))
    );
    let (_, view) = redrive(json!({"sink": "hook"})).await;
    assert_eq!(view["redriven"], 2);
    for wrong in [
        json!({}),
        Value::Null,
        json!({"since": "soon"}),
        json!({"sinks": "hook"}),
    ] {
        let (status, problem) = redrive(wrong).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
    }
    app.receiver.always_answers(Reply::Status(204));
    let before = app.receiver.received().len();
    app.program.courier.run_once().await.unwrap();
    assert_eq!(app.receiver.received().len(), before + 5);
}

#[tokio::test]
async fn removed_sink_keeps_its_dead_letters() {
    let app = accepting().await;
    given_up(&app, 1).await;
    let app = app
        .restart_with(|settings| settings.replace("[sinks.hook]", "[sinks.other]"))
        .await;
    let dead = get(&app, "/v1/deliveries?state=dead&sink=hook").await;
    let id = ids(&dead).remove(0);
    for (path, body) in [
        (format!("/v1/deliveries/{id}/redrive"), Value::Null),
        ("/v1/deliveries/redrive".to_owned(), json!({"sink": "hook"})),
    ] {
        let (status, problem) = post(&app, &path, &body).await;
        assert_eq!(status, StatusCode::CONFLICT, "{problem}");
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("kept and not sent")
        );
    }
    let (status, view) = post(&app, "/v1/deliveries/redrive", &json!({"since": "9000h"})).await;
    assert_eq!(status, StatusCode::CONFLICT, "{view}");
    assert_eq!(
        get(&app, &format!("/v1/deliveries/{id}")).await["state"],
        "dead"
    );
    let sinks = get(&app, "/v1/sinks").await;
    let of = |name: &str| {
        let all = sinks["sinks"].as_array().unwrap();
        all.iter()
            .find(|sink| sink["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(of("hook")["state"], "unconfigured");
    assert_eq!(of("hook")["dead"], 1);
    assert_eq!(
        (&of("other")["state"], &of("other")["kind"]),
        (&json!("open"), &json!("webhook"))
    );
}

#[tokio::test]
async fn a_gone_receiver_is_shown_as_gone() {
    let app = accepting().await;
    app.receiver.always_answers(Reply::Status(410));
    app.watch_new(job(Service::Dcs, 36_000, Ending::Never))
        .await;
    app.program.courier.run_once().await.unwrap();
    let sinks = get(&app, "/v1/sinks").await;
    let hook = &sinks["sinks"][0];
    assert_eq!(
        (&hook["name"], &hook["state"]),
        (&json!("hook"), &json!("gone"))
    );
    assert_eq!(hook["pending"], 1);
    assert!(hook["gone_since"].is_string());
    assert_eq!(get(&app, "/readyz").await["gone_sinks"], json!(["hook"]));
    let id = ids(&get(&app, "/v1/deliveries").await).remove(0);
    let path = format!("/v1/deliveries/{id}");
    assert!(get(&app, &path).await["gone_since"].is_string());
    let force = json!({"force": true});
    let (_, driven) = post(&app, &format!("{path}/redrive"), &force).await;
    assert!(driven["gone_since"].is_string(), "{driven}");
    let text = app.metrics().await;
    assert!(
        text.contains("jobwatch_sink_gone{sink=\"hook\"} 1"),
        "{text}"
    );
    assert!(text.contains("result=\"gone\"} 1"), "{text}");
    let app = app.restart().await;
    assert_eq!(get(&app, "/v1/sinks").await["sinks"][0]["state"], "open");
}

#[tokio::test]
async fn unknown_deliveries_and_wrong_queries_are_refused() {
    let app = App::start().await;
    for path in ["/v1/deliveries/99", "/v1/deliveries/x", "/v1/deliveries/-1"] {
        let (status, problem) = app.call(Method::GET, path, "").await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
        let (status, _) = app.call(Method::POST, &format!("{path}/redrive"), "").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
    for (query, wanted) in [
        ("state=lost", "pending, delivered, dead"),
        ("limit=0", "1 to 1000"),
        ("cursor=x", "`next`"),
        ("stat=dead", "did you mean `state`"),
    ] {
        let path = format!("/v1/deliveries?{query}");
        let (status, problem) = app.call(Method::GET, &path, "").await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(wanted), "{detail}");
    }
}
