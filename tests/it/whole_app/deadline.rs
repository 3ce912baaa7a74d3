//! Deadlines: exact, and never reported as the end of the job.

use std::time::Duration;

use jobwatch::clock::later;
use jobwatch::simulator::{Ending, JobSpec, Service};
use jobwatch::watch::request::WatchRequest;
use jobwatch::watch::{Outcome, WatchId};

use crate::harness::{App, job};

const HOUR: Duration = Duration::from_hours(1);

async fn watch_until(app: &App, spec: JobSpec, deadline: &str) -> WatchId {
    let request = WatchRequest {
        service: spec.service.name().to_owned(),
        job_id: app.simulator.create(spec).unwrap().job_id,
        deadline: Some(deadline.to_owned()),
        ..WatchRequest::default()
    };
    app.request(&request).await
}

#[tokio::test]
async fn the_last_poll_falls_exactly_on_the_deadline() {
    let app = App::start().await;
    for (service, deadline) in [(Service::Dcs, "100s"), (Service::Sdrs, "3m 7s")] {
        let id = watch_until(&app, job(service, 10, Ending::Never), deadline).await;
        assert_eq!(app.run_until_final(id, HOUR).await, Outcome::TimedOut);
        let watch = app.watch(id).await;
        assert_eq!(watch.finished_at, Some(watch.deadline));
        let polls = app.simulator.job(&watch.job_id).unwrap().recent_polls;
        assert_eq!(polls.last().unwrap().at, watch.deadline, "{service:?}");
        assert_eq!(app.event_types(id).await.last().unwrap(), "job.timed_out");
    }
}

#[tokio::test]
async fn a_deadline_may_be_a_point_in_time() {
    let app = App::start().await;
    let spec = job(Service::Dcs, 10, Ending::Never);
    let id = watch_until(&app, spec, "2026-11-22T10:00:30Z").await;
    app.run_until_final(id, HOUR).await;
    let ended = app.watch(id).await.finished_at.unwrap();
    assert_eq!(ended.to_string(), "2026-11-22T10:00:30Z");
}

#[tokio::test]
async fn a_verdict_on_the_deadline_still_counts() {
    let app = App::start().await;
    let id = watch_until(&app, job(Service::Dcs, 100, Ending::Failed), "100s").await;
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Failed);
    let watch = app.watch(id).await;
    assert_eq!(watch.finished_at, Some(watch.deadline));
}

#[tokio::test]
async fn clock_set_past_the_deadline_ends_the_watch_at_its_poll() {
    let app = App::start().await;
    let id = watch_until(&app, job(Service::Dcs, 10_000, Ending::Never), "1h").await;
    app.advance_secs(10).await;
    app.clock.set_wall(later(app.now(), 2 * HOUR));
    app.tick().await;
    assert_eq!(
        app.outcome(id).await,
        None,
        "intervals do not follow the wall clock"
    );
    app.advance_secs(30).await;
    assert_eq!(app.outcome(id).await, Some(Outcome::TimedOut));
}

#[tokio::test]
async fn a_clock_set_back_does_not_postpone_the_next_poll() {
    let app = App::start().await;
    let id = app
        .watch_new(job(Service::Dcs, 36_000, Ending::Never))
        .await;
    app.advance_secs(20).await;
    let before = app.polls(id).await;
    let an_hour_ago = app.now().checked_sub(HOUR).unwrap();
    app.clock.set_wall(an_hour_ago);
    app.advance_secs(30).await;
    assert!(app.polls(id).await > before);
}
