//! `jobwatch check --online`: it finds every part that does not work, and sends no event.

use serde_json::Value;
use tokio_util::task::TaskTracker;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::harness::receiver::Receiver;
use crate::program::process::{Daemon, Folder, PATIENCE, PROGRAM, Simulator, run, stderr, stdout};

/// Returns the finding about one part.
#[track_caller]
fn finding(report: &Value, part: &str, name: &str) -> (String, String) {
    let all = report["online"].as_array().unwrap();
    let found = all
        .iter()
        .find(|it| it["part"] == part && it["name"].as_str().unwrap().ends_with(name));
    let found = found.unwrap_or_else(|| panic!("no {part} {name} in {report:#}"));
    let text = |member: &str| found[member].as_str().unwrap().to_owned();
    (text("result"), text("detail"))
}

fn check(config: &str) -> (Option<i32>, Value) {
    let output = assert_cmd::Command::new(PROGRAM)
        .args(["check", "--online", "--json", "-c", config])
        .env_clear()
        // Several limits of one try may follow each other on a busy machine.
        .timeout(3 * PATIENCE)
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)));
    (output.status.code(), report)
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_works_is_ok_and_no_event_is_sent() {
    let tracker = TaskTracker::new();
    let receiver = Receiver::start(&tracker).await;
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let hook = receiver.url();
    let more = format!("[sinks.ops]\nkind = \"webhook\"\nurl = \"{hook}\"\n");
    let config = folder.configure(&simulator.url, &more);
    let (code, report) = check(&config);
    assert_eq!(code, Some(0), "{report:#}");
    for (part, name) in [
        ("credential", "sim"),
        ("service", "dcs"),
        ("sink", "ops"),
        ("sink", "log"),
        ("port", "127.0.0.1:0"),
        ("store", "jobwatch.db"),
    ] {
        assert_eq!(finding(&report, part, name).0, "ok", "{report:#}");
    }
    assert!(receiver.received().is_empty());
    assert!(!folder.path().join("jobwatch.db").exists(), "it only looks");
    let text = stdout(&run(&["check", "--online", "-c", &config]));
    assert!(
        text.contains("PART") && text.contains("can be created"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_credential_costs_one_request() {
    let server = MockServer::start().await;
    let refusal = Mock::given(any()).respond_with(ResponseTemplate::new(401));
    refusal.expect(1).mount(&server).await;
    let folder = Folder::new();
    let config = folder.configure(&server.uri(), "");
    let (code, report) = check(&config);
    assert_eq!(code, Some(1), "{report:#}");
    let (result, detail) = finding(&report, "service", "dcs");
    assert_eq!(result, "failed");
    assert!(
        detail.contains("does not accept the credential"),
        "{detail}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_first_cause_is_reported() {
    let login = MockServer::start().await;
    let refusal = Mock::given(any()).respond_with(ResponseTemplate::new(401));
    refusal.mount(&login).await;
    let api = MockServer::start().await;
    let untouched = Mock::given(any()).respond_with(ResponseTemplate::new(200));
    untouched.expect(0).mount(&api).await;
    let folder = Folder::new();
    folder.write("password", "wrong");
    let more = format!(
        "[credentials.otc]\nkind = \"keystone\"\nauth_url = \"{}/v3\"\nusername = \"u\"\n\
         domain = \"D\"\npassword_file = \"{{folder}}/password\"\nproject_id = \"p\"\n\
         [services.far]\ndefinition = \"dcs\"\nurl = \"{}\"\ncredential = \"otc\"\n",
        login.uri(),
        api.uri()
    );
    let config = folder.configure(&Simulator::start(&[]).url, &more);
    let (code, report) = check(&config);
    assert_eq!(code, Some(1), "{report:#}");
    assert_eq!(finding(&report, "credential", "otc").0, "failed");
    let (result, detail) = finding(&report, "service", "far");
    assert_eq!(result, "skipped", "{detail}");
    assert!(detail.contains("its credential `otc` failed"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_doors_are_failures_with_their_reasons() {
    let folder = Folder::new();
    let tracker = TaskTracker::new();
    let other = Receiver::start(&tracker).await;
    let taken = other
        .url()
        .trim_start_matches("http://")
        .trim_end_matches("/hook");
    let more = "[sinks.ops]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:1/canary\"\n";
    let config = folder.configure("http://127.0.0.1:1", more);
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text
        .replace("listen = \"127.0.0.1:0\"", &format!("listen = \"{taken}\""))
        .replace("/jobwatch.db", "/nowhere/jobwatch.db");
    folder.write("jobwatch.toml", &text);
    let (code, report) = check(&config);
    assert_eq!(code, Some(1), "{report:#}");
    for (part, name, words) in [
        ("service", "dcs", "cannot connect"),
        ("sink", "ops", "cannot connect"),
        ("port", "", "another program listens there"),
        ("store", "jobwatch.db", "nowhere does not exist; create it"),
    ] {
        let (result, detail) = finding(&report, part, name);
        assert_eq!(result, "failed", "{report:#}");
        assert!(detail.contains(words), "{words} is missing in {detail}");
    }
    assert!(!report.to_string().contains("canary"), "{report:#}");
}

#[test]
fn a_running_daemon_is_recognised() {
    let folder = Folder::new();
    let config = folder.configure("http://127.0.0.1:1", "");
    let daemon = Daemon::start(&config);
    let address = daemon.url.trim_start_matches("http://");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("127.0.0.1:0", address);
    let other = folder.write("same.toml", &text).display().to_string();
    let (_, report) = check(&other);
    let (result, detail) = finding(&report, "port", address);
    assert_eq!(
        (&*result, &*detail),
        ("ok", "a running jobwatch listens there")
    );
    let (result, detail) = finding(&report, "store", "jobwatch.db");
    assert_eq!(
        (&*result, &*detail),
        ("ok", "is open in a running jobwatch")
    );
}
