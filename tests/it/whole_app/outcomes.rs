//! Verdicts of the service: read, stored and reported.

use std::collections::BTreeSet;
use std::time::Duration;

use jobwatch::clock::later;
use jobwatch::simulator::{Ending, Faults, JobSpec, Service, SubJobSpec};
use jobwatch::watch::{Outcome, State};

use crate::harness::receiver::Received;
use crate::harness::{App, job};

const HOUR: Duration = Duration::from_hours(1);

fn part(outcome: Ending, failure: Option<(&str, &str)>) -> SubJobSpec {
    SubJobSpec {
        job_type: None,
        outcome,
        code: failure.map(|(code, _)| code.to_owned()),
        reason: failure.map(|(_, reason)| reason.to_owned()),
    }
}

#[tokio::test]
async fn a_job_of_every_service_makes_an_event_at_each_step() {
    for service in [Service::Dcs, Service::SfsTurbo, Service::Sdrs] {
        let app = App::start().await;
        let id = app.watch_new(job(service, 60, Ending::Succeeded)).await;
        let created = app.now();
        assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Succeeded);
        let watch = app.watch(id).await;
        let seen = watch.job.unwrap();
        assert_eq!(seen.began_at, Some(later(created, Duration::from_secs(6))));
        assert_eq!(seen.ended_at, Some(later(created, Duration::from_mins(1))));
        assert_eq!((watch.problems, watch.last_problem), (0, None));
        assert_eq!(
            u64::from(watch.polls),
            app.simulator.job(&watch.job_id).unwrap().polls
        );
        assert_eq!(
            app.event_types(id).await,
            [
                "watch.accepted",
                "job.changed",
                "job.changed",
                "job.succeeded"
            ],
            "{service:?}"
        );
    }
}

#[tokio::test]
async fn every_event_reaches_the_webhook_once_and_signed() {
    let app = App::start().await;
    let id = app
        .watch_new(job(Service::Dcs, 60, Ending::Succeeded))
        .await;
    app.run_until_final(id, HOUR).await;
    let received = app.receiver.received();
    let bodies: Vec<_> = received.iter().map(|one| one.body.clone()).collect();
    assert_eq!(bodies, app.events(id).await);
    let ids: BTreeSet<&str> = received.iter().map(Received::id).collect();
    assert_eq!(ids.len(), received.len());
    for one in &received {
        assert!(one.is_genuine());
        assert_eq!(one.body["id"], one.id());
        assert_eq!(one.header("content-type"), "application/cloudevents+json");
    }
}

#[tokio::test]
async fn an_event_has_the_facts_of_its_watch() {
    let app = App::start().await;
    let id = app
        .watch_new(job(Service::Sdrs, 60, Ending::Succeeded))
        .await;
    app.run_until_final(id, HOUR).await;
    let events = app.events(id).await;
    let (last, watch) = (&events[3], app.watch(id).await);
    assert_eq!(last["specversion"], "1.0");
    assert_eq!(last["type"], "dev.jobwatch.job.succeeded");
    assert_eq!(last["source"], "/jobwatch/test/sdrs");
    assert_eq!(last["subject"], watch.job_id);
    let data = &last["data"];
    assert_eq!(data["outcome"], "succeeded");
    assert_eq!(data["status"], "SUCCESS");
    assert_eq!(data["polls"], watch.polls);
    assert_eq!(data["began_at"], "2026-11-22T10:00:06.000Z");
    assert_eq!(data["ended_at"], "2026-11-22T10:01:00.000Z");
    assert_eq!(data["submitted_at"], "2026-11-22T10:00:00.000Z");
    assert!(data["resources"]["server_group_id"].is_string());
    assert_eq!(data["params"]["project_id"], "p");
    assert!(data["reason"].is_null() && data["last_problem"].is_null());
    assert!(events[0]["data"]["outcome"].is_null());
}

#[tokio::test]
async fn a_failed_job_has_the_error_of_the_service() {
    let app = App::start().await;
    let spec = JobSpec {
        code: Some("SDRS.1013".to_owned()),
        reason: Some("the volume is busy".to_owned()),
        ..job(Service::Sdrs, 30, Ending::Failed)
    };
    let id = app.watch_new(spec).await;
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Failed);
    let last = app.receiver.received().pop().unwrap();
    assert_eq!(last.kind(), "job.failed");
    assert_eq!(last.body["data"]["code"], "SDRS.1013");
    assert_eq!(last.body["data"]["reason"], "the volume is busy");
    assert_eq!(last.body["data"]["status"], "FAIL");
}

#[tokio::test]
async fn a_failed_job_without_a_code_has_its_reason() {
    let app = App::start().await;
    let spec = JobSpec {
        reason: Some("out of memory".to_owned()),
        ..job(Service::Dcs, 30, Ending::Failed)
    };
    let id = app.watch_new(spec).await;
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Failed);
    let seen = app.watch(id).await.job.unwrap();
    assert_eq!(
        (seen.code, seen.reason.as_deref()),
        (None, Some("out of memory"))
    );
}

#[tokio::test]
async fn a_failed_child_makes_a_success_partial() {
    let app = App::start().await;
    for service in [Service::Sdrs, Service::SfsTurbo] {
        let spec = JobSpec {
            sub_jobs: vec![
                part(Ending::Succeeded, None),
                part(Ending::Failed, Some(("C.1", "the second disk"))),
                part(Ending::Failed, Some(("C.2", "the third disk"))),
            ],
            ..job(service, 60, Ending::Succeeded)
        };
        let id = app.watch_new(spec).await;
        assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Partial);
        let seen = app.watch(id).await.job.unwrap();
        assert_eq!(seen.code.as_deref(), Some("C.1"));
        assert_eq!(seen.reason.as_deref(), Some("the second disk"));
        let outcomes: Vec<_> = seen.children.iter().map(|child| child.outcome).collect();
        let (good, bad) = (Some(Outcome::Succeeded), Some(Outcome::Failed));
        assert_eq!(outcomes, [good, bad, bad], "{service:?}");
    }
}

#[tokio::test]
async fn a_failed_child_does_not_end_the_watch() {
    let app = App::start().await;
    let spec = JobSpec {
        sub_jobs: vec![part(Ending::Failed, None)],
        ..job(Service::Sdrs, 100, Ending::Succeeded)
    };
    let id = app.watch_new(spec).await;
    app.advance_secs(99).await;
    let watch = app.watch(id).await;
    assert_eq!(watch.state, State::Watching);
    let child = &watch.job.unwrap().children[0];
    assert_eq!(child.outcome, Some(Outcome::Failed));
}

#[tokio::test]
async fn an_unknown_status_is_noted_and_polling_goes_on() {
    let app = App::start().await;
    let mut spec = job(Service::Dcs, 60, Ending::Succeeded);
    spec.faults = Faults {
        unknown_status: Some("REBOOTING".to_owned()),
        ..Faults::default()
    };
    let id = app.watch_new(spec).await;
    app.advance_secs(50).await;
    let watch = app.watch(id).await;
    assert_eq!(watch.state, State::Watching);
    assert_eq!(watch.unknown_status.as_deref(), Some("REBOOTING"));
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Succeeded);
    assert_eq!(app.watch(id).await.unknown_status, None);
}
