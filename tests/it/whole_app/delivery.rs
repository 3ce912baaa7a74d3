//! Deliveries to receivers that are busy, gone, silent or dead.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use jobwatch::simulator::{Ending, Service};
use jobwatch::store::delivery::DeliveryState;
use jobwatch::watch::request::WatchRequest;
use tokio_util::sync::CancellationToken;

use crate::harness::receiver::{Received, Receiver, Reply};
use crate::harness::{App, Setup, job};
use crate::store::samples::deliveries_in;

/// Longer than any step takes, so that a hanging test fails.
const HANGS: Duration = Duration::from_secs(10);

/// A sink of acceptances only, so that one submission is one event.
async fn accepting() -> App {
    let setup = Setup {
        hook: "events = [\"watch.accepted\"]".to_owned(),
        ..Setup::default()
    };
    setup.start().await
}

async fn submitted(app: &App, count: usize) {
    for _ in 0..count {
        app.watch_new(job(Service::Dcs, 36_000, Ending::Never))
            .await;
    }
}

#[tokio::test]
async fn a_repeated_delivery_keeps_its_id_and_is_signed_again() {
    let app = accepting().await;
    app.receiver
        .answers([Reply::Status(503), Reply::Status(500)]);
    submitted(&app, 1).await;
    app.tick().await;
    app.advance(Duration::from_secs(4)).await;
    assert_eq!(
        app.receiver.received().len(),
        1,
        "the second attempt is after 5 s"
    );
    app.advance(Duration::from_secs(2)).await;
    assert_eq!(app.receiver.received().len(), 2);
    app.advance(Duration::from_secs(34)).await;
    app.advance(Duration::from_hours(24)).await;
    let received = app.receiver.received();
    assert_eq!(received.len(), 3, "a delivered event is not sent again");
    let ids: BTreeSet<&str> = received.iter().map(Received::id).collect();
    let moments: BTreeSet<&str> = received
        .iter()
        .map(|one| one.header("webhook-timestamp"))
        .collect();
    assert_eq!((ids.len(), moments.len()), (1, 3));
    assert!(
        received
            .iter()
            .all(|one| one.is_genuine() && one.bytes == received[0].bytes)
    );
}

#[tokio::test]
async fn retry_after_of_a_receiver_is_respected() {
    let app = accepting().await;
    app.receiver.answers([Reply::BusyFor(120)]);
    submitted(&app, 1).await;
    app.tick().await;
    app.advance(Duration::from_secs(119)).await;
    assert_eq!(app.receiver.received().len(), 1);
    // At most a tenth more, so that not all come back together.
    app.advance(Duration::from_secs(14)).await;
    assert_eq!(app.receiver.received().len(), 2);
}

#[tokio::test]
async fn after_ten_attempts_a_delivery_is_a_dead_letter() {
    let app = accepting().await;
    app.receiver.always_answers(Reply::Status(500));
    submitted(&app, 1).await;
    app.tick().await;
    for _ in 0..20 {
        app.advance(Duration::from_hours(9)).await;
    }
    assert_eq!(app.receiver.received().len(), 10);
    assert_eq!(
        deliveries_in(&app.program.store, DeliveryState::Dead).await,
        1
    );
}

#[tokio::test]
async fn a_gone_receiver_gets_nothing_until_a_restart() {
    let app = accepting().await;
    app.receiver.always_answers(Reply::Status(410));
    submitted(&app, 30).await;
    app.tick().await;
    // The number of attempts under way when the first answer came.
    let sent = app.receiver.received().len();
    assert!(sent <= 8, "{sent}");
    app.advance(Duration::from_hours(24)).await;
    assert_eq!(app.receiver.received().len(), sent);
    app.receiver.always_answers(Reply::Status(204));
    let app = app.restart().await;
    app.tick().await;
    let received = app.receiver.received();
    let ids: BTreeSet<&str> = received[sent..].iter().map(Received::id).collect();
    assert_eq!(ids.len(), 30, "its deliveries were kept");
}

#[tokio::test]
async fn a_gone_receiver_uses_no_scheduled_attempt() {
    let mut app = accepting().await;
    app.receiver.always_answers(Reply::Status(410));
    submitted(&app, 1).await;
    for _ in 0..12 {
        app.advance(Duration::from_secs(1)).await;
        app = app.restart().await;
    }
    app.receiver.answers([Reply::Status(500)]);
    app.receiver.always_answers(Reply::Status(204));
    app.tick().await;
    app.advance(Duration::from_secs(6)).await;
    for state in [DeliveryState::Pending, DeliveryState::Dead] {
        assert_eq!(deliveries_in(&app.program.store, state).await, 0);
    }
    assert_eq!(app.receiver.received().len(), 14);
}

#[tokio::test]
async fn a_silent_receiver_delays_no_other() {
    let app = App::start().await;
    let other = Receiver::start(&app.tracker).await;
    let app = app
        .restart_with(|settings| {
            format!(
                "{settings}\n[sinks.other]\nkind = \"webhook\"\nurl = \"{}\"",
                other.url()
            )
        })
        .await;
    app.receiver.always_answers(Reply::Never);
    submitted(&app, 1).await;
    let stop = CancellationToken::new();
    app.program.courier.run(&stop, &app.tracker);
    tokio::time::timeout(HANGS, app.receiver.first())
        .await
        .unwrap();
    let received = tokio::time::timeout(HANGS, other.first()).await.unwrap();
    assert_eq!(received.kind(), "watch.accepted");
    assert!(
        !received.headers.contains_key("webhook-signature"),
        "it has no secret"
    );
    stop.cancel();
}

#[tokio::test]
async fn an_unanswered_event_delays_no_other_of_its_sink() {
    let app = accepting().await;
    app.receiver.answers([Reply::Never]);
    submitted(&app, 1).await;
    let stop = CancellationToken::new();
    app.program.courier.run(&stop, &app.tracker);
    tokio::time::timeout(HANGS, app.receiver.first())
        .await
        .unwrap();
    let arrived = app.receiver.news();
    submitted(&app, 1).await;
    app.program.courier.wake_handle().wake();
    tokio::time::timeout(HANGS, arrived).await.unwrap();
    let received = app.receiver.received();
    let ids: BTreeSet<&str> = received.iter().map(Received::id).collect();
    assert_eq!((received.len(), ids.len()), (2, 2));
    stop.cancel();
}

/// The poller stands still here: it would notice the jump, too.
#[tokio::test]
async fn a_changed_wall_clock_moves_no_retry() {
    for hours in [-1, 1] {
        let app = accepting().await;
        app.receiver.answers([Reply::Status(503)]);
        submitted(&app, 1).await;
        let deliver_after = async |secs| {
            app.clock.advance(Duration::from_secs(secs));
            app.program.courier.run_once().await.unwrap();
            app.receiver.received().len()
        };
        assert_eq!(deliver_after(0).await, 1);
        let set = app.now().checked_add(SignedDuration::from_hours(hours));
        app.clock.set_wall(set.unwrap());
        assert_eq!(deliver_after(4).await, 1, "{hours} h");
        assert_eq!(deliver_after(2).await, 2, "{hours} h");
    }
}

#[tokio::test]
async fn a_redirected_webhook_fails() {
    let app = accepting().await;
    app.receiver.answers([Reply::Status(308)]);
    submitted(&app, 1).await;
    app.tick().await;
    assert_eq!(
        deliveries_in(&app.program.store, DeliveryState::Pending).await,
        1
    );
    app.advance(Duration::from_secs(6)).await;
    let ids: BTreeSet<_> = app
        .receiver
        .received()
        .iter()
        .map(|one| one.id().to_owned())
        .collect();
    assert_eq!((app.receiver.received().len(), ids.len()), (2, 1));
    assert_eq!(
        deliveries_in(&app.program.store, DeliveryState::Pending).await,
        0
    );
}

#[tokio::test]
async fn a_watch_that_names_its_sinks_uses_no_other() {
    let app = App::start().await;
    let request = |job_id: &str, sinks: &[&str]| WatchRequest {
        service: "dcs".to_owned(),
        job_id: job_id.to_owned(),
        sinks: sinks.iter().map(|&sink| sink.to_owned()).collect(),
        ..WatchRequest::default()
    };
    app.request(&request("quiet", &["log"])).await;
    app.request(&request("chosen", &["hook"])).await;
    app.tick().await;
    let received = app.receiver.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].body["subject"], "chosen");
}

#[tokio::test]
async fn a_sink_filter_selects_events_services_and_labels() {
    let setup = Setup {
        hook: "events = [\"finished\"]\nservices = [\"sdrs\"]\nlabels = { team = \"a\" }"
            .to_owned(),
        ..Setup::default()
    };
    let app = setup.start().await;
    for (service, team) in [
        (Service::Sdrs, "a"),
        (Service::Sdrs, "b"),
        (Service::Dcs, "a"),
    ] {
        let created = app
            .simulator
            .create(job(service, 10, Ending::Succeeded))
            .unwrap();
        let request = WatchRequest {
            service: service.name().to_owned(),
            job_id: created.job_id,
            labels: [("team".to_owned(), team.to_owned())].into(),
            ..WatchRequest::default()
        };
        app.request(&request).await;
    }
    app.advance_secs(60).await;
    let received = app.receiver.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].kind(), "job.succeeded");
    assert_eq!(received[0].body["data"]["labels"]["team"], "a");
}
