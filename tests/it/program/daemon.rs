//! The daemon and the simulator as processes: a whole run, and an orderly end.

use axum::Router;
use axum::routing::get;
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::harness::serve;
use crate::program::process::{Daemon, Folder, Process, Simulator, run, stderr, stdout};

#[tokio::test]
async fn a_job_is_submitted_watched_shown_and_reported() {
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let mut daemon = Daemon::start(&folder.configure(&simulator.url, ""));
    let job =
        json!({"service": "dcs", "duration": "300ms", "outcome": "failed", "reason": "no quota"});
    let job_id = simulator.create(&job).await;
    let submitted = daemon.ask_json(&["submit", "dcs", &job_id, "--label", "deploy=42"]);
    assert_eq!(submitted["state"], "watching");
    let id = submitted["id"].as_str().unwrap();
    let again = daemon.ask(&["submit", "dcs", &job_id]);
    assert_eq!(again.status.code(), Some(0));
    assert!(stdout(&again).contains(id) && stdout(&again).contains("already"));
    let line = daemon.process.line_with("dev.jobwatch.job.failed");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["watch_id"], id);
    assert_eq!(line["reason"], "no quota");
    assert_eq!(line["labels"], json!({"deploy": "42"}));
    let shown = daemon.ask_json(&["show", id]);
    assert_eq!(
        (&shown["state"], &shown["reason"]),
        (&json!("failed"), &json!("no quota"))
    );
    let transitions = shown["transitions"].as_array().unwrap();
    assert_eq!(
        transitions.last().unwrap()["type"],
        "dev.jobwatch.job.failed"
    );
    assert!(stdout(&daemon.ask(&["show", id])).contains("no quota"));
    let listed = daemon.ask_json(&["list", "--state", "failed", "--label", "deploy=42"]);
    assert_eq!(listed["watches"][0]["id"], id);
    assert_eq!(daemon.process.terminate().code(), Some(0));
}

#[tokio::test]
async fn a_stopped_watch_leaves_the_job_running() {
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let mut daemon = Daemon::start(&folder.configure(&simulator.url, ""));
    let job = json!({"service": "dcs", "duration": "1h", "outcome": "succeeded"});
    let job_id = simulator.create(&job).await;
    let submitted = daemon.ask_json(&["submit", "dcs", &job_id]);
    let id = submitted["id"].as_str().unwrap();
    daemon.process.line_with("dev.jobwatch.job.changed");
    let stopped = daemon.ask(&["stop", id]);
    assert_eq!(stopped.status.code(), Some(0));
    assert!(stdout(&stopped).contains("unwatched"));
    daemon.process.line_with("dev.jobwatch.job.unwatched");
    assert_eq!(
        daemon.ask_json(&["list", "--state", "watching"])["watches"],
        json!([])
    );
    assert_eq!(daemon.ask_json(&["show", id])["state"], "unwatched");
}

#[tokio::test]
async fn an_invalid_submission_or_id_is_a_usage_error() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.configure("http://127.0.0.1:1", ""));
    let refused = daemon.ask(&["submit", "dsc", "j", "--deadline", "soon"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = stderr(&refused);
    assert!(
        said.contains("did you mean `dcs`?") && said.contains("soon"),
        "{said}"
    );
    let unknown = daemon.ask(&["show", "01890000-0000-7000-8000-000000000000"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert_eq!(daemon.ask(&["stop", "../livez"]).status.code(), Some(2));
}

#[tokio::test]
async fn sigterm_during_a_poll_ends_the_daemon_in_order() {
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let mut daemon = Daemon::start(&folder.configure(&simulator.url, ""));
    let slow =
        json!({"service": "dcs", "duration": "1h", "outcome": "never", "faults": {"slow": "60s"}});
    let job_id = simulator.create(&slow).await;
    daemon.ask_json(&["submit", "dcs", &job_id]);
    daemon.process.line_with("dev.jobwatch.watch.accepted");
    // The poll would take longer than the test waits.
    assert_eq!(daemon.process.terminate().code(), Some(0));
    assert!(
        daemon
            .process
            .printed
            .last()
            .unwrap()
            .contains("\"message\":\"stopped\"")
    );
}

#[test]
fn sigterm_ends_an_idle_daemon_and_a_simulator() {
    let folder = Folder::new();
    let mut daemon = Daemon::start(&folder.configure("http://127.0.0.1:1", ""));
    assert_eq!(daemon.process.terminate().code(), Some(0));
    let mut simulator = Process::start(&["simulate", "--listen", "127.0.0.1:0"]);
    simulator.line_with("simulated at");
    assert_eq!(simulator.terminate().code(), Some(0));
}

#[test]
fn a_second_daemon_on_the_same_database_is_refused() {
    let folder = Folder::new();
    let config = folder.configure("http://127.0.0.1:1", "");
    let _first = Daemon::start(&config);
    let second = run(&["run", "--config", &config]);
    assert_eq!(second.status.code(), Some(1));
    assert!(
        stderr(&second).contains("another jobwatch has it open"),
        "{}",
        stderr(&second)
    );
}

#[test]
fn a_port_in_use_is_named() {
    let folder = Folder::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = folder.configure("http://127.0.0.1:1", "");
    let text = std::fs::read_to_string(&config).unwrap();
    folder.write("jobwatch.toml", &text.replace("127.0.0.1:0", &address));
    let output = run(&["run", "--config", &config]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&address), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_characters_never_reach_a_terminal() {
    let odd = "\u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7} \u{9b}2J\r\nlast";
    let body = json!({"job_id": "j", "job_type": odd, "status": "FAIL", "fail_reason": odd});
    let router = Router::new().fallback(get(body.to_string()));
    let url = serve(router, &TaskTracker::new()).await;
    let folder = Folder::new();
    let mut daemon = Daemon::start(&folder.configure(&url, ""));
    let submitted = daemon.ask_json(&["submit", "dcs", "j"]);
    let id = submitted["id"].as_str().unwrap();
    let line = daemon.process.line_with("dev.jobwatch.job.failed");
    let shown = stdout(&daemon.ask(&["show", id]));
    assert!(shown.contains("red") && shown.contains("last"), "{shown:?}");
    // JSON is not meant for terminals, but the escape character must be escaped there too.
    assert!(!line.chars().any(|c| c.is_ascii_control()), "{line:?}");
    for text in [&shown, &stdout(&daemon.ask(&["list"]))] {
        let obeyed = text.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(obeyed, None, "{text:?}");
    }
    let kept = daemon.ask_json(&["show", id]);
    assert_eq!(
        (&kept["reason"], &kept["job_type"]),
        (&json!(odd), &json!(odd))
    );
}
