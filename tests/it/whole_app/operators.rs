//! Actions of operators: stopping watches, and changing the configuration.

use std::time::Duration;

use http::{Method, StatusCode};
use jobwatch::simulator::{Ending, Service};
use jobwatch::watch::observation::ProblemKind;
use jobwatch::watch::{Outcome, WatchId};

use crate::harness::{App, Setup, job};

const HOUR: Duration = Duration::from_hours(1);

fn path(id: WatchId) -> String {
    format!("/v1/watches/{id}")
}

#[tokio::test]
async fn a_stopped_watch_makes_one_event_and_no_more_polls() {
    let app = App::start().await;
    let id = app
        .watch_new(job(Service::Dcs, 600, Ending::Succeeded))
        .await;
    app.advance_secs(60).await;
    let polls = app.polls(id).await;
    let (status, shown) = app.call(Method::DELETE, &path(id), "").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(shown["state"], "unwatched");
    assert_eq!(shown["polls"].as_u64(), Some(polls));
    let (_, again) = app.call(Method::DELETE, &path(id), "").await;
    assert_eq!(again, shown);
    app.advance_secs(700).await;
    assert_eq!(app.polls(id).await, polls);
    assert_eq!(app.program.poller.watching(), 0);
    let types = app.event_types(id).await;
    assert_eq!(types.last().unwrap(), "job.unwatched");
    assert_eq!(
        types.iter().filter(|kind| *kind == "job.unwatched").count(),
        1
    );
    let last = app.receiver.received().pop().unwrap();
    assert_eq!(last.body["data"]["outcome"], "unwatched");
}

#[tokio::test]
async fn a_watch_of_a_removed_service_waits_until_its_deadline() {
    let setup = Setup {
        schedule: "jitter = 0.0, deadline = \"1h\"".to_owned(),
        ..Setup::default()
    };
    let app = setup.start().await;
    let id = app
        .watch_new(job(Service::Dcs, 600, Ending::Succeeded))
        .await;
    app.advance_secs(60).await;
    let polls = app.polls(id).await;
    let app = app
        .restart_with(|settings| settings.replace("[services.dcs]", "[services.renamed]"))
        .await;
    app.advance(Duration::from_mins(58)).await;
    assert_eq!(app.last_problem(id), Some(ProblemKind::Misconfigured));
    assert_eq!((app.outcome(id).await, app.polls(id).await), (None, polls));
    app.advance(Duration::from_mins(1)).await;
    assert_eq!(app.outcome(id).await, Some(Outcome::TimedOut));
    let watch = app.watch(id).await;
    assert_eq!(watch.finished_at, Some(watch.deadline));
    let note = watch.last_problem.unwrap();
    assert!(note.message.contains("`dcs`"), "{}", note.message);
}

#[tokio::test]
async fn a_watch_of_a_service_that_comes_back_goes_on() {
    let app = App::start().await;
    let id = app
        .watch_new(job(Service::Dcs, 60, Ending::Succeeded))
        .await;
    let rename =
        |from: &'static str, to: &'static str| move |settings: String| settings.replace(from, to);
    let app = app
        .restart_with(rename("[services.dcs]", "[services.renamed]"))
        .await;
    app.advance_secs(600).await;
    let app = app
        .restart_with(rename("[services.renamed]", "[services.dcs]"))
        .await;
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Succeeded);
}

#[tokio::test]
async fn a_submission_is_answered_with_all_its_faults() {
    let app = App::start().await;
    let body =
        r#"{"service":"dsc","job_id":"","deadline":"soon","sinks":["hok"],"labels":{"a b":"c"}}"#;
    let (status, problem) = app.call(Method::POST, "/v1/watches", body).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let faults = problem["errors"].as_array().unwrap();
    let mut fields: Vec<&str> = faults
        .iter()
        .map(|fault| fault["field"].as_str().unwrap())
        .collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        ["deadline", "job_id", "labels", "service", "sinks[0]"]
    );
    let text = problem.to_string();
    assert!(
        text.contains("did you mean `dcs`?") && text.contains("did you mean `hook`?"),
        "{text}"
    );
    let (_, page) = app.call(Method::GET, "/v1/watches", "").await;
    assert_eq!(page["watches"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn configured_watches_are_submitted_once() {
    let setup = Setup {
        more: "[[watches]]\nservice = \"dcs\"\njob_id = \"configured\"\n\
               [[watches]]\nservice = \"dcs\"\njob_id = \"late\"\ndeadline = \"2020-01-01T00:00:00Z\"\n\
               [[watches]]\nservice = \"sdrs\"\njob_id = \"configured\""
            .to_owned(),
        ..Setup::default()
    };
    let app = setup.start().await;
    app.program.submit_configured().await;
    let app = app.restart().await;
    app.program.submit_configured().await;
    app.tick().await;
    assert_eq!(
        app.program.poller.watching(),
        2,
        "one was refused, and no watch exists twice"
    );
}
