//! More watches than their budget permits: deadlines hold, and a stop is immediate.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use jobwatch::outbound;
use jobwatch::simulator::{Ending, Service};
use jobwatch::watch::Outcome;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::harness::{App, Setup, job, serve};

/// Longer than any step takes, so that a hanging test fails.
const HANGS: Duration = Duration::from_secs(10);

#[tokio::test]
async fn watches_waiting_for_their_budget_end_at_their_deadline() {
    let setup = Setup {
        limits: "rate = 0.1\nburst = 1\nconcurrency = 64".to_owned(),
        schedule: "jitter = 0.0, deadline = \"1m\"".to_owned(),
        ..Setup::default()
    };
    let app = setup.start().await;
    let mut watches = Vec::new();
    for _ in 0..20 {
        watches.push(app.watch_new(job(Service::Dcs, 3600, Ending::Never)).await);
    }
    app.advance_secs(59).await;
    let mut waited = Vec::new();
    for id in &watches {
        assert_eq!(app.outcome(*id).await, None);
        if app.polls(*id).await == 0 {
            waited.push(*id);
        }
    }
    assert!(waited.len() >= 12, "{} of 20", waited.len());
    // The deadline plus three seconds.
    app.advance_secs(4).await;
    let mut never_asked = 0;
    for id in &waited {
        assert_eq!(app.outcome(*id).await, Some(Outcome::TimedOut));
        assert_eq!(app.event_types(*id).await.last().unwrap(), "job.timed_out");
        never_asked += usize::from(app.polls(*id).await == 0);
    }
    assert!(never_asked + 1 >= waited.len(), "the rate is kept");
    // A watch whose last poll began shortly before its deadline ends a little later.
    app.advance_secs(32).await;
    for id in &watches {
        assert_eq!(app.outcome(*id).await, Some(Outcome::TimedOut));
    }
    assert_eq!(app.program.poller.watching(), 0);
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
