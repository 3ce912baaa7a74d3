//! Budgets: the rate and the concurrency of polls, and their independence.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use jobwatch::outbound;
use jobwatch::simulator::{Ending, Service};
use tokio::sync::{Semaphore, watch};

use crate::harness::{App, Setup, job, serve};

/// Longer than any step takes, so that a hanging test fails.
const HANGS: Duration = Duration::from_secs(10);

/// A DCS job that succeeded.
fn succeeded(job_id: &str) -> String {
    format!(r#"{{"job_id":"{job_id}","status":"SUCCESS"}}"#)
}

fn service(name: &str, url: &str, concurrency: u32) -> String {
    format!(
        "\n[services.{name}]\ndefinition = \"dcs\"\nurl = \"{url}\"\ncredential = \"none\"\n\
         params = {{ project_id = \"p\" }}\nrate = 1000.0\nburst = 1000\nconcurrency = {concurrency}\n"
    )
}

#[tokio::test]
async fn all_watches_of_a_budget_share_its_rate() {
    let setup = Setup {
        limits: "rate = 2.0\nburst = 1".to_owned(),
        ..Setup::default()
    };
    let app = setup.start().await;
    let mut watches = Vec::new();
    for service in [Service::Dcs, Service::Sdrs, Service::SfsTurbo] {
        for _ in 0..3 {
            watches.push(app.watch_new(job(service, 3600, Ending::Never)).await);
        }
    }
    // All of them are due by now.
    app.clock.advance(Duration::from_secs(30));
    for _ in 0..watches.len() {
        assert_eq!(app.program.poller.run_once().await.unwrap(), 1);
        app.clock.advance(Duration::from_millis(499));
        assert_eq!(app.program.poller.run_once().await.unwrap(), 0);
        app.clock.advance(Duration::from_millis(1));
    }
    let first_round: BTreeMap<u64, usize> = {
        let mut counts = BTreeMap::new();
        for id in watches {
            *counts.entry(app.polls(id).await).or_default() += 1;
        }
        counts
    };
    assert!(
        first_round.keys().all(|polls| *polls <= 2),
        "{first_round:?}"
    );
}

#[tokio::test]
async fn a_burst_is_allowed_after_a_quiet_time() {
    let setup = Setup {
        limits: "rate = 1.0\nburst = 4".to_owned(),
        ..Setup::default()
    };
    let app = setup.start().await;
    for _ in 0..6 {
        app.watch_new(job(Service::Dcs, 3600, Ending::Never)).await;
    }
    app.clock.advance(Duration::from_secs(30));
    assert_eq!(app.program.poller.run_once().await.unwrap(), 4);
    assert_eq!(app.program.poller.run_once().await.unwrap(), 0);
}

#[tokio::test]
async fn polls_in_flight_never_exceed_the_concurrency() {
    const LIMIT: usize = 3;
    const ROUNDS: usize = 4;
    let (arrive, mut arrived) = watch::channel(0);
    let release = Arc::new(Semaphore::new(0));
    let answer = {
        let release = Arc::clone(&release);
        move |Path((_, job_id)): Path<(String, String)>| async move {
            arrive.send_modify(|arrived| *arrived += 1);
            release.acquire().await.unwrap().forget();
            succeeded(&job_id)
        }
    };
    let app = App::start().await;
    let router = Router::new()
        .route("/v2/{project}/jobs/{job_id}", get(answer))
        .route("/ping", get(|| async { "pong" }));
    let url = serve(router, &app.tracker).await;
    let app = app
        .restart_with(|settings| settings + &service("narrow", &url, 3))
        .await;
    let mut watches = Vec::new();
    for n in 0..ROUNDS * LIMIT {
        watches.push(app.submit("narrow", &format!("job-{n}")).await);
    }
    let judging = async {
        for round in 1..=ROUNDS {
            arrived
                .wait_for(|arrived| *arrived >= round * LIMIT)
                .await
                .unwrap();
            // Another poll would arrive in the meantime.
            ping(&url).await;
            assert_eq!(*arrived.borrow(), round * LIMIT);
            release.add_permits(LIMIT);
        }
    };
    let polling = app.advance(Duration::from_secs(2));
    let both = async { tokio::join!(polling, judging) };
    tokio::time::timeout(HANGS, both)
        .await
        .expect("the allowed number of polls is in flight");
    for id in watches {
        assert!(app.outcome(id).await.is_some());
    }
}

/// Exchanges a few requests with the server, so that other requests have the time to arrive.
async fn ping(url: &str) {
    let client = outbound::client().no_proxy().build().unwrap();
    for _ in 0..20 {
        let pong = client.get(format!("{url}/ping")).send().await.unwrap();
        assert_eq!(pong.text().await.unwrap(), "pong");
    }
}

#[tokio::test]
async fn a_slow_service_delays_no_other() {
    let (release, released) = watch::channel(false);
    let slow = move |Path((_, job_id)): Path<(String, String)>| async move {
        let mut released = released.clone();
        released.wait_for(|released| *released).await.unwrap();
        succeeded(&job_id)
    };
    // The slow service answers only after a poll of the quick one.
    let quick = move |Path((_, job_id)): Path<(String, String)>| async move {
        release.send_replace(true);
        succeeded(&job_id)
    };
    let app = App::start().await;
    let route = |job| Router::new().route("/v2/{project}/jobs/{job_id}", job);
    let slow = serve(route(get(slow)), &app.tracker).await;
    let quick = serve(route(get(quick)), &app.tracker).await;
    let app = app
        .restart_with(|settings| {
            settings + &service("slow", &slow, 1) + &service("quick", &quick, 1)
        })
        .await;
    for n in 0..5 {
        app.submit("slow", &format!("job-{n}")).await;
    }
    let last = app.submit("quick", "job").await;
    let polling = app.advance(Duration::from_secs(2));
    tokio::time::timeout(HANGS, polling)
        .await
        .expect("the quick service does not wait");
    assert!(app.outcome(last).await.is_some());
}
