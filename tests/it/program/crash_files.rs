//! `kill -9` while files of a drop folder are taken and while a group ends: nothing is lost, and
//! the event of a group has one id.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::program::process::{Daemon, Folder, Simulator, stderr};

const KILLS: usize = 8;
const JOBS: usize = 24;
/// Each look takes as long as a command.
const LOOKS_MAX: usize = 3000;

async fn jobs(simulator: &Simulator) -> Vec<String> {
    let mut jobs = Vec::new();
    for _ in 0..JOBS {
        let job = json!({"service": "dcs", "duration": "1s", "outcome": "succeeded"});
        jobs.push(simulator.create(&job).await);
    }
    jobs
}

/// Returns the files of this kind.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.to_string_lossy().ends_with(end))
        .collect()
}

fn count(folder: &Folder, sql: &str) -> i64 {
    let database = Connection::open(folder.path().join("jobwatch.db")).unwrap();
    database.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_a_drop_folder_survive_kills() {
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let config = folder.configure(&simulator.url, "");
    let text = fs::read_to_string(&config).unwrap();
    let drop_dir = folder.path().join("drop");
    folder.write(
        "jobwatch.toml",
        &format!("drop_dir = \"{}\"\n{text}", drop_dir.display()),
    );
    let jobs = jobs(&simulator).await;
    fs::create_dir(&drop_dir).unwrap();
    for (n, job) in jobs.iter().enumerate() {
        let body = json!({"service": "dcs", "job_id": job}).to_string();
        let path = folder.write("written", &body);
        fs::rename(path, drop_dir.join(format!("n{n}.json"))).unwrap();
    }
    // Each kill comes a few steps further: after the next file, or after the next end.
    for kill in 0..KILLS {
        let mut daemon = Daemon::start(&config);
        for _ in 0..=kill % 3 {
            let open = !files(&drop_dir, ".json").is_empty();
            if open {
                daemon.process.line_with("accepted from the drop folder");
            }
        }
        daemon.process.kill();
    }
    let mut daemon = Daemon::start(&config);
    for _ in 0..LOOKS_MAX {
        if files(&drop_dir.join("finished"), ".json").len() == JOBS {
            break;
        }
        daemon.ask_json(&["health"]);
    }
    assert_eq!(daemon.process.terminate().code(), Some(0));
    let finished = files(&drop_dir.join("finished"), ".json");
    assert_eq!(finished.len(), JOBS);
    for path in finished {
        let event: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        assert_eq!(event["type"], "dev.jobwatch.job.succeeded");
    }
    assert!(files(&drop_dir, ".json").is_empty());
    assert!(files(&drop_dir.join("rejected"), "").is_empty());
    assert!(files(&drop_dir.join("accepted"), ".watch").is_empty());
    let watches = count(&folder, "SELECT count(*) FROM watches");
    assert_eq!(usize::try_from(watches).unwrap(), JOBS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_ends_among_kills_has_one_event() {
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let config = folder.configure(&simulator.url, "");
    let jobs = jobs(&simulator).await;
    let daemon = Daemon::start(&config);
    let size = JOBS.to_string();
    for job in &jobs {
        let group = ["--group", "all", "--group-size", &size];
        let output = daemon.ask(&[&["submit", "dcs", job], &group[..]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
    }
    daemon.process.kill();
    for _ in 0..KILLS {
        let mut daemon = Daemon::start(&config);
        if count(
            &folder,
            "SELECT count(*) FROM watches WHERE state = 'watching'",
        ) > 0
        {
            daemon.process.line_with("dev.jobwatch.job.succeeded");
        }
        daemon.process.kill();
    }
    let mut daemon = Daemon::start(&config);
    let output = daemon.ask(&["wait", "--group", "all", "--timeout", "20s"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let sql = "SELECT count(*) FROM events WHERE type = 'dev.jobwatch.group.finished'";
    if count(&folder, sql) == 0 {
        daemon.process.line_with("dev.jobwatch.group.finished");
    }
    assert_eq!(daemon.process.terminate().code(), Some(0));
    assert_eq!(count(&folder, sql), 1);
}
