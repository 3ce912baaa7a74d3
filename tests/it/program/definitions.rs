//! Work on definitions from the command line: explain, probe, check, and job ids read from
//! the response that created the job.

use serde_json::{Value, json};

use crate::program::process::{Daemon, Folder, Simulator, run, stderr, stdout};

const FAILED: &str = r#"{"job_id":"j","job_type":"t","status":"FAIL","error_code":"SDRS.0406","fail_reason":"no quota","entities":{}}"#;

#[test]
fn explain_prints_json_and_text() {
    let folder = Folder::new();
    let body = folder.write("answer.json", FAILED).display().to_string();
    let explained = run(&[
        "explain",
        "sdrs",
        "--http-status",
        "200",
        "--job-id",
        "j",
        &body,
    ]);
    assert_eq!(explained.status.code(), Some(0), "{}", stderr(&explained));
    let shown: Value = serde_json::from_slice(&explained.stdout).unwrap();
    for (key, expected) in [
        ("kind", "sighting"),
        ("state", "failed"),
        ("status", "FAIL"),
        ("reason", "no quota"),
        ("code", "SDRS.0406"),
        ("rule", "states.failed: \"FAIL\""),
    ] {
        assert_eq!(shown[key], expected, "{key}");
    }
    let other = run(&[
        "explain",
        "sdrs",
        "--http-status",
        "200",
        "--job-id",
        "other",
        &body,
    ]);
    let shown: Value = serde_json::from_slice(&other.stdout).unwrap();
    assert_eq!(
        (&shown["kind"], &shown["problem"]),
        (&json!("problem"), &json!("unreadable"))
    );
    let human = stdout(&run(&[
        "explain",
        "sdrs",
        "--http-status",
        "200",
        "--human",
        &body,
    ]));
    assert!(
        human.contains("no quota") && human.contains("$.fail_reason"),
        "{human}"
    );
}

#[test]
fn explain_reads_the_recorded_headers() {
    let folder = Folder::new();
    let body = folder.write("empty", "").display().to_string();
    let arguments = [
        "explain",
        "dcs",
        "--http-status",
        "429",
        "--header",
        "Retry-After: 7",
        &body,
    ];
    let shown: Value = serde_json::from_slice(&run(&arguments).stdout).unwrap();
    assert_eq!(shown["problem"], "throttled");
    assert_eq!(shown["retry_after"], "7s");
}

#[test]
fn a_definition_file_is_checked_and_used() {
    let folder = Folder::new();
    let sdrs = stdout(&run(&["services", "sdrs", "--toml"]));
    let mine = folder.write("mine.toml", &sdrs).display().to_string();
    let checked = run(&["services", "check", &mine]);
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    assert!(stdout(&checked).contains("valid"));
    let broken = sdrs
        .replace("\"$.status\"", "\"$.[\"")
        .replace("\"INIT\"", "\"FAIL\"");
    let mine = folder.write("mine.toml", &broken).display().to_string();
    let checked = run(&["services", "check", &mine]);
    assert_eq!(checked.status.code(), Some(2));
    let errors = stderr(&checked);
    assert!(
        errors.contains("mine.toml:") && errors.contains("job.status"),
        "{errors}"
    );
    assert!(errors.contains("listed already"), "{errors}");
    let unknown = run(&["explain", "sdsr", "--http-status", "200", &mine]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        stderr(&unknown).contains("did you mean `sdrs`?"),
        "{}",
        stderr(&unknown)
    );
}

#[tokio::test]
async fn a_probe_polls_once_and_shows_no_secret() {
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let config = folder.configure(&simulator.url, "");
    let job =
        json!({"service": "dcs", "duration": "0s", "outcome": "failed", "reason": "no quota"});
    let job_id = simulator.create(&job).await;
    let probed = run(&["probe", "dcs", &job_id, "--config", &config]);
    assert_eq!(probed.status.code(), Some(0), "{}", stderr(&probed));
    let shown: Value = serde_json::from_slice(&probed.stdout).unwrap();
    assert_eq!(
        (&shown["kind"], &shown["state"]),
        (&json!("sighting"), &json!("failed"))
    );
    assert_eq!(shown["http_status"], 200);
    assert_eq!(
        shown["request"],
        format!("GET {}/v2/p/jobs/{job_id}", simulator.url)
    );
    let lost = run(&["probe", "dcs", "nobody", "--config", &config]);
    assert_eq!(lost.status.code(), Some(1));
    assert!(stdout(&lost).contains("not_found"));
    let all = format!("{}{}", stdout(&probed), stdout(&lost));
    assert!(!all.contains("any-token"), "the token is shown: {all}");
}

#[tokio::test]
async fn an_unknown_status_is_reported() {
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let mut daemon = Daemon::start(&folder.configure(&simulator.url, ""));
    let job = json!({"service": "dcs", "duration": "1h", "outcome": "succeeded",
        "faults": {"unknown_status": "REBOOTING"}});
    // The job began long ago, so the unknown status is shown instead of the running one.
    let job_id = simulator.create(&job).await;
    let short = json!({"service": "dcs", "duration": "500ms", "outcome": "never",
        "faults": {"unknown_status": "REBOOTING"}});
    let short_id = simulator.create(&short).await;
    let submitted = daemon.ask_json(&["submit", "dcs", &short_id]);
    daemon.ask(&["submit", "dcs", &job_id]);
    let warned = daemon.process.line_with("unknown_status");
    assert!(
        warned.contains("REBOOTING") && warned.contains("WARN"),
        "{warned}"
    );
    let shown = daemon.ask_json(&["show", submitted["id"].as_str().unwrap()]);
    assert_eq!(
        (&shown["state"], &shown["unknown_status"]),
        (&json!("watching"), &json!("REBOOTING"))
    );
    let metrics = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/metrics", daemon.url);
    let text = metrics.get(url).send().await.unwrap().text().await.unwrap();
    assert!(
        text.contains("jobwatch_unknown_statuses_total{service=\"dcs\"}"),
        "{text}"
    );
    assert!(text.contains("jobwatch_watching 2"), "{text}");
}

#[tokio::test]
async fn a_job_id_is_read_from_the_response_that_created_it() {
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.configure(&simulator.url, ""));
    let body = folder
        .write("created.json", r#"{"job_id":"ff80"}"#)
        .display()
        .to_string();
    let submitted = daemon.ask_json(&["submit", "dcs", "--from-response", &body]);
    assert_eq!(submitted["job_id"], "ff80");
    let whole = "HTTP/1.1 202 Accepted\r\ncontent-type: text/plain\r\n\r\njob_id:ff81\n";
    let whole = folder.write("created.txt", whole).display().to_string();
    let submitted = daemon.ask_json(&["submit", "dcs", "--from-response", &whole]);
    assert_eq!(submitted["job_id"], "ff81");
    let nothing = folder.write("nothing.json", "{}").display().to_string();
    let refused = daemon.ask(&["submit", "dcs", "--from-response", &nothing]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        stderr(&refused).contains("no job id"),
        "{}",
        stderr(&refused)
    );
}
