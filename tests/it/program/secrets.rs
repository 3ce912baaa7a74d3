//! Secrets stay in the program: none is printed, shown, stored or sent elsewhere.

use std::process::Output;

use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::harness::receiver::{Receiver, Reply};
use crate::program::process::{Daemon, Folder, Simulator, run, stderr, stdout};

/// The test looks for each; the webhook's secret is base64 of a text, which it looks for too.
const TOKEN: &str = "canary-of-the-service-token";
const READ_TOKEN: &str = "canary-of-the-read-token";
const WRITE_TOKEN: &str = "canary-of-the-write-token";
const WEBHOOK: &str = "whsec_Y2FuYXJ5LW9mLXRoZS13ZWJob29rLXNlY3JldA==";
const WEBHOOK_BYTES: &str = "canary-of-the-webhook-secret";
const PATH: &str = "canary-of-the-webhook-path";
/// The only secret that is stored, because it belongs to a watch; it is never shown.
const CALLBACK_PATH: &str = "canary-of-the-callback-path";

#[track_caller]
fn has_no_secret(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let encoded = WEBHOOK.trim_start_matches("whsec_");
    for secret in [TOKEN, READ_TOKEN, WRITE_TOKEN, WEBHOOK_BYTES, encoded, PATH] {
        let line = text.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} is in {what}: {}", line.unwrap());
    }
}

#[track_caller]
fn has_no_callback(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().find(|line| line.contains(CALLBACK_PATH));
    assert!(
        line.is_none(),
        "the callback is in {what}: {}",
        line.unwrap()
    );
}

/// A configuration with all these secrets, and the most verbose log.
fn configure(folder: &Folder, simulator: &Simulator, receiver: &Receiver) -> String {
    let hook = receiver.url().replace("/hook", &format!("/{PATH}"));
    let more = format!(
        "[sinks.hook]\nkind = \"webhook\"\nurl = \"{hook}\"\nsecret_file = \"{{folder}}/webhook-secret\"\n\
         [sinks.dead]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:1/{PATH}\"\n"
    );
    let config = folder.configure(&simulator.url, &more);
    let tokens = format!(
        "[api]\nallow_callback_hosts = [\"localhost\"]\ncallback_events = [\"watch.accepted\"]\nread_token_file = \"{0}/read\"\nwrite_token_file = \"{0}/write\"\n",
        folder.path().display()
    );
    let text = std::fs::read_to_string(&config)
        .unwrap()
        .replace("[api]\n", &tokens)
        .replace("[log]\n", "[log]\nfilter = \"trace\"\n");
    folder.write("jobwatch.toml", &text);
    for (name, secret) in [
        ("token", TOKEN),
        ("read", READ_TOKEN),
        ("write", WRITE_TOKEN),
        ("webhook-secret", WEBHOOK),
    ] {
        folder.write(name, secret);
    }
    config
}

/// Runs every command against the daemon; returns all outputs.
async fn ask_everything(
    daemon: &mut Daemon,
    simulator: &Simulator,
    token_file: &str,
) -> Vec<Output> {
    let job = json!({"service": "dcs", "duration": "10s", "outcome": "succeeded"});
    let job_id = simulator.create(&job).await;
    let url = format!("https://localhost:1/{CALLBACK_PATH}");
    let submit = ["submit", "dcs", &job_id, "--callback-url", &url];
    let submit = daemon.ask(&[&submit[..], &["--token-file", token_file]].concat());
    assert!(submit.status.success(), "{}", stderr(&submit));
    daemon.process.has_said("poll failed; its watch continues");
    daemon.process.has_said("a delivery failed");
    daemon.process.has_said("localhost leads to");
    let list = daemon.ask(&["list", "--json", "--token-file", token_file]);
    let shown: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    let id = shown["watches"][0]["id"].as_str().unwrap();
    let show = daemon.ask(&["show", id, "--token-file", token_file]);
    assert!(stdout(&show).contains("unauthorized"), "{}", stdout(&show));
    let refused = daemon.ask(&["list"]);
    assert_eq!(refused.status.code(), Some(2));
    vec![submit, list, show, refused]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_stay_in_the_program() {
    let tracker = TaskTracker::new();
    let receiver = Receiver::start(&tracker).await;
    receiver.answers([Reply::Status(500)]);
    let folder = Folder::new();
    // The simulator accepts another token, so refusals are logged, and must not show ours.
    let accepted = folder
        .write("accepted", "another-token")
        .display()
        .to_string();
    let simulator = Simulator::start(&["--tokens-file", &accepted]);
    let config = configure(&folder, &simulator, &receiver);

    let check = run(&["check", "--config", &config]);
    assert!(check.status.success(), "{}", stderr(&check));
    let mut daemon = Daemon::start(&config);
    let token_file = folder.path().join("write").display().to_string();
    let mut outputs = ask_everything(&mut daemon, &simulator, &token_file).await;
    outputs.push(check);
    assert_eq!(daemon.process.terminate().code(), Some(0));

    let printed = daemon.process.printed.join("\n");
    assert!(
        printed.contains("\"level\":\"DEBUG\""),
        "the log was to be thorough"
    );
    has_no_secret("the log", printed.as_bytes());
    has_no_callback("the log", printed.as_bytes());
    for output in outputs {
        has_no_secret("the output of a command", &output.stdout);
        has_no_secret("the errors of a command", &output.stderr);
        has_no_callback("the output of a command", &output.stdout);
    }
    for file in ["jobwatch.db", "jobwatch.db-wal"] {
        if let Ok(stored) = std::fs::read(folder.path().join(file)) {
            has_no_secret(file, &stored);
        }
    }
    for received in receiver.received() {
        has_no_secret("an event", &received.bytes);
        has_no_callback("an event", &received.bytes);
        has_no_secret("its headers", format!("{:?}", received.headers).as_bytes());
    }
}

#[test]
fn an_unusable_secret_is_refused_but_not_shown() {
    let folder = Folder::new();
    folder.write("short", "whsec_Y2FuYXJ5");
    folder.write("plain", "canary-of-the-webhook-secret");
    for file in ["short", "plain"] {
        let more = format!(
            "[sinks.hook]\nkind = \"webhook\"\nurl = \"https://example.com/\"\nsecret_file = \"{{folder}}/{file}\""
        );
        let config = folder.configure("http://127.0.0.1:1", &more);
        let output = run(&["check", "--config", &config]);
        assert_eq!(output.status.code(), Some(2));
        let said = stderr(&output);
        assert!(said.contains("sinks.hook.secret_file"), "{said}");
        assert!(
            !said.contains("Y2FuYXJ5") && !said.contains("canary"),
            "{said}"
        );
    }
}
