//! Throttling: all watches of the budget pause, and no others.

use std::time::Duration;

use http::Method;
use jobwatch::simulator::{Ending, Faults, JobSpec, RetryAfter, Service, Throttle};
use jobwatch::watch::Outcome;
use jobwatch::watch::observation::ProblemKind;

use crate::harness::{App, Setup, job, job_with};

const HOUR: Duration = Duration::from_hours(1);

fn throttled(polls: u32, retry_after: RetryAfter) -> JobSpec {
    let faults = Faults {
        throttle: Some(Throttle { polls, retry_after }),
        ..Faults::default()
    };
    job_with(Service::Dcs, faults)
}

#[tokio::test]
async fn retry_after_in_seconds_pauses_the_whole_budget() {
    let app = App::start().await;
    let throttled = app.watch_new(throttled(1, RetryAfter::Seconds(60))).await;
    let sdrs = app.watch_new(job(Service::Sdrs, 600, Ending::Never)).await;
    app.advance_secs(2).await;
    assert_eq!(app.last_problem(throttled), Some(ProblemKind::Throttled));
    let dcs = app.watch_new(job(Service::Dcs, 600, Ending::Never)).await;
    app.advance(Duration::from_millis(59_999)).await;
    app.tick().await;
    assert_eq!(app.polls(throttled).await, 1);
    assert_eq!(app.polls(sdrs).await, 0);
    assert_eq!(app.polls(dcs).await, 0);
    app.advance(Duration::from_millis(1)).await;
    assert_eq!(app.polls(throttled).await, 2);
    assert_eq!(app.polls(sdrs).await, 1);
    assert_eq!(app.polls(dcs).await, 1);
    assert_eq!(app.outcome(throttled).await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn the_pause_lasts_to_its_end() {
    let app = App::start().await;
    app.watch_new(throttled(1, RetryAfter::Seconds(60))).await;
    let other = app.watch_new(job(Service::Sdrs, 600, Ending::Never)).await;
    app.advance_secs(2).await;
    for _ in 0..59 {
        app.advance(Duration::from_secs(1)).await;
        assert_eq!(app.polls(other).await, 0, "at {}", app.now());
    }
}

#[tokio::test]
async fn another_credential_is_not_paused() {
    let setup = Setup {
        more: "[credentials.second]\nkind = \"token\"\ntoken_file = \"{folder}/token\"\n\
               [services.second]\ndefinition = \"dcs\"\nurl = \"{sim}\"\ncredential = \"second\"\n\
               params = { project_id = \"p\" }\npoll = { jitter = 0.0 }"
            .to_owned(),
        ..Setup::default()
    };
    let app = setup.start().await;
    app.watch_new(throttled(1, RetryAfter::Seconds(60))).await;
    let job_id = app
        .simulator
        .create(job(Service::Dcs, 600, Ending::Never))
        .unwrap()
        .job_id;
    let other = app.submit("second", &job_id).await;
    app.advance_secs(2).await;
    let before = app.polls(other).await;
    app.advance_secs(30).await;
    assert!(app.polls(other).await > before + 3);
}

#[tokio::test]
async fn retry_after_as_a_date_is_respected() {
    let app = App::start().await;
    let id = app.watch_new(throttled(1, RetryAfter::HttpDate)).await;
    let other = app.watch_new(job(Service::Dcs, 600, Ending::Never)).await;
    app.advance_secs(2).await;
    let before = app.polls(other).await;
    app.advance(Duration::from_millis(1_999)).await;
    assert_eq!((app.polls(id).await, app.polls(other).await), (1, before));
    app.advance(Duration::from_millis(1)).await;
    assert_eq!(
        (app.polls(id).await, app.polls(other).await),
        (2, before + 1)
    );
}

#[tokio::test]
async fn the_window_in_the_gateways_message_sets_the_pause() {
    let app = App::start().await;
    let id = app.watch_new(throttled(4, RetryAfter::Absent)).await;
    app.next_poll(id).await;
    // The message of the gateway has "limit:5,time:5 second".
    for (polls, millis) in (1..).zip([5_000; 4]) {
        // Another watch, due in the middle of the pause, waits for its end.
        let other = app.watch_new(job(Service::Dcs, 600, Ending::Never)).await;
        app.advance(Duration::from_millis(millis - 1)).await;
        let asked = (app.polls(id).await, app.polls(other).await);
        assert_eq!(asked, (polls, 0), "in the pause of {millis} ms");
        app.call(Method::DELETE, &format!("/v1/watches/{other}"), "")
            .await;
        app.advance(Duration::from_millis(1)).await;
        assert_eq!(app.polls(id).await, polls + 1);
    }
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Succeeded);
    assert_eq!(app.watch(id).await.problems, 4);
}

#[tokio::test]
async fn an_excessive_retry_after_is_cut() {
    let app = App::start().await;
    let id = app
        .watch_new(throttled(1, RetryAfter::Seconds(864_000)))
        .await;
    app.next_poll(id).await;
    let wait = app.progress(id).next_poll_at.duration_since(app.now());
    assert_eq!(wait.as_secs(), 600, "max_retry_after");
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Succeeded);
}

#[tokio::test]
async fn retry_after_beyond_the_deadline_ends_the_watch_there() {
    let setup = Setup {
        schedule: "jitter = 0.0, deadline = \"1m\"".to_owned(),
        ..Setup::default()
    };
    let app = setup.start().await;
    let id = app.watch_new(throttled(1, RetryAfter::Seconds(120))).await;
    let other = app.watch_new(job(Service::Dcs, 600, Ending::Never)).await;
    app.advance_secs(2).await;
    let polls = app.polls(other).await;
    app.advance_secs(57).await;
    assert_eq!(
        (app.outcome(id).await, app.outcome(other).await),
        (None, None)
    );
    app.advance_secs(1).await;
    for id in [id, other] {
        assert_eq!(app.outcome(id).await, Some(Outcome::TimedOut));
        let watch = app.watch(id).await;
        assert_eq!(watch.finished_at, Some(watch.deadline));
    }
    assert_eq!((app.polls(id).await, app.polls(other).await), (1, polls));
}

#[tokio::test]
async fn retry_after_zero_still_pauses() {
    let app = App::start().await;
    let id = app.watch_new(throttled(5, RetryAfter::Seconds(0))).await;
    let other = app.watch_new(job(Service::Sdrs, 600, Ending::Never)).await;
    app.advance_secs(1).await;
    app.advance(Duration::from_secs(1)).await;
    let mut asked = (app.polls(id).await, app.polls(other).await);
    assert_eq!(asked.0, 1);
    for refusals in 2..=4 {
        // All watches of the budget pause for the first interval.
        app.advance(Duration::from_millis(1_999)).await;
        app.tick().await;
        assert_eq!((app.polls(id).await, app.polls(other).await), asked);
        app.advance(Duration::from_millis(1)).await;
        asked = (app.polls(id).await, app.polls(other).await);
        assert_eq!(asked.0, refusals, "at {}", app.now());
    }
    assert_eq!(app.run_until_final(id, HOUR).await, Outcome::Succeeded);
}
