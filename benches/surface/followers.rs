//! A thousand clients follow the log of events.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jobwatch::clock::SystemClock;
use parking_lot::Mutex;
use rustix::process::Signal;
use tokio::io::AsyncBufReadExt;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::client::Connection;
use crate::cloud::Cloud;
use crate::daemon::Daemon;
use crate::{print, quantile, start, submit};

/// The number of clients that read.
const CLIENTS: usize = 1_000;
/// The number of events before and after the restart.
const EVENTS: usize = 500;
const EVERY: Duration = Duration::from_millis(20);

/// The events that one client got.
#[derive(Default)]
struct Seen {
    last: String,
    ids: Vec<u64>,
    delays: Vec<Duration>,
}

pub(crate) async fn measure() {
    let cloud = Cloud::default();
    let mut daemon = start(&cloud).await;
    let mut silent = Connection::open(daemon.address).await;
    silent.send("GET", "/v1/events?after=0", "").await;
    let seen: Vec<Arc<Mutex<Seen>>> = (0..CLIENTS).map(|_| Arc::default()).collect();
    let mut readers = JoinSet::new();
    for one in &seen {
        follow(&daemon, one, &mut readers).await;
    }
    submit_slowly(&daemon, "first").await;
    sleep(Duration::from_secs(1)).await;
    let mut delays: Vec<Duration> = seen
        .iter()
        .flat_map(|it| it.lock().delays.clone())
        .collect();
    delays.sort();
    assert_eq!(
        delays.len(),
        CLIENTS * EVENTS,
        "an event was missed or repeated"
    );
    for (name, part) in [("median", 0.5), ("p99", 0.99)] {
        let figure = format!("{:.1} ms", quantile(&delays, part).as_secs_f64() * 1000.0);
        print(
            &format!("{CLIENTS} followers, event to client, {name}"),
            &figure,
            "",
        );
    }

    daemon.restart(Signal::KILL).await;
    while readers.join_next().await.is_some() {}
    submit_slowly(&daemon, "second").await;
    for one in &seen {
        follow(&daemon, one, &mut readers).await;
    }
    sleep(Duration::from_secs(3)).await;
    let first = seen[0].lock().ids.clone();
    assert_eq!(first.len(), 2 * EVENTS, "an event was missed or repeated");
    for one in &seen {
        let ids = &one.lock().ids;
        assert!(ids.is_sorted_by(|one, next| one < next), "out of order");
        assert_eq!(*ids, first);
    }
    print(
        "after kill -9, with Last-Event-ID",
        "each event once",
        "in order",
    );
    drop(silent);
}

/// Follows from the last event that the client has seen, until the connection ends.
async fn follow(daemon: &Daemon, seen: &Arc<Mutex<Seen>>, readers: &mut JoinSet<()>) {
    let mut connection = Connection::open(daemon.address).await;
    let last = seen.lock().last.clone();
    let headers = if last.is_empty() {
        String::new()
    } else {
        format!("last-event-id: {last}\r\n")
    };
    // Other events may come: after a restart the daemon may poll some jobs.
    let path = "/v1/events?type=accepted";
    connection.send("GET", path, &headers).await;
    let (status, _) = connection.head().await.expect("an answer");
    assert_eq!(status, 200);
    let seen = Arc::clone(seen);
    let clock = SystemClock::shared();
    readers.spawn(async move {
        let mut line = String::new();
        let mut id = String::new();
        while let Ok(1..) = connection.socket.read_line(&mut line).await {
            if let Some(value) = line.strip_prefix("id:") {
                id = value.trim().to_owned();
                seen.lock().last.clone_from(&id);
            } else if let Some(event) = line.strip_prefix("data:") {
                let now = clock.now();
                let event: serde_json::Value = serde_json::from_str(event).expect("JSON");
                let at: Timestamp = event["time"]
                    .as_str()
                    .expect("a time")
                    .parse()
                    .expect("a time");
                let mut seen = seen.lock();
                seen.ids.push(id.parse().expect("a number"));
                let delay = Duration::try_from(now.duration_since(at)).unwrap_or_default();
                seen.delays.push(delay);
            }
            line.clear();
        }
    });
}

async fn submit_slowly(daemon: &Daemon, name: &str) {
    let mut ticks = interval(EVERY);
    for n in 0..EVENTS {
        ticks.tick().await;
        submit(daemon, &[format!("{name}-{n}")]).await;
    }
}
