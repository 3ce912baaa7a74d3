//! Polls that do not show the job: they cost time and never lead to a verdict.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use jobwatch::simulator::{Ending, Faults, Service};
use jobwatch::watch::Outcome;
use jobwatch::watch::observation::ProblemKind;

use crate::harness::{App, Setup, job, job_with, serve};

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn many_server_errors_do_not_end_a_watch() {
    let app = App::start().await;
    let faults = Faults {
        server_errors: 50,
        ..Faults::default()
    };
    let id = app.watch_new(job_with(Service::Dcs, faults)).await;
    for _ in 0..50 {
        app.next_poll(id).await;
        assert_eq!(app.last_problem(id), Some(ProblemKind::ServerError));
    }
    assert_eq!(app.event_types(id).await, ["watch.accepted"]);
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Succeeded);
    let watch = app.watch(id).await;
    assert_eq!((watch.polls, watch.problems), (51, 50));
}

#[tokio::test]
async fn one_problem_does_not_lengthen_the_interval() {
    let app = App::start().await;
    let faults = Faults {
        torn: 1,
        ..Faults::default()
    };
    let mut spec = job(Service::Dcs, 600, Ending::Succeeded);
    spec.faults = faults;
    let id = app.watch_new(spec).await;
    app.next_poll(id).await;
    let next = app.progress(id).next_poll_at;
    assert_eq!(next.duration_since(app.now()).as_secs(), 2);
    app.next_poll(id).await;
    let next = app.progress(id).next_poll_at;
    assert_eq!(next.duration_since(app.now()).as_secs(), 2);
}

#[tokio::test]
async fn a_truncated_body_is_a_problem() {
    let app = App::start().await;
    let faults = Faults {
        torn: 3,
        ..Faults::default()
    };
    let id = app.watch_new(job_with(Service::Sdrs, faults)).await;
    for _ in 0..3 {
        app.next_poll(id).await;
        let problem = app.progress(id).last_problem.unwrap();
        assert_eq!(problem.kind, ProblemKind::Unreachable);
        assert!(problem.message.contains("broke off"), "{}", problem.message);
    }
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Succeeded);
}

#[tokio::test]
async fn an_html_page_is_a_problem() {
    let app = App::start().await;
    let faults = Faults {
        malformed: 3,
        ..Faults::default()
    };
    let id = app.watch_new(job_with(Service::SfsTurbo, faults)).await;
    for _ in 0..3 {
        app.next_poll(id).await;
        let problem = app.progress(id).last_problem.unwrap();
        assert_eq!(problem.kind, ProblemKind::Unreadable);
        assert_eq!(problem.message, "the answer is HTML: Maintenance");
    }
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Succeeded);
}

#[tokio::test]
async fn an_absent_server_ends_a_watch_only_at_its_deadline() {
    let setup = Setup {
        // No process listens on this port.
        more: "[services.gone]\ndefinition = \"dcs\"\nurl = \"http://127.0.0.1:1\"\n\
               credential = \"none\"\nparams = { project_id = \"p\" }\n\
               poll = { blind_after = \"0s\", deadline = \"1h\" }"
            .to_owned(),
        ..Setup::default()
    };
    let app = setup.start().await;
    let id = app.submit("gone", "j").await;
    app.next_poll(id).await;
    let problem = app.progress(id).last_problem.unwrap();
    assert_eq!(problem.kind, ProblemKind::Unreachable);
    assert!(
        problem.message.contains("cannot connect"),
        "{}",
        problem.message
    );
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::TimedOut);
}

#[tokio::test]
async fn a_slow_answer_times_out() {
    let setup = Setup {
        schedule: "jitter = 0.0, request_timeout = \"20ms\"".to_owned(),
        ..Setup::default()
    };
    let app = setup.start().await;
    let faults = Faults {
        slow: Duration::from_secs(30),
        ..Faults::default()
    };
    let id = app.watch_new(job_with(Service::Dcs, faults)).await;
    app.next_poll(id).await;
    let problem = app.progress(id).last_problem.unwrap();
    assert_eq!(problem.kind, ProblemKind::Unreachable);
    assert!(problem.message.contains("timed out"), "{}", problem.message);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_not_read() {
    let body = format!(
        r#"{{"job_id":"j","status":"SUCCESS","x":"{}"}}"#,
        "x".repeat(2048)
    );
    let app = App::start().await;
    let url = serve(Router::new().fallback(get(body)), &app.tracker).await;
    let app = app
        .restart_with(|settings| {
            format!(
                "{settings}\n[poll]\nmax_body = 2048\n[services.big]\ndefinition = \"dcs\"\n\
                 url = \"{url}\"\ncredential = \"none\"\nparams = {{ project_id = \"p\" }}"
            )
        })
        .await;
    let id = app.submit("big", "j").await;
    app.next_poll(id).await;
    let problem = app.progress(id).last_problem.unwrap();
    assert_eq!(problem.kind, ProblemKind::Unreadable);
    assert!(problem.message.contains("max_body"), "{}", problem.message);
}

#[tokio::test]
async fn a_body_of_a_hundred_thousand_brackets_is_unreadable() {
    let app = App::start().await;
    let bodies = ["[".repeat(100_000), r#"{"a":"#.repeat(100_000)];
    for (n, body) in bodies.into_iter().enumerate() {
        let url = serve(Router::new().fallback(get(body)), &app.tracker).await;
        let setup = Setup {
            more: format!(
                "[services.deep]\ndefinition = \"dcs\"\nurl = \"{url}\"\n\
                 credential = \"none\"\nparams = {{ project_id = \"p\" }}"
            ),
            ..Setup::default()
        };
        let app = setup.start().await;
        let id = app.submit("deep", "j").await;
        for _ in 0..2 {
            app.next_poll(id).await;
            assert_eq!(
                app.last_problem(id),
                Some(ProblemKind::Unreadable),
                "body {n}"
            );
        }
        assert_eq!(app.outcome(id).await, None);
    }
}
