//! More watches than their budget permits: all are asked, deadlines hold, and a stop is immediate.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use http::Method;
use jobwatch::outbound;
use jobwatch::simulator::{Ending, Service};
use jobwatch::watch::Outcome;
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::harness::{App, Setup, job, serve};

/// Longer than any step takes, so that a hanging test fails.
const HANGS: Duration = Duration::from_secs(10);

const NARROW: &str = "rate = 0.1\nburst = 1\nconcurrency = 64";

fn narrow(deadline: &str) -> Setup {
    Setup {
        limits: NARROW.to_owned(),
        schedule: format!("jitter = 0.0, deadline = \"{deadline}\""),
        ..Setup::default()
    }
}

#[tokio::test]
async fn no_watch_ends_unasked_because_its_budget_is_small() {
    let app = narrow("1m").start().await;
    let mut watches = Vec::new();
    for _ in 0..20 {
        watches.push(app.watch_new(job(Service::Dcs, 3600, Ending::Never)).await);
    }
    app.advance_secs(59).await;
    for id in &watches {
        assert_eq!(app.outcome(*id).await, None);
    }
    // One poll in ten seconds; those that were asked wait for no more polls.
    app.advance_secs(150).await;
    for id in &watches {
        assert_eq!(app.outcome(*id).await, Some(Outcome::TimedOut));
        assert_eq!(app.event_types(*id).await.last().unwrap(), "job.timed_out");
        assert!(app.watch(*id).await.polls > 0);
    }
    assert_eq!(app.program.poller.watching(), 0);
}

#[tokio::test]
async fn a_watch_that_was_asked_ends_soon_after_its_deadline() {
    let app = narrow("25s").start().await;
    let asked = app.watch_new(job(Service::Dcs, 3600, Ending::Never)).await;
    app.advance_secs(3).await;
    for _ in 0..20 {
        app.watch_new(job(Service::Dcs, 3600, Ending::Never)).await;
    }
    app.advance_secs(25 + 32).await;
    assert_eq!(app.outcome(asked).await, Some(Outcome::TimedOut));
    let watch = app.watch(asked).await;
    assert_eq!(watch.reason(), None);
}

#[tokio::test]
async fn a_watch_that_ends_unasked_says_why() {
    let setup = Setup {
        limits: "rate = 0.01\nburst = 1".to_owned(),
        schedule: "jitter = 0.0, deadline = \"1m\"".to_owned(),
        ..Setup::default()
    };
    let app = setup.start().await;
    let mut watches = Vec::new();
    for _ in 0..20 {
        watches.push(app.watch_new(job(Service::Dcs, 3600, Ending::Never)).await);
    }
    app.advance_secs(720).await;
    let mut unasked = 0;
    for id in watches {
        let watch = app.watch(id).await;
        assert_eq!(watch.state.outcome(), Some(Outcome::TimedOut));
        if watch.polls == 0 {
            unasked += 1;
            let why = watch.reason().unwrap();
            assert!(why.starts_with("the service was never asked: its budget of 0.010 "));
            assert!(why.ends_with("until 10m after the deadline"), "{why}");
        }
    }
    assert!((12..=13).contains(&unasked), "{unasked}");
}

/// The default settings, 400 jobs that have ended, and a deadline of 20 s.
#[tokio::test]
async fn every_one_of_400_ended_jobs_is_asked() {
    const JOBS: usize = 400;
    let setup = Setup {
        limits: String::new(),
        schedule: "deadline = \"20s\"".to_owned(),
        ..Setup::default()
    };
    let app = setup.start().await;
    let mut watches = Vec::new();
    for _ in 0..JOBS {
        watches.push(app.watch_new(job(Service::Dcs, 0, Ending::Succeeded)).await);
    }
    let mut seconds = 0;
    while app.program.poller.watching() > 0 {
        seconds += 1;
        assert!(seconds < 40, "{} left", app.program.poller.watching());
        for _ in 0..10 {
            app.clock.advance(Duration::from_millis(100));
            app.program.poller.run_once().await.unwrap();
        }
    }
    for id in watches {
        assert_eq!(app.outcome(id).await, Some(Outcome::Succeeded));
    }
    let (_, services) = app.call(Method::GET, "/v1/services", "").await;
    let budget = &services["services"][0]["budget"];
    assert_eq!(budget["rate"], 20.0, "{budget}");
}

#[tokio::test]
async fn a_budget_that_cannot_keep_up_is_shown() {
    let app = narrow("1h").start().await;
    for _ in 0..20 {
        app.watch_new(job(Service::Dcs, 3600, Ending::Never)).await;
    }
    app.advance_secs(13).await;
    let (_, services) = app.call(Method::GET, "/v1/services", "").await;
    let dcs = &services["services"][0];
    assert_eq!(dcs["name"], "dcs");
    assert_eq!(dcs["definition"], "dcs");
    assert_eq!(dcs["credential"], "sim");
    let budget = &dcs["budget"];
    // The watch that was polled first is due again.
    assert_eq!(budget["waiting"], 19);
    assert_eq!(budget["late"], json!({"polls": 19, "seconds": 11.0}));
    assert_eq!(budget["concurrency"], 64);
    assert_eq!(
        (&budget["rate"], &budget["ceiling"]),
        (&json!(0.1), &json!(0.1))
    );
    let metrics = app.metrics().await;
    for name in ["budget_rate", "budget_waiting", "budget_late_seconds"] {
        let line = format!(
            "jobwatch_{name}{{endpoint=\"{}\",credential=\"sim\"}}",
            app.simulator.url()
        );
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn a_stopped_poller_begins_no_waiting_poll() {
    const BACKLOG: usize = 5;
    let (arrive, mut arrived) = watch::channel(0);
    let release = Arc::new(Semaphore::new(0));
    let answer = {
        let release = Arc::clone(&release);
        move |Path((_, job_id)): Path<(String, String)>| async move {
            arrive.send_modify(|arrived| *arrived += 1);
            release.acquire().await.unwrap().forget();
            format!(r#"{{"job_id":"{job_id}","status":"SUCCESS"}}"#)
        }
    };
    let app = App::start().await;
    let router = Router::new()
        .route("/v2/{project}/jobs/{job_id}", get(answer))
        .route("/ping", get(|| async { "pong" }));
    let url = serve(router, &app.tracker).await;
    let narrow = format!(
        "\n[services.narrow]\ndefinition = \"dcs\"\nurl = \"{url}\"\ncredential = \"none\"\n\
         params = {{ project_id = \"p\" }}\nrate = 1000.0\nburst = 1000\nconcurrency = 1\n"
    );
    let app = app.restart_with(|settings| settings + &narrow).await;
    for n in 0..BACKLOG {
        app.submit("narrow", &format!("job-{n}")).await;
    }
    app.clock.advance(Duration::from_secs(5));
    let stop = CancellationToken::new();
    let poller = app.program.poller.clone();
    let running = app.tracker.spawn({
        let stop = stop.clone();
        async move { poller.run(stop, Arc::new(|| {})).await }
    });
    let judging = async {
        arrived.wait_for(|arrived| *arrived == 1).await.unwrap();
        stop.cancel();
        running.await.unwrap();
        release.add_permits(BACKLOG);
        // The poll that was under way ends as usual.
        while app.program.poller.watching() == BACKLOG {
            ping(&url).await;
        }
        // Another poll would arrive in the meantime.
        for _ in 0..20 {
            ping(&url).await;
        }
        assert_eq!(*arrived.borrow(), 1);
        assert_eq!(app.program.poller.watching(), BACKLOG - 1);
    };
    tokio::time::timeout(HANGS, judging).await.unwrap();
}

/// Exchanges a request with the server, so that other requests have the time to arrive.
async fn ping(url: &str) {
    let client = outbound::client().no_proxy().build().unwrap();
    let pong = client.get(format!("{url}/ping")).send().await.unwrap();
    assert_eq!(pong.text().await.unwrap(), "pong");
}
