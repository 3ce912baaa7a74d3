//! Groups: watches that belong together, and one event about the end of them all.

use std::time::Duration;

use http::Method;
use jobwatch::simulator::{Ending, Service};
use jobwatch::watch::WatchId;
use jobwatch::watch::request::WatchRequest;
use serde_json::{Value, json};

use crate::harness::{App, Setup, job};

const FINISHED: &str = "dev.jobwatch.group.finished";

impl App {
    /// Submits a new job of the simulator as a member of a group.
    async fn member(&self, group: &str, size: Option<u32>, ending: Ending) -> WatchId {
        let spec = job(Service::Dcs, 10, ending);
        let service = spec.service.name().to_owned();
        let job_id = self.simulator.create(spec).unwrap().job_id;
        self.request(&WatchRequest {
            service,
            job_id,
            group: Some(group.to_owned()),
            group_size: size,
            ..WatchRequest::default()
        })
        .await
    }

    /// The events of groups that the webhook has received.
    fn group_events(&self) -> Vec<Value> {
        let received = self.receiver.received();
        let events = received.into_iter().map(|request| request.body);
        events.filter(|event| event["type"] == FINISHED).collect()
    }

    async fn group(&self, name: &str) -> Value {
        let path = format!("/v1/groups/{name}");
        self.call(Method::GET, &path, "").await.1
    }
}

#[tokio::test]
async fn a_group_of_a_known_size_finishes_with_one_event() {
    let app = App::start().await;
    app.member("nightly", Some(2), Ending::Succeeded).await;
    assert_eq!(app.group("nightly").await["state"], "open");
    let failed = app.member("nightly", None, Ending::Failed).await;
    let group = app.group("nightly").await;
    assert_eq!(
        (&group["state"], &group["watching"]),
        (&json!("closed"), &json!(2))
    );
    assert!(app.group_events().is_empty());
    app.advance_secs(30).await;
    app.advance_secs(30).await;
    let events = app.group_events();
    let [event] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(
        (&event["subject"], &event["source"]),
        (&json!("nightly"), &json!("/jobwatch/test"))
    );
    let data = &event["data"];
    assert_eq!(data["outcomes"], json!({"failed": 1, "succeeded": 1}));
    assert_eq!(
        (&data["worst"], &data["members"], &data["size"]),
        (&json!("failed"), &json!(2), &json!(2))
    );
    assert_eq!(data["watches"][0]["watch_id"], failed.to_string());
    let group = app.group("nightly").await;
    assert_eq!(
        (&group["state"], &group["watching"]),
        (&json!("finished"), &json!(0))
    );
}

#[tokio::test]
async fn a_closed_group_finishes_and_takes_no_more() {
    let app = App::start().await;
    app.member("release", None, Ending::Succeeded).await;
    app.advance_secs(30).await;
    assert!(app.group_events().is_empty(), "it is open");
    let (status, group) = app.call(Method::POST, "/v1/groups/release/close", "").await;
    assert_eq!(
        (status.as_u16(), &group["state"]),
        (200, &json!("closed")),
        "{group}"
    );
    app.tick().await;
    assert_eq!(app.group_events().len(), 1);
    let body = json!({"service": "dcs", "job_id": "ff80", "group": "release"}).to_string();
    let (status, problem) = app.call(Method::POST, "/v1/watches", &body).await;
    assert_eq!(
        (status.as_u16(), &problem["errors"][0]["field"]),
        (422, &json!("group")),
        "{problem}"
    );
    let (status, group) = app.call(Method::POST, "/v1/groups/release/close", "").await;
    assert_eq!(
        (status.as_u16(), &group["state"]),
        (200, &json!("finished")),
        "again"
    );
}

#[tokio::test]
async fn an_unknown_group_is_a_problem_of_its_own() {
    let app = App::start().await;
    for (method, path) in [
        (Method::GET, "/v1/groups/none"),
        (Method::POST, "/v1/groups/none/close"),
    ] {
        let (status, problem) = app.call(method, path, "").await;
        assert_eq!(status, 404);
        assert_eq!(problem["type"], "urn:jobwatch:problem:no-such-group");
    }
}

#[tokio::test]
async fn a_stop_ends_a_member_and_with_it_the_group() {
    let app = App::start().await;
    let id = app.member("g", Some(1), Ending::Never).await;
    app.call(Method::DELETE, &format!("/v1/watches/{id}"), "")
        .await;
    app.tick().await;
    let events = app.group_events();
    assert_eq!(
        events[0]["data"]["outcomes"],
        json!({"unwatched": 1}),
        "{events:?}"
    );
}

/// The process dies after the last end and before the event of the group.
#[tokio::test]
async fn a_group_finishes_after_a_restart() {
    let app = App::start().await;
    app.member("g", Some(1), Ending::Succeeded).await;
    for _ in 0..30 {
        app.clock.advance(Duration::from_secs(1));
        app.program.poller.run_once().await.unwrap();
    }
    let app = app.restart().await;
    assert_eq!(app.group("g").await["state"], "closed");
    app.tick().await;
    assert_eq!(app.group_events().len(), 1);
    let app = app.restart().await;
    app.tick().await;
    assert_eq!(app.group_events().len(), 1);
}

#[tokio::test]
async fn a_sink_gets_a_group_if_it_gets_one_of_its_watches() {
    let setup = Setup {
        hook: "events = [\"group.finished\"]\nservices = [\"sdrs\"]".to_owned(),
        ..Setup::default()
    };
    let app = setup.start().await;
    app.member("dcs-only", Some(1), Ending::Succeeded).await;
    let sdrs = app
        .simulator
        .create(job(Service::Sdrs, 5, Ending::Succeeded));
    app.request(&WatchRequest {
        service: "sdrs".to_owned(),
        job_id: sdrs.unwrap().job_id,
        group: Some("mixed".to_owned()),
        ..WatchRequest::default()
    })
    .await;
    app.member("mixed", Some(2), Ending::Succeeded).await;
    app.advance_secs(30).await;
    app.advance_secs(30).await;
    let received = app.receiver.received();
    let subjects: Vec<&Value> = received.iter().map(|it| &it.body["subject"]).collect();
    assert_eq!(subjects, ["mixed"], "and no event of a watch");
    assert_eq!(received[0].body["data"]["service"], Value::Null);
}
