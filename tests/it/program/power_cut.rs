//! A power cut: unsynced writes are lost in whole or in part; acknowledged watches stay.
//!
//! The real daemon runs under `strace`, which logs each write and each sync of the database
//! and each answer to a client. From that log the test builds the files as a power cut would
//! leave them at the moment of an acknowledgement, and opens them. `JOBWATCH_SEED` repeats
//! the choice of unsynced writes that survive.

mod files;
mod trace;

use std::path::{Path, PathBuf};
use std::process::Command;

use jobwatch::clock::{machine_seeded_rng, seeded_rng};
use rand::{Rng, RngExt};
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use self::files::{Files, Kept};
use self::trace::Call;
use crate::program::process::{Daemon, Folder, Process, post};

/// Enough to copy the write-ahead log to the database in between.
const SUBMISSIONS: usize = 200;
/// The number of clients that submit at the same time.
const SUBMITTERS: usize = 4;
/// The first bytes of an acknowledgement.
const ACKNOWLEDGED: &[u8] = b"HTTP/1.1 201";

/// The tracer, if there is one with permission to trace.
fn tracer() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|folder| folder.join("strace"));
    let tracer = found.into_iter().find(|file| file.is_file())?;
    let mut trial = Command::new(&tracer);
    let trial = trial.args(["-o", "/dev/null", "true"]).status().ok()?;
    trial.success().then_some(tracer)
}

async fn submit(url: String, jobs: impl Iterator<Item = usize>) -> usize {
    let mut acknowledged = 0;
    for job in jobs {
        let body = json!({"service": "dcs", "job_id": format!("job-{job}")}).to_string();
        let (status, shown) = post(&url, &body).await.unwrap();
        assert_eq!(status, 201, "{shown}");
        acknowledged += 1;
    }
    acknowledged
}

/// Makes the daemon acknowledge submissions under the tracer.
async fn trace(tracer: &Path, folder: &Folder) -> PathBuf {
    // The first polls would come after the end of the test.
    let config = folder.configure("http://127.0.0.1:9", "");
    let text = std::fs::read_to_string(&config).unwrap();
    folder.write("jobwatch.toml", &text.replace("\"10ms\"", "\"1h\""));
    let log = folder.path().join("trace");
    let run = ["run", "--config", config.as_str()];
    let process = Process::start_traced(tracer, trace::CALLS, &log, &run);
    let mut daemon = Daemon::ready(process);
    let mut submitters = JoinSet::new();
    for n in 0..SUBMITTERS {
        let url = format!("{}/v1/watches", daemon.url);
        submitters.spawn(submit(url, (n..SUBMISSIONS).step_by(SUBMITTERS)));
    }
    let acknowledged = submitters.join_all().await.into_iter().sum::<usize>();
    assert_eq!(acknowledged, SUBMISSIONS);
    assert_eq!(daemon.process.terminate().code(), Some(0));
    log
}

/// The watch that an answer acknowledges, if any.
fn acknowledged(answer: &[u8]) -> Option<Uuid> {
    let body = answer.starts_with(ACKNOWLEDGED).then_some(answer)?;
    let begin = body.windows(4).position(|four| four == b"\r\n\r\n")?;
    let shown: Value = serde_json::from_slice(&body[begin + 4..]).unwrap();
    Some(shown["id"].as_str().unwrap().parse().unwrap())
}

/// The faults of the database in `folder`, which must have these acknowledged watches.
fn wrong(folder: &Path, acknowledged: &[Uuid]) -> Option<String> {
    let look = || -> rusqlite::Result<Option<String>> {
        let database = Connection::open(folder.join("jobwatch.db"))?;
        let said: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        if said != "ok" {
            return Ok(Some(said));
        }
        let mut there = database.prepare("SELECT count(*) FROM watches WHERE id = ?1")?;
        for (n, id) in acknowledged.iter().enumerate() {
            let count: i64 = there.query_row([id], |row| row.get(0))?;
            if count != 1 {
                return Ok(Some(format!("acknowledgement {n}, {id}, is lost")));
            }
        }
        Ok(None)
    };
    look().unwrap_or_else(|error| Some(error.to_string()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_watches_survive_a_power_cut() {
    let Some(tracer) = tracer() else {
        let said = "SKIPPED: no strace that may trace, so no power cut was tried";
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{said}");
        eprintln!("{said}");
        return;
    };
    let seed = std::env::var("JOBWATCH_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| machine_seeded_rng().next_u64());
    let mut rng = seeded_rng(seed);
    let folder = Folder::new();
    let log = trace(&tracer, &folder).await;
    let mut files = Files::new(folder.path());
    let mut ids = Vec::new();
    let mut cuts = 0;
    let mut torn = 0;
    trace::read(&log, |call| {
        // A cut with unsynced writes is a better test.
        let open = files.unsynced();
        let share = match &call {
            Call::Sent(answer) => {
                ids.extend(acknowledged(answer));
                if open > 0 { 0.5 } else { 0.1 }
            }
            Call::Wrote { .. } => 0.02,
            _ => 0.0,
        };
        files.take(call);
        if ids.is_empty() || !rng.random_bool(share) {
            return;
        }
        for kept in [Kept::Synced, Kept::Some(&mut rng)] {
            let image = files.after_power_cut(kept);
            let wrong = wrong(image.path(), &ids);
            assert_eq!(
                wrong, None,
                "JOBWATCH_SEED={seed}, {open} writes were not synced"
            );
        }
        cuts += 2;
        torn += usize::from(open > 0);
    });
    eprintln!(
        "JOBWATCH_SEED={seed}: {} acknowledged, {cuts} power cuts, {torn} with unsynced writes, {} syncs, {} writes to the database",
        ids.len(),
        files.syncs,
        files.carried_over
    );
    assert_eq!(ids.len(), SUBMISSIONS);
    assert!(cuts > 0 && files.carried_over > 0);
}
