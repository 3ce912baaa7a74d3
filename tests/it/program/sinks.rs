//! Commands about sinks and their deliveries.

use rusqlite::Connection;
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::harness::WEBHOOK_SECRET;
use crate::harness::receiver::{Receiver, Reply};
use crate::program::process::{Daemon, Folder, Simulator, run, stderr, stdout};

fn configure(folder: &Folder, simulator: &str, receiver: &Receiver) -> String {
    folder.write("webhook-secret", WEBHOOK_SECRET);
    let hook = format!(
        "[sinks.hook]\nkind = \"webhook\"\nurl = \"{}\"\nsecret_file = \"{{folder}}/webhook-secret\"",
        receiver.url()
    );
    folder.configure(simulator, &hook)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sink_test_sends_a_signed_sample_and_stores_nothing() {
    let tracker = TaskTracker::new();
    let receiver = Receiver::start(&tracker).await;
    let folder = Folder::new();
    let config = configure(&folder, "http://127.0.0.1:1", &receiver);
    let test = |more: &[&str]| {
        let arguments = ["sink", "test", "hook", "--json", "--config", &config];
        run(&[&arguments[..], more].concat())
    };
    let output = test(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let tried: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&tried["delivered"], &tried["http_status"]),
        (&json!(true), &json!(204))
    );
    assert!(tried["took_ms"].is_u64());
    let sample = receiver.received().remove(0);
    assert!(sample.is_genuine());
    assert_eq!(sample.kind(), "job.succeeded");
    assert_eq!(sample.body["subject"], "jobwatch-sink-test");
    assert_eq!(sample.body["data"]["labels"]["test"], "true");
    receiver.always_answers(Reply::Status(500));
    let output = test(&["--event", "dev.jobwatch.job.failed"]);
    assert_eq!(output.status.code(), Some(1));
    let tried: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(tried["error"].as_str().unwrap().contains("500"));
    assert_eq!(receiver.received()[1].kind(), "job.failed");
    assert_ne!(receiver.received()[1].id(), sample.id());
    assert!(!folder.path().join("jobwatch.db").exists());
    let unknown = run(&["sink", "test", "hok", "--config", &config]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        stderr(&unknown).contains("did you mean `hook`?"),
        "{}",
        stderr(&unknown)
    );
    assert_eq!(test(&["--event", "job.exploded"]).status.code(), Some(2));
    let output = test(&["--callback-url", "https://localhost/"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("has its own target"));
}

#[test]
fn sink_test_sends_a_sample_to_a_callback_url() {
    let folder = Folder::new();
    let api = "[api]\nallow_callback_hosts = [\"localhost\"]";
    let config = folder.write("callbacks.toml", api).display().to_string();
    let test = |more: &[&str]| {
        let arguments = ["sink", "test", "callback", "--json", "--config", &config];
        run(&[&arguments[..], more].concat())
    };
    let without = test(&[]);
    assert_eq!(without.status.code(), Some(2));
    let said = stderr(&without);
    assert!(said.contains("give one with --callback-url"), "{said}");
    for (url, wanted) in [
        ("https://localhost:1/hunter2", "not a public address"),
        ("https://evil.example/hunter2", "allow_callback_hosts"),
    ] {
        let output = test(&["--callback-url", url]);
        assert_eq!(output.status.code(), Some(1));
        let said = stdout(&output);
        assert!(said.contains(wanted) && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_watch_is_shown_with_the_host_of_its_callback() {
    let folder = Folder::new();
    let config = folder.configure("http://127.0.0.1:1", "");
    let text = std::fs::read_to_string(&config).unwrap();
    let api = "[api]\nallow_callback_hosts = [\"hooks.example.com\"]\n";
    folder.write("jobwatch.toml", &text.replace("[api]\n", api));
    let daemon = Daemon::start(&config);
    let url = "https://hooks.example.com/hunter2";
    let watch = daemon.ask_json(&["submit", "dcs", "1", "--callback-url", url]);
    let shown = stdout(&daemon.ask(&["show", watch["id"].as_str().unwrap()]));
    assert!(shown.contains("hooks.example.com"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_listed_shown_and_redriven() {
    let tracker = TaskTracker::new();
    let receiver = Receiver::start(&tracker).await;
    receiver.always_answers(Reply::Status(500));
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let config = configure(&folder, &simulator.url, &receiver);
    let mut daemon = Daemon::start(&config);
    let job = json!({"service": "dcs", "duration": "1h", "outcome": "succeeded"});
    let job_id = simulator.create(&job).await;
    daemon.ask_json(&["submit", "dcs", &job_id]);
    daemon.process.line_with("dev.jobwatch.job.changed");
    daemon.process.has_said("a delivery failed");
    daemon.process.terminate();
    // The state after sixteen hours of retries.
    let database = Connection::open(folder.path().join("jobwatch.db")).unwrap();
    let dead = "UPDATE deliveries SET state = 'dead', settled_at = due_at WHERE sink = 'hook'";
    let letters = database.execute(dead, []).unwrap();
    assert!(letters > 0);
    receiver.always_answers(Reply::Status(204));
    let daemon = Daemon::start(&config);
    let before = receiver.received().len();
    let listed = daemon.ask_json(&["deliveries", "--state", "dead"]);
    let listed = listed["deliveries"].as_array().unwrap().clone();
    assert_eq!(listed.len(), letters);
    let id = listed.last().unwrap()["id"].as_str().unwrap();
    let shown = daemon.ask(&["deliveries", id]);
    let said = stdout(&shown);
    assert!(
        said.contains("the receiver answered 500") && said.contains("dead"),
        "{said}"
    );
    let sinks = stdout(&daemon.ask(&["sink", "list"]));
    assert!(
        sinks.contains("hook") && sinks.contains("webhook"),
        "{sinks}"
    );
    let driven = daemon.ask(&["redrive", id]);
    assert_eq!(driven.status.code(), Some(0), "{}", stderr(&driven));
    let all = daemon.ask_json(&["redrive", "--sink", "hook"]);
    assert_eq!(all["redriven"], letters - 1);
    loop {
        let news = receiver.news();
        if receiver.received().len() == before + letters {
            break;
        }
        news.await;
    }
    let missing = daemon.ask(&["redrive", "99"]);
    assert_eq!(missing.status.code(), Some(2));
    let nowhere = daemon.ask(&["redrive", "--sink", "hok"]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(
        stderr(&nowhere).contains("not configured"),
        "{}",
        stderr(&nowhere)
    );
    assert_eq!(daemon.ask(&["redrive"]).status.code(), Some(2));
}
