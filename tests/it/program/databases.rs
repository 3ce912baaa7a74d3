//! `jobwatch db` with the database of a server, on the real binary.

use serde_json::{Value, json};

use crate::harness::postgres::cluster;
use crate::program::process::{Daemon, Folder, Process, Simulator, run, stderr, stdout};

/// Runs `jobwatch db`; returns its exit code and all that it printed.
fn db(arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(&[&["db"], arguments].concat());
    (output.status.code(), stdout(&output) + &stderr(&output))
}

fn db_json(arguments: &[&str]) -> Value {
    let (code, said) = db(arguments);
    assert_eq!(code, Some(0), "{said}");
    serde_json::from_str(&said).unwrap()
}

#[tokio::test]
async fn db_commands_work_beside_the_replicas_of_a_server() {
    let Some(cluster) = cluster() else { return };
    let url = cluster.url(&cluster.database("template0").await);
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let config = folder.configure(&simulator.url, "");
    let text = std::fs::read_to_string(&config).unwrap();
    let file = format!("sqlite://{}/jobwatch.db", folder.path().display());
    let on_server = folder.write("server.toml", &text.replace(&file, &url));
    let on_server = on_server.display().to_string();
    let mut daemon = Daemon::ready(Process::start(&["run", "--config", &on_server]));
    let job = json!({"service": "dcs", "duration": "1s", "outcome": "succeeded"});
    let job_id = simulator.create(&job).await;
    daemon.ask_json(&["submit", "dcs", &job_id]);
    daemon.process.line_with("dev.jobwatch.job.succeeded");

    let checked = db_json(&["check", "--json", "--config", &on_server]);
    assert_eq!(
        (&checked["sound"], &checked["in_use"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(checked["watches"], json!({"succeeded": 1}));
    assert_eq!(checked["replicas"].as_array().unwrap().len(), 1);
    let (_, said) = db(&["check", "--config", &on_server]);
    assert!(said.contains("replicas"), "{said}");

    let old = ["prune", "--older-than", "0s", "--config", &on_server];
    let (code, said) = db(&[&old[..], &["--compact"]].concat());
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("VACUUM FULL"), "{said}");
    let counted = db_json(&[&old[..], &["--dry-run", "--json"]].concat());
    assert_eq!(counted["rows"]["watches"], 1, "{counted}");
    let (code, said) = db(&["backup", "/nowhere/copy", "--config", &on_server]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("pg_dump"), "{said}");

    let copy = ["copy", &url, &file, "--config", &on_server];
    let (code, said) = db(&copy);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("stop them first"), "{said}");
    daemon.process.terminate();
    let copied = db_json(&[&copy[..], &["--json"]].concat());
    assert_eq!(copied["rows"]["watches"], 1, "{copied}");
    assert_eq!(copied["rows"]["events"], counted["rows"]["events"]);
    let (code, said) = db(&copy);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is not empty"), "{said}");
    let pruned = db_json(&[&old[..], &["--json"]].concat());
    assert_eq!(pruned["rows"], counted["rows"]);
    let daemon = Daemon::start(&config);
    let listed = daemon.ask_json(&["list"]);
    assert_eq!(listed["watches"][0]["job_id"], job_id.as_str());
}

#[test]
fn db_copy_refuses_urls_that_it_cannot_use() {
    let folder = Folder::new();
    let file = format!("sqlite://{}/new.db", folder.path().display());
    for (from, to, words) in [
        ("jobwatch.db", file.as_str(), "a database must be"),
        (
            "postgres://jobwatch:canary@db.example.com/jobwatch",
            &file,
            "--password-file",
        ),
        ("postgres://db.example.com/jobwatch", &file, "names no user"),
        (&file, &file, "the same database"),
    ] {
        let (code, said) = db(&["copy", from, to]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(words), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }
    let (code, said) = db(&["copy", "sqlite:///nowhere/jobwatch.db", &file]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the file does not exist"), "{said}");
    assert!(!folder.path().join("new.db").exists());
}
