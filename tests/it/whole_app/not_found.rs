//! Jobs that the service does not know: not yet, never, or no longer.

use std::time::Duration;

use jobwatch::clock::until;
use jobwatch::simulator::{Ending, Faults, JobSpec, Service};
use jobwatch::watch::Outcome;
use jobwatch::watch::observation::ProblemKind;

use crate::harness::{App, job, job_with};

const HOUR: Duration = Duration::from_hours(1);
const SERVICES: [Service; 3] = [Service::Dcs, Service::SfsTurbo, Service::Sdrs];

#[tokio::test]
async fn a_job_that_appears_late_is_found() {
    let app = App::start().await;
    for service in SERVICES {
        let faults = Faults {
            not_found_for: Duration::from_secs(100),
            ..Faults::default()
        };
        let id = app.watch_new(job_with(service, faults)).await;
        app.advance_secs(99).await;
        assert_eq!(app.last_problem(id), Some(ProblemKind::NotFound));
        assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Succeeded);
    }
}

#[tokio::test]
async fn a_job_never_found_is_lost_after_its_grace() {
    let app = App::start().await;
    for service in SERVICES {
        let id = app.submit(service.name(), "no-such-job").await;
        app.advance_secs(119).await;
        assert_eq!(app.outcome(id).await, None, "{service:?}");
        assert!(app.progress(id).problems > 3);
        assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Lost);
        let watch = app.watch(id).await;
        let took = until(watch.submitted_at, watch.finished_at.unwrap());
        let longest = Duration::from_mins(3);
        assert!(
            (Duration::from_mins(2)..=longest).contains(&took),
            "{took:?}"
        );
        assert_eq!(app.event_types(id).await, ["watch.accepted", "job.lost"]);
    }
}

#[tokio::test]
async fn a_lost_watch_is_confirmed_for_gone_after() {
    let app = App::start().await;
    for service in SERVICES {
        let id = app.watch_new(job(service, 10, Ending::Never)).await;
        app.advance_secs(60).await;
        app.simulator.forget(&app.watch(id).await.job_id);
        app.advance_secs(119).await;
        assert_eq!(app.outcome(id).await, None, "{service:?}");
        assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Lost);
        let watch = app.watch(id).await;
        assert!(watch.problems >= 3, "{}", watch.problems);
        assert!(
            watch.cause.is_some(),
            "its reason is that of the last answer"
        );
    }
}

#[tokio::test]
async fn a_reappeared_job_must_be_missed_three_times_again() {
    let app = App::start().await;
    let never = job(Service::Sdrs, 10, Ending::Never);
    let id = app.watch_new(never.clone()).await;
    let job_id = app.watch(id).await.job_id;
    app.advance_secs(60).await;
    for _ in 0..4 {
        app.simulator.forget(&job_id);
        app.next_poll(id).await;
        app.next_poll(id).await;
        let again = JobSpec {
            job_id: Some(job_id.clone()),
            ..never.clone()
        };
        app.simulator.create(again).unwrap();
        app.next_poll(id).await;
        assert_eq!(app.outcome(id).await, None);
    }
    assert_eq!(app.progress(id).problems, 8);
}
