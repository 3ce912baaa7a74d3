//! Repeated `kill -9` under load: acknowledged watches finish, and their ends are delivered.
//!
//! Jobs are submitted without a pause and end after some polls; their events go to a receiver
//! that fails every fifth attempt. The daemon is killed at random moments: after a random
//! number of lines of its log, which has one for each poll. At the end the database must
//! agree with a ledger kept by the test. `JOBWATCH_KILLS` sets the number of kills, and
//! `JOBWATCH_SEED` repeats a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use http::StatusCode;
use jobwatch::clock::{machine_seeded_rng, seeded_rng};
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::harness::serve;
use crate::program::process::{Daemon, Folder, PATIENCE, Process, Simulator, post};

const KILLS: usize = 200;
/// The number of clients that submit at the same time.
const SUBMITTERS: usize = 8;
/// The most lines of the log before a kill; a start alone prints about six.
const LINES_MAX: usize = 80;

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The events that came to the receiver.
#[derive(Default)]
struct Receipts {
    /// The number of accepted attempts, by event id.
    taken: BTreeMap<String, usize>,
    /// The events that were refused once. None is refused twice, because later attempts come
    /// after long pauses.
    refused: BTreeSet<String>,
    /// The ids of the final events, by watch.
    ends: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Clone)]
struct Receiver {
    receipts: Arc<Mutex<Receipts>>,
    rng: Arc<Mutex<StdRng>>,
    arrived: Arc<Notify>,
}

async fn receive(State(receiver): State<Receiver>, body: Bytes) -> StatusCode {
    let event: Value = serde_json::from_slice(&body).unwrap();
    let id = event["id"].as_str().unwrap().to_owned();
    let fails = receiver.rng.lock().unwrap().random_bool(0.2);
    let mut receipts = receiver.receipts.lock().unwrap();
    if fails && receipts.refused.insert(id.clone()) {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    *receipts.taken.entry(id.clone()).or_default() += 1;
    if event["data"]["outcome"].is_string() {
        let watch = event["data"]["watch_id"].as_str().unwrap().to_owned();
        receipts.ends.entry(watch).or_default().insert(id);
    }
    receiver.arrived.notify_waiters();
    StatusCode::NO_CONTENT
}

/// The outcome that each acknowledged watch must have, by id.
type Ledger = Arc<Mutex<BTreeMap<String, &'static str>>>;

/// Submits one job after the other to the current daemon, each until it is acknowledged.
async fn submit(
    jobs: String,
    mut daemons: watch::Receiver<String>,
    ledger: Ledger,
    mut rng: StdRng,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let outcome = if rng.random_bool(0.7) {
            "succeeded"
        } else {
            "failed"
        };
        let duration = format!("{}ms", rng.random_range(1..400));
        let job = json!({"service": "dcs", "duration": duration, "outcome": outcome});
        let (_, job) = post(&jobs, &job.to_string()).await.unwrap();
        let job_id = job["job_id"].as_str().unwrap();
        let body = json!({"service": "dcs", "job_id": job_id}).to_string();
        loop {
            let url = format!("{}/v1/watches", *daemons.borrow_and_update());
            if let Ok((200 | 201, shown)) = post(&url, &body).await {
                let id = shown["id"].as_str().unwrap().to_owned();
                ledger.lock().unwrap().insert(id, outcome);
                break;
            }
            // The daemon was killed; no job can be acknowledged before the next start.
            let another = stop.run_until_cancelled(daemons.changed()).await;
            if another.is_none() {
                return;
            }
        }
    }
}

/// Runs the daemon until it has printed this many lines, and kills it. Sends its URL as soon
/// as there is one.
fn live_and_die(config: &str, lines: usize, urls: &watch::Sender<String>) {
    let mut process = Process::start(&["run", "--config", config]);
    for _ in 0..lines {
        let line = process.line_with("");
        if line.contains("\"message\":\"starting\"") {
            let starting: Value = serde_json::from_str(&line).unwrap();
            urls.send_replace(format!("http://{}", starting["listen"].as_str().unwrap()));
        }
    }
    process.kill();
}

fn configure(folder: &Folder, simulator: &str, receiver: &str) -> String {
    let hook = format!("[sinks.hook]\nkind = \"webhook\"\nurl = \"{receiver}/\"");
    let config = folder.configure(simulator, &hook);
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("[log]\n", "[log]\nfilter = \"info,jobwatch=debug\"\n");
    folder.write("jobwatch.toml", &text);
    config
}

/// Waits until no watch is active and no delivery is pending.
async fn settle(folder: &Folder, receiver: &Receiver) {
    let path = folder.path().join("jobwatch.db");
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let open = "SELECT (SELECT count(*) FROM watches WHERE state = 'watching')
                     + (SELECT count(*) FROM deliveries WHERE state = 'pending')";
    loop {
        let arrived = receiver.arrived.notified();
        let left: i64 = database.query_row(open, [], |row| row.get(0)).unwrap();
        if left == 0 {
            return;
        }
        // A delivery is settled a moment after it arrived.
        if tokio::time::timeout(PATIENCE, arrived).await.is_err() {
            let left: i64 = database.query_row(open, [], |row| row.get(0)).unwrap();
            assert_eq!(left, 0, "watches or deliveries are stuck");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_any_moment_lose_nothing() {
    let kills = setting("JOBWATCH_KILLS").map_or(KILLS, |kills| usize::try_from(kills).unwrap());
    let seed = setting("JOBWATCH_SEED").unwrap_or_else(|| machine_seeded_rng().next_u64());
    eprintln!("{kills} kills with JOBWATCH_SEED={seed}");
    let mut rng = seeded_rng(seed);
    let tracker = TaskTracker::new();
    let receiver = Receiver {
        receipts: Arc::default(),
        rng: Arc::new(Mutex::new(seeded_rng(rng.next_u64()))),
        arrived: Arc::default(),
    };
    let router = Router::new().fallback(receive).with_state(receiver.clone());
    let hook = serve(router, &tracker).await;
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let config = configure(&folder, &simulator.url, &hook);

    let ledger = Ledger::default();
    let (urls, daemons) = watch::channel(String::new());
    let stop = CancellationToken::new();
    for _ in 0..SUBMITTERS {
        tracker.spawn(submit(
            format!("{}/_sim/jobs", simulator.url),
            daemons.clone(),
            Arc::clone(&ledger),
            seeded_rng(rng.next_u64()),
            stop.clone(),
        ));
    }
    for _ in 0..kills {
        let lines = rng.random_range(1..=LINES_MAX);
        tokio::task::block_in_place(|| live_and_die(&config, lines, &urls));
    }
    let mut daemon = Daemon::start(&config);
    stop.cancel();
    settle(&folder, &receiver).await;
    assert_eq!(daemon.process.terminate().code(), Some(0));
    check(
        &folder,
        &ledger.lock().unwrap(),
        &receiver.receipts.lock().unwrap(),
    );
}

fn check(folder: &Folder, ledger: &BTreeMap<String, &'static str>, receipts: &Receipts) {
    let duplicates: usize = receipts.taken.values().map(|times| times - 1).sum();
    eprintln!(
        "{} watches acknowledged, {} events taken, {} refused once, {duplicates} duplicates",
        ledger.len(),
        receipts.taken.len(),
        receipts.refused.len()
    );
    assert!(!ledger.is_empty());
    let database = Connection::open(folder.path().join("jobwatch.db")).unwrap();
    let mut states = database
        .prepare("SELECT lower(hex(id)), state FROM watches")
        .unwrap();
    let states: BTreeMap<String, String> = states
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for (id, outcome) in ledger {
        let state = states.get(&id.replace('-', ""));
        assert_eq!(state.map(String::as_str), Some(*outcome), "watch {id}");
        let ends = receipts.ends.get(id).map_or(0, BTreeSet::len);
        assert_eq!(ends, 1, "watch {id} has {ends} final events");
    }
    let count = |sql: &str| -> i64 { database.query_row(sql, [], |row| row.get(0)).unwrap() };
    let events = count("SELECT count(*) FROM events");
    assert_eq!(usize::try_from(events).unwrap(), receipts.taken.len());
    assert_eq!(
        count("SELECT count(*) FROM deliveries WHERE sink = 'hook' AND state <> 'delivered'"),
        0
    );
    assert_eq!(
        count("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
        0
    );
}
