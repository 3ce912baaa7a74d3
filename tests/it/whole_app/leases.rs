//! A receiver so slow that its backlog takes longer than a lease: it gets no event twice.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use http::HeaderMap;
use jobwatch::simulator::{Ending, Service};
use jobwatch::store::delivery::DeliveryState;
use tokio::sync::{Semaphore, watch};

use crate::harness::{App, job, serve};
use crate::store::samples::deliveries_in;

/// Longer than any step takes, so that a hanging test fails.
const HANGS: Duration = Duration::from_secs(10);
/// The number of concurrent attempts at a receiver.
const CONCURRENCY: usize = 8;
const EVENTS: usize = 20;
/// One attempt is shorter than a lease, two are nearly as long, three are longer.
const ATTEMPT: Duration = Duration::from_secs(25);

#[tokio::test]
async fn slow_receiver_gets_each_event_once() {
    let (arrive, mut arrived) = watch::channel(0);
    let release = Arc::new(Semaphore::new(0));
    let ids = Arc::new(Mutex::new(Vec::new()));
    let receive = {
        let (release, ids) = (Arc::clone(&release), Arc::clone(&ids));
        move |headers: HeaderMap| async move {
            let id = headers["webhook-id"].to_str().unwrap().to_owned();
            ids.lock().unwrap().push(id);
            arrive.send_modify(|arrived| *arrived += 1);
            release.acquire().await.unwrap().forget();
        }
    };
    let app = App::start().await;
    let url = serve(Router::new().route("/", post(receive)), &app.tracker).await;
    let slow = format!(
        "\n[sinks.slow]\nkind = \"webhook\"\nurl = \"{url}\"\nevents = [\"watch.accepted\"]\n"
    );
    let app = app.restart_with(|settings| settings + &slow).await;
    for _ in 0..EVENTS {
        app.watch_new(job(Service::Dcs, 36_000, Ending::Never))
            .await;
    }
    let judging = async {
        for sent in [CONCURRENCY, 2 * CONCURRENCY] {
            arrived.wait_for(|arrived| *arrived >= sent).await.unwrap();
            assert_eq!(*arrived.borrow(), sent, "as many as may be under way");
            app.clock.advance(ATTEMPT);
            release.add_permits(CONCURRENCY);
        }
        arrived
            .wait_for(|arrived| *arrived >= EVENTS)
            .await
            .unwrap();
        app.clock.advance(ATTEMPT);
        // The first of the last attempts ends: a new claim now finds no delivery.
        release.add_permits(1);
        while deliveries_in(&app.program.store, DeliveryState::Pending).await
            >= EVENTS % CONCURRENCY
        {
            tokio::task::yield_now().await;
        }
        release.add_permits(EVENTS);
    };
    let delivering = app.program.courier.run_once();
    let both = async { tokio::join!(delivering, judging).0 };
    tokio::time::timeout(HANGS, both).await.unwrap().unwrap();
    let ids = ids.lock().unwrap();
    let different: BTreeSet<&String> = ids.iter().collect();
    assert_eq!((ids.len(), different.len()), (EVENTS, EVENTS));
}
