//! The output of commands in pipes, its colours, and the commands about the program itself.

use std::collections::BTreeMap;
use std::process::Output;

use serde_json::json;

use crate::program::process::{Daemon, Folder, PATIENCE, PROGRAM, Simulator, run, stderr, stdout};

const ESCAPE: char = '\u{1b}';

fn run_with(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let environment: BTreeMap<&str, &str> = environment.iter().copied().collect();
    assert_cmd::Command::new(PROGRAM)
        .args(arguments)
        .env_clear()
        .envs(environment)
        .timeout(PATIENCE)
        .output()
        .unwrap()
}

/// A daemon with two jobs: one that failed, and one that runs.
async fn with_jobs(folder: &Folder) -> (Simulator, Daemon) {
    let simulator = Simulator::start(&[]);
    let mut daemon = Daemon::start(&folder.configure(&simulator.url, ""));
    let failed =
        json!({"service": "dcs", "duration": "50ms", "outcome": "failed", "reason": "磁盘已满"});
    let failed = simulator.create(&failed).await;
    daemon.ask_json(&["submit", "dcs", &failed, "--label", "app=shop"]);
    daemon.process.line_with("dev.jobwatch.job.failed");
    let running = json!({"service": "dcs", "duration": "1h", "outcome": "succeeded"});
    let running = simulator.create(&running).await;
    daemon.ask_json(&["submit", "dcs", &running, "--label", "app=blog"]);
    (simulator, daemon)
}

#[tokio::test]
async fn a_pipe_gets_stable_columns_without_colours() {
    let folder = Folder::new();
    let (_simulator, daemon) = with_jobs(&folder).await;
    let listed = stdout(&daemon.ask(&["list"]));
    let titles: Vec<&str> = listed.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(
        titles,
        [
            "ID", "SERVICE", "JOB", "STATE", "STATUS", "AGE", "PROBLEM", "REASON"
        ]
    );
    assert!(
        !listed.contains(ESCAPE) && !listed.contains('…'),
        "{listed}"
    );
    assert!(listed.contains("磁盘已满"), "{listed}");
    let ids = stdout(&daemon.ask(&["list", "-q"]));
    for (row, id) in listed.lines().skip(1).zip(ids.lines()) {
        assert_eq!(row.split_whitespace().next(), Some(id));
        assert_eq!(id.len(), 36);
    }
    assert_eq!(ids.lines().count(), 2);
    let utc = stdout(&daemon.ask(&["list", "--utc"]));
    assert!(utc.contains("SUBMITTED") && utc.contains("Z  "), "{utc}");
}

#[tokio::test]
async fn filters_select_and_notes_go_to_standard_error() {
    let folder = Folder::new();
    let (_simulator, daemon) = with_jobs(&folder).await;
    let count = |filters: &[&str]| {
        let output = daemon.ask(&[&["list", "-q"], filters].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output).lines().count()
    };
    assert_eq!(count(&["--state", "failed", "--state", "watching"]), 2);
    assert_eq!(count(&["--state", "failed,lost"]), 1);
    assert_eq!(count(&["--label", "app=shop", "--service", "dcs"]), 1);
    assert_eq!(
        count(&["--since", "1h", "--until", "2000-01-01T00:00:00Z"]),
        0
    );
    assert_eq!(count(&["--all"]), 2);
    let page = daemon.ask(&["list", "-q", "--limit", "1"]);
    assert_eq!(stdout(&page).lines().count(), 1);
    assert!(stderr(&page).contains("--cursor"), "{}", stderr(&page));
    let none = daemon.ask(&["list", "--group", "g"]);
    assert_eq!(stdout(&none), "");
    assert!(stderr(&none).contains("no watch matches"));
}

#[tokio::test]
async fn a_stop_by_filter_needs_a_yes() {
    let folder = Folder::new();
    let (_simulator, daemon) = with_jobs(&folder).await;
    let refused = daemon.ask(&["stop", "--label", "app=blog"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("--yes"), "{}", stderr(&refused));
    assert_eq!(stdout(&refused), "");
    let stopped = daemon.ask(&["stop", "--service", "dcs", "--yes"]);
    assert_eq!(stopped.status.code(), Some(0), "{}", stderr(&stopped));
    // The job that failed is left as it is.
    assert_eq!(stdout(&stopped).lines().count(), 1);
    assert!(stdout(&stopped).contains("is unwatched"));
    let nothing = daemon.ask(&["stop"]);
    assert_eq!(nothing.status.code(), Some(2));
}

#[tokio::test]
async fn show_names_the_receivers_and_takes_a_job() {
    let folder = Folder::new();
    let (_simulator, daemon) = with_jobs(&folder).await;
    let failed = daemon.ask_json(&["list", "--state", "failed"]);
    let watch = &failed["watches"][0];
    let reference = format!("dcs/{}", watch["job_id"].as_str().unwrap());
    let shown = daemon.ask(&["show", &reference]);
    let text = stdout(&shown);
    assert!(text.contains(watch["id"].as_str().unwrap()), "{text}");
    assert!(text.contains("log has it"), "{text}");
    assert!(
        text.contains("job.failed") && text.contains(" ago"),
        "{text}"
    );
    let listed = daemon.ask_json(&["deliveries", "--watch", &reference]);
    let listed = listed["deliveries"].as_array().unwrap();
    assert!(!listed.is_empty() && listed.iter().all(|it| it["watch_id"] == watch["id"]));
    let none = daemon.ask_json(&["deliveries", "--label", "app=none"]);
    assert_eq!(none["deliveries"], json!([]));
}

#[test]
fn services_are_those_of_the_daemon_or_of_the_configuration() {
    let folder = Folder::new();
    let config = folder.configure("http://127.0.0.1:1", "");
    let daemon = Daemon::start(&config);
    let live = daemon.ask(&["services"]);
    assert_eq!(live.status.code(), Some(0), "{}", stderr(&live));
    let text = stdout(&live);
    assert!(
        text.starts_with("SERVICE ") && text.contains("RATE"),
        "{text}"
    );
    assert!(text.contains("1000/s") && text.contains("sim"), "{text}");
    assert_eq!(stderr(&live), "");
    let all = daemon.ask_json(&["services"]);
    assert_eq!(all.as_array().unwrap().len(), 1);
    assert_eq!(
        (&all[0]["name"], &all[0]["health"]),
        (&"dcs".into(), &"idle".into())
    );
    let definitions = daemon.ask_json(&["services", "--definitions"]);
    assert!(definitions.as_array().unwrap().len() > 40);
    let alone = run(&["services", "-c", &config, "--url", "http://127.0.0.1:1"]);
    assert_eq!(alone.status.code(), Some(0));
    assert!(stdout(&alone).contains("dcs") && !stdout(&alone).contains("RATE"));
    assert!(
        stderr(&alone).contains("cannot reach the daemon"),
        "{}",
        stderr(&alone)
    );
}

#[test]
fn colours_follow_the_option_and_the_environment() {
    let coloured = |arguments: &[&str], environment: &[(&str, &str)]| {
        stdout(&run_with(arguments, environment)).contains(ESCAPE)
    };
    assert!(!coloured(&["services", "--definitions"], &[]));
    assert!(coloured(
        &["services", "--definitions", "--color", "always"],
        &[]
    ));
    assert!(coloured(
        &["services", "--definitions", "--color=always"],
        &[("NO_COLOR", "1")]
    ));
    assert!(!coloured(
        &["services", "--definitions", "--color", "never"],
        &[]
    ));
    assert!(coloured(&["--color", "always", "--help"], &[]));
    assert!(!coloured(&["--help"], &[]));
    let wrong = run(&["services", "--definitions", "--color", "sometimes"]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn wrong_filters_are_refused_before_a_call() {
    for (arguments, words) in [
        (&["list", "--state", "faild"][..], "'failed'"),
        (&["list", "--since", "yesterday"], "7d"),
        (&["list", "--limit", "0"], "1..=1000"),
        (&["show", " 019ac1f2"], "blanks around it"),
        (&["show", ""], "it is empty"),
        (&["stop", "a", "--state", "watching"], "cannot be used with"),
        (&["deliveries", "--state", "ded"], "'dead'"),
        (&["redrive", "7", "--label", "a=b"], "cannot be used with"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = stderr(&output);
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn guessed_and_misspelt_commands_get_advice() {
    for (name, words) in [
        ("validate", "tip: `jobwatch check` checks the configuration"),
        ("status", "tip: `jobwatch show`"),
        ("delete", "tip: `jobwatch stop`"),
        ("lsit", "tip: the nearest command is `jobwatch list`"),
    ] {
        let output = run(&[name]);
        assert_eq!(output.status.code(), Some(2));
        let said = stderr(&output);
        assert!(said.contains(words), "{said}");
    }
    let said = stderr(&run(&["sotp-now"]));
    assert!(!said.contains("tip:"), "{said}");
}

#[test]
fn completions_and_manual_pages_come_from_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        let script = stdout(&output);
        assert!(
            script.contains("deliveries") && script.contains("token-file"),
            "{shell}"
        );
    }
    let page = stdout(&run(&["man", "sink", "test"]));
    assert!(page.contains(".TH jobwatch-sink-test 1"), "{page}");
    let unknown = run(&["man", "lsit"]);
    assert_eq!(unknown.status.code(), Some(2));
    let folder = Folder::new();
    let dir = folder.path().display().to_string();
    let written = run(&["man", "--dir", &dir]);
    assert_eq!(written.status.code(), Some(0), "{}", stderr(&written));
    assert!(folder.path().join("jobwatch-list.1").exists());
    let nowhere = run(&["man", "--dir", "/nowhere/man"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(stderr(&nowhere).contains("/nowhere/man"));
}

#[test]
fn the_version_names_the_build() {
    let version = stdout(&run(&["--version"]));
    let number = env!("CARGO_PKG_VERSION");
    assert!(
        version.starts_with(&format!("jobwatch {number} (")),
        "{version}"
    );
}
