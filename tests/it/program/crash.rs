//! `kill -9` right after an acknowledgement: acknowledged watches are kept and finish.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::harness::receiver::Receiver;
use crate::program::process::{Daemon, Folder, PATIENCE, Simulator, post};

const ROUNDS: usize = 10;
const SUBMISSIONS: usize = 8;
/// The process is killed once this many are acknowledged, while the others are under way.
const ACKNOWLEDGED: usize = 3;

/// Submits all jobs at once and kills the daemon in the middle; returns the ids of the
/// watches that were acknowledged before.
async fn submit_and_kill(daemon: Daemon, jobs: Vec<String>) -> Vec<String> {
    let mut under_way = JoinSet::new();
    for job_id in jobs {
        let url = format!("{}/v1/watches", daemon.url);
        let body = json!({"service": "dcs", "job_id": job_id}).to_string();
        under_way.spawn(async move { post(&url, &body).await });
    }
    let mut acknowledged = Vec::new();
    while acknowledged.len() < ACKNOWLEDGED {
        let answer = under_way.join_next().await.unwrap().unwrap();
        let (status, shown) = answer.unwrap();
        assert_eq!(status, 201, "{shown}");
        acknowledged.push(shown["id"].as_str().unwrap().to_owned());
    }
    daemon.process.kill();
    // The others may have been acknowledged before the kill, or not at all.
    while let Some(answer) = under_way.join_next().await {
        if let Ok((201, shown)) = answer.unwrap() {
            acknowledged.push(shown["id"].as_str().unwrap().to_owned());
        }
    }
    acknowledged
}

async fn create_jobs(simulator: &Simulator) -> Vec<String> {
    let mut jobs = Vec::new();
    for _ in 0..SUBMISSIONS {
        let job = json!({"service": "dcs", "duration": "100ms", "outcome": "succeeded"});
        jobs.push(simulator.create(&job).await);
    }
    jobs
}

/// Waits until every watch has ended.
fn finish(daemon: &mut Daemon) {
    while daemon.ask_json(&["list", "--state", "watching"])["watches"] != json!([]) {
        daemon.process.line_with("dev.jobwatch.job.succeeded");
    }
}

/// Waits until the receiver has an end of each of `watches`; returns the ids of these
/// events, by watch.
async fn ends_received(
    receiver: &Receiver,
    watches: &[String],
) -> BTreeMap<String, BTreeSet<String>> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    loop {
        let news = receiver.news();
        let mut ends: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for one in receiver.received() {
            assert!(one.is_genuine());
            if one.kind() == "job.succeeded" {
                let watch = text(&one.body["data"]["watch_id"]);
                ends.entry(watch).or_default().insert(text(&one.body["id"]));
            }
        }
        if watches.iter().all(|watch| ends.contains_key(watch)) {
            return ends;
        }
        tokio::time::timeout(PATIENCE, news)
            .await
            .expect("every end is delivered");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_watches_survive_a_kill_and_end_once() {
    let tracker = TaskTracker::new();
    let receiver = Receiver::start(&tracker).await;
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    folder.write("webhook-secret", crate::harness::WEBHOOK_SECRET);
    let hook = format!(
        "[sinks.hook]\nkind = \"webhook\"\nurl = \"{}\"\nsecret_file = \"{{folder}}/webhook-secret\"",
        receiver.url()
    );
    let config = folder.configure(&simulator.url, &hook);
    let mut acknowledged = Vec::new();
    for _ in 0..ROUNDS {
        let jobs = create_jobs(&simulator).await;
        acknowledged.extend(submit_and_kill(Daemon::start(&config), jobs).await);
    }
    assert!(acknowledged.len() >= ROUNDS * ACKNOWLEDGED);
    let mut daemon = Daemon::start(&config);
    finish(&mut daemon);
    let ends = ends_received(&receiver, &acknowledged).await;
    assert!(ends.values().all(|ids| ids.len() == 1), "{ends:?}");
    assert_eq!(daemon.process.terminate().code(), Some(0));

    let database = Connection::open(folder.path().join("jobwatch.db")).unwrap();
    let count = |sql: &str| -> i64 { database.query_row(sql, [], |row| row.get(0)).unwrap() };
    let watches = count("SELECT count(*) FROM watches");
    assert!(usize::try_from(watches).unwrap() >= acknowledged.len());
    assert_eq!(
        count("SELECT count(*) FROM watches WHERE state = 'succeeded'"),
        watches
    );
    for kind in ["watch.accepted", "job.succeeded"] {
        let sql = format!(
            "SELECT count(*), count(DISTINCT watch_id) FROM events WHERE type = 'dev.jobwatch.{kind}'"
        );
        let counted: (i64, i64) = database
            .query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!(counted, (watches, watches), "{kind}");
    }
    assert_eq!(
        count("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
        0
    );
}
