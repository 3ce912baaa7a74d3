//! Ten thousand clients wait while jobs end.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jobwatch::clock::SystemClock;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::client::Connection;
use crate::cloud::Cloud;
use crate::daemon::Daemon;
use crate::{print, quantile, start, submit};

/// The number of clients.
const CLIENTS: usize = 10_000;
/// The number of jobs that end one after the other; the rest end all at once afterwards.
const ONE_BY_ONE: usize = 3_000;
const EVERY: Duration = Duration::from_millis(10);

/// The delays of the answers so far.
type Delays = Arc<Mutex<Vec<Duration>>>;

pub(crate) async fn measure() {
    let cloud = Cloud::default();
    let daemon = start(&cloud).await;
    let jobs: Vec<String> = (0..CLIENTS).map(|n| format!("job-{n}")).collect();
    let ids = submit(&daemon, &jobs).await;
    sleep(Duration::from_secs(1)).await;
    let before = daemon.memory();
    let delays = Delays::default();
    let mut clients = JoinSet::new();
    for id in &ids {
        wait(&daemon, id, &delays, &mut clients).await;
    }
    sleep(Duration::from_secs(2)).await;
    let each = daemon.memory().saturating_sub(before) / CLIENTS as u64;
    print(
        "memory of a waiting client",
        &format!("{each} bytes"),
        "goal 20480",
    );

    let mut ticks = interval(EVERY);
    let mut control = Connection::open(daemon.address).await;
    for (job, id) in jobs.iter().zip(&ids).take(ONE_BY_ONE) {
        ticks.tick().await;
        finish(&cloud, &mut control, job, id).await;
    }
    sleep(Duration::from_secs(1)).await;
    let mut sorted = delays.lock().clone();
    assert_eq!(sorted.len(), ONE_BY_ONE, "a wait was missed");
    sorted.sort();
    for (name, part, goal) in [
        ("median", 0.5, ""),
        ("p99", 0.99, "goal 20 ms"),
        ("worst", 1.0, ""),
    ] {
        let figure = format!("{:.1} ms", quantile(&sorted, part).as_secs_f64() * 1000.0);
        let name = format!("from the decision to the answer, {name}");
        print(&name, &figure, goal);
    }

    let clock = SystemClock::shared();
    let started = clock.uptime();
    for (job, id) in jobs.iter().zip(&ids).skip(ONE_BY_ONE) {
        finish(&cloud, &mut control, job, id).await;
    }
    clients.join_all().await;
    assert_eq!(delays.lock().len(), CLIENTS, "a wait was missed");
    let took = clock.uptime().saturating_sub(started).as_secs_f64();
    let rest = format!("{} in {took:.1} s", CLIENTS - ONE_BY_ONE);
    print("the rest, as quickly as possible", &rest, "no wait missed");
}

/// Begins to wait for the end of a watch.
async fn wait(daemon: &Daemon, id: &str, delays: &Delays, clients: &mut JoinSet<()>) {
    let mut connection = Connection::open(daemon.address).await;
    let path = format!("/v1/watches/{id}/wait?timeout=10m");
    connection.send("GET", &path, "").await;
    let (delays, clock) = (Arc::clone(delays), SystemClock::shared());
    clients.spawn(async move {
        let (status, body) = connection.answer().await.expect("an answer");
        let now = clock.now();
        assert_eq!(status, 200);
        let watch: serde_json::Value = serde_json::from_slice(&body).expect("a watch");
        assert_eq!(watch["state"], "succeeded", "{watch}");
        let finished_at = watch["finished_at"].as_str().expect("a time");
        let finished_at: Timestamp = finished_at.parse().expect("a time");
        let delay = Duration::try_from(now.duration_since(finished_at)).unwrap_or_default();
        delays.lock().push(delay);
    });
}

/// Ends a job and has it polled at once.
async fn finish(cloud: &Cloud, control: &mut Connection, job: &str, id: &str) {
    cloud.finish(job);
    let path = format!("/v1/watches/{id}/poll");
    control.send("POST", &path, "content-length: 0\r\n").await;
    let (status, _) = control.answer().await.expect("an answer");
    assert_eq!(status, 200);
}
