//! Old watches are deleted; those that go on, or still have work, stay.

use std::time::Duration;

use http::{Method, StatusCode};
use jobwatch::simulator::{Ending, Service};
use jobwatch::store::Pruned;
use jobwatch::watch::{Outcome, WatchId};
use tokio_util::sync::CancellationToken;

use crate::harness::receiver::Reply;
use crate::harness::{App, Setup, job};

const DAY: Duration = Duration::from_hours(24);

impl App {
    async fn prune(&self) -> Pruned {
        let pruner = self.program.pruner.as_ref().expect("it prunes");
        pruner.run_once().await.unwrap()
    }

    async fn exists(&self, id: WatchId) -> bool {
        self.program.store.watch(id).await.unwrap().is_some()
    }

    /// The status of an answer of the API, and the type of its problem.
    async fn refusal(&self, path: &str) -> (u16, String) {
        let (status, body) = self.call(Method::GET, path, "").await;
        let kind = body["type"].as_str().unwrap_or_default();
        (status.as_u16(), kind.to_owned())
    }
}

/// Watches of ten seconds, on the usual settings and these of the store.
async fn keeping(store: &str) -> App {
    let setup = Setup {
        schedule: "jitter = 0.0, deadline = \"90d\"".to_owned(),
        store: store.to_owned(),
        ..Setup::default()
    };
    setup.start().await
}

async fn ended(app: &App) -> WatchId {
    let id = app
        .watch_new(job(Service::Dcs, 10, Ending::Succeeded))
        .await;
    app.advance_secs(30).await;
    assert_eq!(app.outcome(id).await, Some(Outcome::Succeeded));
    id
}

#[tokio::test]
async fn a_watch_is_kept_for_thirty_days_after_its_end() {
    let app = keeping("").await;
    let long = app
        .watch_new(job(Service::Dcs, 80 * 86_400, Ending::Succeeded))
        .await;
    let id = ended(&app).await;
    app.advance(29 * DAY).await;
    assert_eq!(app.prune().await, Pruned::default());
    app.advance(2 * DAY).await;
    let pruned = app.prune().await;
    assert_eq!((pruned.watches, pruned.evidence), (1, 1));
    assert!(pruned.events >= 2 && pruned.deliveries >= 2, "{pruned:?}");
    assert!(!app.exists(id).await);
    assert!(app.exists(long).await, "it goes on");
    let gone = app.refusal(&format!("/v1/watches/{id}")).await;
    assert_eq!(gone, (404, "urn:jobwatch:problem:no-such-watch".to_owned()));
    let metrics = app.metrics().await;
    let counted = "jobwatch_pruned_rows_total{kind=\"watches\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn a_position_before_pruned_events_is_refused() {
    let app = keeping("keep = \"1h\"").await;
    ended(&app).await;
    app.advance(2 * DAY).await;
    let fresh = ended(&app).await;
    let before = app.program.store.cursor().await.unwrap();
    assert!(app.prune().await.events > 0);
    let (announcer, stop) = (app.program.announcer.clone(), CancellationToken::new());
    let stopping = stop.clone();
    app.tracker
        .spawn(async move { announcer.run(stopping).await });
    let refused = app.refusal("/v1/events?after=1").await;
    let expected = (410, "urn:jobwatch:problem:events-pruned".to_owned());
    assert_eq!(refused, expected);
    // A list that waits for a change shows the present watches in place of the events.
    let wait = "/v1/watches?wait=1s&for=change&after=1";
    let (status, list) = app.call(Method::GET, wait, "").await;
    assert_eq!(status, StatusCode::OK, "{list}");
    assert_eq!(list["watches"][0]["id"], fresh.to_string());
    stop.cancel();
    let first = app.program.store.first_cursor().await.unwrap();
    let kept = app.program.store.events_after(&first, 100).await.unwrap();
    assert_eq!(kept.next, before);
}

#[tokio::test]
async fn a_watch_waits_for_its_delivery() {
    let app = keeping("").await;
    app.receiver.always_answers(Reply::Status(503));
    let id = ended(&app).await;
    app.advance(40 * DAY).await;
    app.prune().await;
    assert!(app.exists(id).await);
}

#[tokio::test]
async fn nothing_is_pruned_for_ever() {
    let app = keeping("keep = \"forever\"").await;
    assert!(app.program.pruner.is_none());
}
