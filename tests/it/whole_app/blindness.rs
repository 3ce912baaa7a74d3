//! Services whose jobs cannot be seen: reported once, no watch ends meanwhile, and no stampede.

use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use jobwatch::clock::{later, until};
use jobwatch::simulator::{Ending, Faults, JobSpec, Service};
use jobwatch::watch::{Outcome, WatchId};
use serde_json::{Value, json};

use crate::harness::{App, Setup, TOKEN, job};

const GOOD: &str = "the-good-one";
const MINUTE: u64 = 60;

/// The program with a credential that the simulator refuses, and 20 minutes for each watch.
async fn refused() -> App {
    let setup = Setup {
        schedule: "jitter = 0.0, deadline = \"20m\"".to_owned(),
        limits: "rate = 10.0\nburst = 2\nconcurrency = 8".to_owned(),
        tokens: Some(vec![GOOD.to_owned()]),
        ..Setup::default()
    };
    setup.start().await
}

impl App {
    /// The bodies of the events about services.
    async fn watcher_events(&self) -> Vec<Value> {
        let store = &self.program.store;
        let first = store.first_cursor().await.unwrap();
        let page = store.events_after(&first, 1000).await.unwrap();
        let about_services = page
            .events
            .iter()
            .filter(|event| event.type_name.starts_with("dev.jobwatch.watcher."));
        let bodies = about_services.map(|event| serde_json::from_str(&event.body).unwrap());
        bodies.collect()
    }

    /// The polls of a service so far.
    async fn polls_of(&self, service: &str) -> u64 {
        let metrics = self.metrics().await;
        let name = format!("jobwatch_polls_total{{service=\"{service}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.map_or(0, |count| count.parse().unwrap())
    }

    async fn blind_metric(&self, service: &str) -> String {
        let metrics = self.metrics().await;
        let name = format!("jobwatch_blind{{service=\"{service}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap().to_owned()
    }

    async fn submit_all(&self, count: usize, spec: &JobSpec) -> Vec<WatchId> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.watch_new(spec.clone()).await);
        }
        ids
    }

    async fn view(&self, path: &str) -> Value {
        self.call(Method::GET, path, "").await.1
    }
}

fn types(events: &[Value]) -> Vec<&str> {
    let types = events.iter().filter_map(|event| event["type"].as_str());
    types
        .map(|name| name.trim_start_matches("dev.jobwatch.watcher."))
        .collect()
}

#[tokio::test]
async fn a_refused_credential_is_reported_once_within_minutes() {
    let app = refused().await;
    let ids = app
        .submit_all(30, &job(Service::Dcs, 10, Ending::Succeeded))
        .await;
    let start = app.now();
    app.advance_secs(290).await;
    assert!(app.watcher_events().await.is_empty());
    app.advance_secs(60).await;
    let events = app.watcher_events().await;
    assert_eq!(types(&events), ["blind"]);
    let data = &events[0]["data"];
    assert_eq!(
        (&data["service"], &data["watches"]),
        (&json!("dcs"), &json!(30))
    );
    assert_eq!(data["last_problem"]["kind"], "unauthorized");
    let since: Timestamp = data["blind_since"].as_str().unwrap().parse().unwrap();
    assert!(until(start, since) <= Duration::from_secs(5), "{since}");
    let received = app.receiver.received();
    let blind = received.iter().filter(|it| it.kind() == "watcher.blind");
    assert_eq!(blind.count(), 1);

    let service = app.service("dcs").await;
    assert_eq!(service["health"], "blind");
    assert_eq!(service["blind"]["problem"]["kind"], "unauthorized");
    assert_eq!(app.blind_metric("dcs").await, "1");
    assert_eq!(app.blind_metric("sdrs").await, "0");
    let why = app.view(&format!("/v1/watches/{}/why", ids[0])).await;
    let text = why["text"].as_str().unwrap();
    assert!(
        text.contains("No job of the service can be seen since"),
        "{text}"
    );
    assert!(
        text.contains("Its deadline stands still meanwhile"),
        "{text}"
    );
    assert_eq!(app.view("/readyz").await["status"], "ready");
}

/// The deadline of 20 minutes passes three times while the credential is refused.
#[tokio::test]
async fn no_watch_ends_while_its_service_is_blind() {
    let app = refused().await;
    let spec = job(Service::Dcs, 10, Ending::Succeeded);
    let ids = app.submit_all(200, &spec).await;
    app.advance_secs(6 * MINUTE).await;
    let before = app.polls_of("dcs").await;
    app.advance_secs(60 * MINUTE).await;
    let probes = app.polls_of("dcs").await - before;
    assert!((55..=70).contains(&probes), "{probes} probes in an hour");
    for id in &ids {
        assert_eq!(app.outcome(*id).await, None);
    }
    let new = app.watch_new(spec).await;
    let deadline = app.view(&format!("/v1/watches/{}", ids[0])).await;
    let deadline: Timestamp = deadline["deadline"].as_str().unwrap().parse().unwrap();
    assert!(until(app.now(), deadline) > Duration::from_secs(19 * MINUTE));

    app.write_token(GOOD);
    let mut polls = app.polls_of("dcs").await;
    let mut most = 0;
    for _ in 0..150 {
        app.advance_secs(1).await;
        let now = app.polls_of("dcs").await;
        most = most.max(now - polls);
        polls = now;
    }
    assert!(most <= 12, "{most} polls in a second, with a budget of 10");
    assert_eq!(types(&app.watcher_events().await), ["blind", "sighted"]);
    for id in ids.iter().chain([&new]) {
        assert_eq!(app.outcome(*id).await, Some(Outcome::Succeeded));
    }
    assert_eq!(app.blind_metric("dcs").await, "0");
}

/// Three processes: the second finds the time open, the third finds it ended.
#[tokio::test]
async fn blind_period_survives_restarts_and_moves_the_deadline() {
    let app = refused().await;
    let id = app.watch_new(job(Service::Sdrs, 10, Ending::Never)).await;
    let deadline = app.watch(id).await.deadline;
    app.advance_secs(10 * MINUTE).await;
    let app = app.restart().await;
    app.advance_secs(50 * MINUTE).await;
    assert_eq!(types(&app.watcher_events().await), ["blind"]);
    assert_eq!(app.outcome(id).await, None);
    app.write_token(GOOD);
    app.advance_secs(2 * MINUTE).await;
    let events = app.watcher_events().await;
    assert_eq!(types(&events), ["blind", "sighted"]);
    let blind = Duration::from_secs(events[1]["data"]["blind_seconds"].as_u64().unwrap());
    assert!(blind > Duration::from_secs(59 * MINUTE), "{blind:?}");
    let app = app.restart().await;
    app.run_until_final(id, Duration::from_secs(60 * MINUTE))
        .await;
    let finished = app.watch(id).await.finished_at.unwrap();
    let moved = until(later(deadline, blind), finished);
    assert!(moved < Duration::from_secs(2), "{moved:?}");
    assert!(finished >= later(deadline, blind));
}

#[tokio::test]
async fn a_watcher_without_network_reports_itself_once() {
    let setup = Setup {
        schedule: "jitter = 0.0, deadline = \"20m\"".to_owned(),
        ..Setup::default()
    };
    let app = setup.start().await;
    let mut ids = Vec::new();
    for service in [Service::Dcs, Service::Sdrs, Service::SfsTurbo] {
        ids.push(app.watch_new(job(service, 10, Ending::Succeeded)).await);
    }
    let simulator = app.simulator.url();
    let nowhere = "http://127.0.0.1:9";
    let app = app.restart_with(|it| it.replace(&simulator, nowhere)).await;
    app.advance_secs(60 * MINUTE).await;
    let events = app.watcher_events().await;
    assert_eq!(types(&events), ["blind"], "{events:?}");
    let data = &events[0]["data"];
    assert_eq!(data["service"], Value::Null);
    assert_eq!(data["services"], json!(["dcs", "sdrs", "sfs-turbo"]));
    assert_eq!(
        (&data["watches"], &events[0]["subject"]),
        (&json!(3), &json!("test"))
    );

    let app = app.restart_with(|it| it.replace(nowhere, &simulator)).await;
    app.advance_secs(2 * MINUTE).await;
    let events = app.watcher_events().await;
    assert_eq!(types(&events), ["blind", "sighted", "sighted", "sighted"]);
    assert_eq!(events[1]["data"]["service"], Value::Null);
    assert_eq!(events[1]["data"]["watches"], 1);
    let about = events[1..].iter().map(|event| &event["data"]["services"]);
    let mut about: Vec<_> = about.filter_map(|names| names[0].as_str()).collect();
    about.sort_unstable();
    assert_eq!(about, ["dcs", "sdrs", "sfs-turbo"]);
    for id in ids {
        assert_eq!(app.outcome(id).await, Some(Outcome::Succeeded));
    }
}

#[tokio::test]
async fn a_poll_that_a_person_asks_for_probes_at_once() {
    let app = refused().await;
    let id = app
        .watch_new(job(Service::Dcs, 10, Ending::Succeeded))
        .await;
    app.advance_secs(20 * MINUTE).await;
    app.write_token(GOOD);
    let (status, _) = app
        .call(Method::POST, &format!("/v1/watches/{id}/poll"), "")
        .await;
    assert_eq!(status, 200);
    app.advance_secs(2).await;
    assert_eq!(app.outcome(id).await, Some(Outcome::Succeeded));
    assert_ne!(TOKEN, GOOD);
}

/// A job with faults that never end.
fn odd(faults: Faults) -> JobSpec {
    JobSpec {
        faults,
        ..job(Service::Dcs, 10, Ending::Succeeded)
    }
}

fn failing() -> JobSpec {
    odd(Faults {
        server_errors: u32::MAX,
        ..Faults::default()
    })
}

async fn with_20_minutes() -> App {
    let setup = Setup {
        schedule: "jitter = 0.0, deadline = \"20m\"".to_owned(),
        ..Setup::default()
    };
    setup.start().await
}

#[tokio::test]
async fn refused_jobs_end_as_unknown_and_report_no_blind_service() {
    let app = with_20_minutes().await;
    let refused = odd(Faults {
        forbidden: u32::MAX,
        ..Faults::default()
    });
    let ids = app.submit_all(3, &refused).await;
    app.advance_secs(17 * MINUTE).await;
    for id in ids {
        assert_eq!(app.outcome(id).await, Some(Outcome::Unknown));
    }
    assert!(app.watcher_events().await.is_empty());
}

#[tokio::test]
async fn a_new_job_of_a_blind_service_is_probed_first() {
    let app = with_20_minutes().await;
    app.submit_all(10, &failing()).await;
    app.advance_secs(12 * MINUTE).await;
    assert_eq!(app.blind_metric("dcs").await, "1");
    let id = app
        .watch_new(job(Service::Dcs, 10, Ending::Succeeded))
        .await;
    app.advance_secs(MINUTE + 15).await;
    assert_eq!(app.outcome(id).await, Some(Outcome::Succeeded));
    assert_eq!(types(&app.watcher_events().await), ["blind", "sighted"]);
}

#[tokio::test]
async fn a_person_chooses_the_probe_of_a_blind_service() {
    let app = with_20_minutes().await;
    let ids = app.submit_all(10, &failing()).await;
    app.advance_secs(12 * MINUTE).await;
    let polls = app.polls_of("dcs").await;
    let mut before = Vec::new();
    for id in &ids[7..] {
        before.push(app.polls(*id).await);
        let path = format!("/v1/watches/{id}/poll");
        app.call(Method::POST, &path, "").await;
    }
    app.advance_secs(2).await;
    for (id, before) in ids[7..].iter().zip(before) {
        assert_eq!(app.polls(*id).await, before + 1);
    }
    assert!(app.polls_of("dcs").await <= polls + 4);
    assert_eq!(app.blind_metric("dcs").await, "1");
}
