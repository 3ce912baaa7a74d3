//! Tokens that expire, are refused, or must not be sent to another host.

use std::time::Duration;

use jobwatch::clock::until;
use jobwatch::simulator::{Ending, Faults, Service};
use jobwatch::watch::Outcome;
use jobwatch::watch::observation::ProblemKind;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::harness::{App, Setup, TOKEN, job, job_with};

const HOUR: Duration = Duration::from_hours(1);

async fn refusing() -> App {
    let setup = Setup {
        schedule: "jitter = 0.0, deadline = \"1h\"".to_owned(),
        tokens: Some(vec!["the-good-one".to_owned()]),
        ..Setup::default()
    };
    setup.start().await
}

#[tokio::test]
async fn an_expired_token_is_read_again_and_the_poll_repeated() {
    let setup = Setup {
        schedule: "jitter = 0.0, initial = \"500ms\"".to_owned(),
        ..Setup::default()
    };
    let app = setup.start().await;
    let mut spec = job(Service::Dcs, 3600, Ending::Succeeded);
    spec.faults = Faults {
        token_expires_after: Some(Duration::from_millis(400)),
        ..Faults::default()
    };
    let id = app.watch_new(spec).await;
    app.next_poll(id).await;
    // Within the second in which the file is not read again without a refusal.
    app.write_token("another-token");
    app.next_poll(id).await;
    let job_id = app.watch(id).await.job_id;
    let polls = app.simulator.job(&job_id).unwrap().recent_polls;
    let statuses: Vec<u16> = polls.iter().map(|poll| poll.http).collect();
    assert_eq!(statuses, [200, 401, 200]);
    let progress = app.progress(id);
    assert_eq!((progress.polls, progress.problems), (2, 0));
}

#[tokio::test]
async fn a_token_replaced_in_time_is_never_refused() {
    let app = App::start().await;
    let mut spec = job(Service::Dcs, 600, Ending::Succeeded);
    spec.faults = Faults {
        token_expires_after: Some(Duration::from_mins(1)),
        ..Faults::default()
    };
    let id = app.watch_new(spec).await;
    app.advance_secs(50).await;
    app.write_token("another-token");
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Succeeded);
    assert_eq!(app.watch(id).await.problems, 0);
}

#[tokio::test]
async fn a_refused_token_ends_a_watch_at_its_deadline_only() {
    let setup = Setup {
        schedule: "jitter = 0.0, deadline = \"1h\", blind_after = \"0s\"".to_owned(),
        tokens: Some(vec!["the-good-one".to_owned()]),
        ..Setup::default()
    };
    let app = setup.start().await;
    let id = app
        .watch_new(job(Service::Sdrs, 10, Ending::Succeeded))
        .await;
    assert_eq!(app.run_until_final(id, 2 * HOUR).await, Outcome::TimedOut);
    let watch = app.watch(id).await;
    assert_eq!(watch.finished_at, Some(watch.deadline));
    assert_eq!(watch.polls, watch.problems);
    assert_eq!(watch.last_problem.unwrap().kind, ProblemKind::Unauthorized);
    assert_eq!(
        app.event_types(id).await,
        ["watch.accepted", "job.timed_out"]
    );
}

#[tokio::test]
async fn a_late_token_still_leads_to_the_verdict() {
    let app = refusing().await;
    let id = app
        .watch_new(job(Service::Dcs, 10, Ending::Succeeded))
        .await;
    app.advance_secs(600).await;
    assert_eq!(app.last_problem(id), Some(ProblemKind::Unauthorized));
    app.write_token("the-good-one");
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Succeeded);
}

#[tokio::test]
async fn a_missing_token_file_is_not_a_refusal() {
    let app = App::start().await;
    std::fs::remove_file(app.database().with_file_name("token")).unwrap();
    let id = app
        .watch_new(job(Service::Dcs, 10, Ending::Succeeded))
        .await;
    app.next_poll(id).await;
    assert_eq!(app.last_problem(id), Some(ProblemKind::Unauthorized));
    assert_eq!(app.polls(id).await, 0, "no poll is made without a token");
    app.write_token(TOKEN);
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Succeeded);
}

#[tokio::test]
async fn a_forbidding_service_ends_as_unknown_after_give_up_after() {
    let app = App::start().await;
    let faults = Faults {
        forbidden: u32::MAX,
        ..Faults::default()
    };
    let id = app.watch_new(job_with(Service::Dcs, faults)).await;
    app.next_poll(id).await;
    let first_refusal = app.now();
    let give_up_after = Duration::from_mins(15);
    while app.outcome(id).await.is_none() {
        assert!(until(first_refusal, app.now()) < give_up_after);
        assert_eq!(app.last_problem(id), Some(ProblemKind::Forbidden));
        app.next_poll(id).await;
    }
    assert_eq!(app.outcome(id).await, Some(Outcome::Unknown));
    assert!(until(first_refusal, app.now()) >= give_up_after);
}

#[tokio::test]
async fn a_service_that_stops_forbidding_is_polled_to_the_verdict() {
    let app = App::start().await;
    let faults = Faults {
        forbidden: 20,
        ..Faults::default()
    };
    let id = app.watch_new(job_with(Service::Dcs, faults)).await;
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Succeeded);
    assert_eq!(app.watch(id).await.problems, 20);
}

#[tokio::test]
async fn a_wrong_path_ends_as_unknown_and_not_as_lost() {
    let setup = Setup {
        more: "[services.astray]\ndefinition = \"dcs\"\nurl = \"{sim}/nowhere\"\n\
               credential = \"sim\"\nparams = { project_id = \"p\" }"
            .to_owned(),
        ..Setup::default()
    };
    let app = setup.start().await;
    let id = app.submit("astray", "j").await;
    app.advance_secs(600).await;
    assert_eq!(app.last_problem(id), Some(ProblemKind::Misconfigured));
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Unknown);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_gets_no_token() {
    let elsewhere = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200))
        .expect(0)
        .mount(&elsewhere)
        .await;
    for http_status in [301, 302, 303, 307, 308] {
        let service = MockServer::start().await;
        let answer =
            ResponseTemplate::new(http_status).insert_header("location", elsewhere.uri().as_str());
        Mock::given(any())
            .respond_with(answer)
            .expect(1)
            .mount(&service)
            .await;
        let setup = Setup {
            more: format!(
                "[services.moved]\ndefinition = \"dcs\"\nurl = \"{}\"\ncredential = \"sim\"\n\
                 params = {{ project_id = \"p\" }}",
                service.uri()
            ),
            ..Setup::default()
        };
        let app = setup.start().await;
        let id = app.submit("moved", "j").await;
        app.next_poll(id).await;
        assert_eq!(app.last_problem(id), Some(ProblemKind::Misconfigured));
        let asked = service.received_requests().await.unwrap();
        assert_eq!(asked[0].headers["x-auth-token"], TOKEN);
    }
}
