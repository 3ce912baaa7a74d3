//! `events` in a terminal and in a pipe, also over restarts of the daemon.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::program::process::{Process, stdout};
use crate::terminal::pty::{Site, Terminal};

#[tokio::test(flavor = "multi_thread")]
async fn followed_events_come_once_over_restarts() {
    let mut site = Site::start();
    let arguments = [
        "events",
        "--follow",
        "--since-start",
        "--json",
        "--url",
        &site.url,
    ];
    let mut follower = Process::start(&arguments);
    for _ in 0..3 {
        let (job_id, _) = site.submit("200ms", "succeeded").await;
        site.kill();
        site.restart();
        loop {
            let line = follower.line_with(&job_id);
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["type"] == "dev.jobwatch.job.succeeded" {
                break;
            }
        }
    }
    let printed = follower.printed.iter();
    let events: Vec<Value> = printed
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|event: &Value| event["specversion"] == "1.0")
        .collect();
    let ids: BTreeSet<&str> = events.iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), events.len(), "an event came twice");
    let log = site.daemon().ask(&["events", "--json"]);
    let logged = stdout(&log);
    let logged: Vec<&str> = logged.lines().collect();
    let seen: Vec<&String> = follower
        .printed
        .iter()
        .filter(|line| line.contains("specversion"))
        .collect();
    assert_eq!(seen, logged, "the log is the same, in the same order");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_without_follow_end_also_if_the_last_is_filtered() {
    let site = Site::start();
    let (first, _) = site.submit("100ms", "failed").await;
    let waited = site.daemon().ask(&["wait", &first]);
    assert_eq!(waited.status.code(), Some(1));
    site.submit_long().await;
    let output = site.daemon().ask(&["events", "--type", "finished"]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.contains("job.failed") && text.contains(&first),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn followed_events_fold_on_a_narrow_terminal() {
    let site = Site::start();
    let arguments = ["events", "--follow", "--since-start", "--url", &site.url];
    let mut terminal = Terminal::start((10, 40), &arguments);
    let (job_id, _) = site.submit("100ms", "succeeded").await;
    let screen = terminal.until("the end", |screen| screen.contains("job.succeeded"));
    assert!(
        screen.contains(&format!("\n  dcs/{}", &job_id[..8])),
        "{screen}"
    );
    terminal.press("\u{3}");
    let (code, screen) = terminal.ended();
    assert_eq!(code, Some(130), "{screen}");
    assert!(screen.contains("--after"), "{screen}");
}
