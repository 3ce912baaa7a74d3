//! The commands that hand jobs in and wait for them, in a pipe: many ids, the creating command,
//! and a wait without a daemon.

use std::process::Output;
use std::time::Duration;

use jobwatch::clock::SystemClock;
use serde_json::{Value, json};

use crate::program::process::{
    Daemon, Folder, PATIENCE, PROGRAM, Process, Simulator, run, stderr, stdout,
};

/// A daemon at a simulator, and the folder of their files.
struct Site {
    simulator: Simulator,
    folder: Folder,
    config: String,
    daemon: Daemon,
}

impl Site {
    fn start() -> Self {
        let simulator = Simulator::start(&[]);
        let folder = Folder::new();
        let config = folder.configure(&simulator.url, "");
        let daemon = Daemon::start(&config);
        Self {
            simulator,
            folder,
            config,
            daemon,
        }
    }

    async fn create(&self, outcome: &str) -> String {
        let job = json!({"service": "dcs", "duration": "200ms", "outcome": outcome});
        self.simulator.create(&job).await
    }

    /// Runs a command with this standard input, and a state folder for `--last`.
    fn feed(&self, input: &str, arguments: &[&str]) -> Output {
        assert_cmd::Command::new(PROGRAM)
            .args(arguments)
            .args(["--url", &self.daemon.url])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("XDG_STATE_HOME", self.folder.path())
            .write_stdin(input)
            .timeout(PATIENCE)
            .output()
            .unwrap()
    }

    /// Starts `do` with a line of shell as its command, which prints `job=ID.`.
    fn start_do(&self, script: &str) -> Process {
        let arguments = ["do", "--id-from", "job=([0-9a-f]+)", "--url"];
        let arguments = [
            &arguments[..],
            &[&self.daemon.url, "--", "sh", "-c", script],
        ]
        .concat();
        Process::start_with(&arguments, &[("PATH", "/usr/bin:/bin")])
    }

    /// Runs `do` with a line of shell as its command.
    fn perform(&self, options: &[&str], script: &str) -> Output {
        let url = ["--url", &self.daemon.url];
        let arguments = [&["do"], options, &url, &["--", "sh", "-c", script]].concat();
        assert_cmd::Command::new(PROGRAM)
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .timeout(PATIENCE)
            .output()
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_come_from_standard_input_and_bad_lines_are_named() {
    let site = Site::start();
    let (good, bad) = (site.create("succeeded").await, site.create("failed").await);
    let input = format!("# today\n\n{good}\r\n two words\n{bad}");
    let output = site.feed(&input, &["submit", "dcs", "-", "--label", "run=a"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("line 4: it has blanks"), "{said}");
    assert!(said.contains("2 new, 1 refused"), "{said}");
    assert_eq!(stdout(&output).lines().count(), 2);
    let waited = site.feed("", &["wait", "--last", "--json"]);
    assert_eq!(waited.status.code(), Some(1), "{}", stderr(&waited));
    let ends: Vec<Value> = stdout(&waited)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(ends.len(), 2);
    assert!(ends.iter().all(|watch| watch["labels"]["run"] == "a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_a_bulk_are_refused_by_line() {
    let site = Site::start();
    let job = site.create("succeeded").await;
    let good = json!({"service": "dcs", "job_id": job});
    let input = format!("{good}\n{{\"service\": \"dsc\", \"job_id\": \"x\"}}\n\n{good}\nno json\n");
    let output = site.feed(&input, &["submit", "--bulk", "-", "--json"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let replies: Vec<Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let shown: Vec<(u64, u64)> = replies
        .iter()
        .map(|it| (it["line"].as_u64().unwrap(), it["status"].as_u64().unwrap()))
        .collect();
    assert_eq!(shown, [(1, 201), (2, 422), (4, 200), (5, 400)]);
    assert!(
        replies[1]["errors"][0]["message"]
            .as_str()
            .unwrap()
            .contains("`dcs`")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_that_waits_ends_as_the_job() {
    let site = Site::start();
    for (outcome, code) in [("succeeded", 0), ("failed", 1)] {
        let job = site.create(outcome).await;
        let output = site.feed("", &["submit", "dcs", &job, "--wait"]);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stdout(&output).contains(&format!("dcs/{job} {outcome} after")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creating_command_is_followed_to_the_end_of_its_job() {
    let site = Site::start();
    let job = site.create("failed").await;
    let body = format!("echo creating; echo '{{\"job_id\": \"{job}\"}}'");
    let output = site.perform(&["--service", "dcs"], &body);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        format!("creating\n{{\"job_id\": \"{job}\"}}\n")
    );
    assert!(stderr(&output).contains(&format!("dcs/{job} failed after")));
    let job = site.create("succeeded").await;
    let line = format!("echo made job {job} >&2; echo job={job}.");
    let output = site.perform(&["--id-from", "job=([0-9a-f]+)"], &line);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_without_a_daemon_ends_at_sigint() {
    let site = Site::start();
    let job = site.create("succeeded").await;
    let daemon = site.daemon.process.id();
    let mut process = site.start_do(&format!("kill -9 {daemon}; echo job={job}."));
    process.line_with("the job is submitted once it answers");
    process.send_sigint();
    process.line_with(&format!("`jobwatch submit dcs {job}`"));
    assert_eq!(process.ended().code(), Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_stays_open_ends_at_sigterm() {
    let site = Site::start();
    let job = site.create("succeeded").await;
    // A process in the background outlives the command, and then writes for ever.
    let outlive = "while kill -0 $$ 2>/dev/null; do sleep 0.1; done";
    let write = "while echo on; do sleep 0.5; done";
    let mut process = site.start_do(&format!("echo job={job}.; ({outlive}; {write}) &"));
    process.line_with("on");
    process.send_sigterm();
    process.line_with(&format!("`jobwatch submit dcs {job}`"));
    assert_eq!(process.ended().code(), Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creating_command_that_fails_is_not_watched() {
    let site = Site::start();
    let failed = site.perform(&[], "echo half; exit 7");
    assert_eq!(failed.status.code(), Some(7));
    assert_eq!(stdout(&failed), "half\n");
    assert_eq!(site.perform(&[], "kill -TERM $$").status.code(), Some(143));
    let refused = "printf 'HTTP/1.1 409 Conflict\\r\\n\\r\\n{}'";
    assert_eq!(site.perform(&["-i"], refused).status.code(), Some(1));
    let silent = site.perform(&[], "true");
    assert_eq!(silent.status.code(), Some(2));
    assert!(
        stderr(&silent).contains("not watched"),
        "{}",
        stderr(&silent)
    );
    let unknown = site.perform(&["--service", "dsc"], "touch made");
    assert!(stderr(&unknown).contains("did you mean `dcs`?"));
    assert_eq!(site.daemon.ask_json(&["list"])["watches"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_wait_needs_no_daemon_and_leaves_no_store() {
    let site = Site::start();
    let (good, bad) = (site.create("succeeded").await, site.create("failed").await);
    let (good, bad) = (format!("dcs/{good}"), format!("dcs/{bad}"));
    let output = run(&["wait", "--local", &good, &bad, "--config", &site.config]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains(&format!("{good} succeeded")), "{text}");
    assert!(text.contains(&format!("{bad} failed")), "{text}");
    assert_eq!(site.daemon.ask_json(&["list"])["watches"], json!([]));
    let wrong = run(&["wait", "--local", "dsc/x", "--config", &site.config]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        stderr(&wrong).contains("did you mean `dcs`?"),
        "{}",
        stderr(&wrong)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_a_group_waits_for_its_last_watch() {
    let site = Site::start();
    let in_group = ["--group", "night", "--group-size", "2"];
    let first = site.create("failed").await;
    let submit = [&["submit", "dcs", &first], &in_group[..]].concat();
    assert_eq!(site.feed("", &submit).status.code(), Some(0));
    let ended = site.feed("", &["wait", &first]);
    assert_eq!(ended.status.code(), Some(1), "{}", stderr(&ended));
    let mut waiting = Process::start(&["wait", "--group", "night", "--url", &site.daemon.url]);
    waiting.line_with("the group `night` is open");
    let last = site.create("succeeded").await;
    let submit = [&["submit", "dcs", &last], &in_group[..]].concat();
    assert_eq!(site.feed("", &submit).status.code(), Some(0));
    assert_eq!(waiting.ended().code(), Some(1));
    waiting.has_said(&format!("dcs/{first} failed"));
    waiting.has_said(&format!("dcs/{last} succeeded"));
}

/// Makes an open group `night` with a job that does not end; returns the id of its watch.
async fn open_group(site: &Site) -> String {
    let job = json!({"service": "dcs", "duration": "10s", "outcome": "never"});
    let job = site.simulator.create(&job).await;
    let submit = ["submit", "dcs", &job, "--group", "night"];
    let watch = site.daemon.ask_json(&submit);
    watch["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_an_open_group_ends_at_its_limit_or_a_signal() {
    let site = Site::start();
    open_group(&site).await;
    let wait = ["wait", "--group", "night", "--url", &site.daemon.url];
    let late = run(&[&wait[..], &["--timeout", "1s"]].concat());
    let said = stderr(&late);
    assert_eq!(late.status.code(), Some(3), "{said}");
    assert!(
        said.contains("after 1s: the group `night` is still open"),
        "{said}"
    );
    let mut waiting = Process::start(&wait);
    waiting.line_with("the group `night` is open");
    waiting.send_sigint();
    waiting.line_with("repeat the command to wait again");
    assert_eq!(waiting.ended().code(), Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_before_and_after_a_group_closes() {
    let site = Site::start();
    let id = open_group(&site).await;
    let clock = SystemClock::shared();
    let began = clock.uptime();
    let url = ["--url", &site.daemon.url];
    let wait = ["wait", "--group", "night", "--timeout", "5s"];
    let mut waiting = Process::start(&[&wait[..], &url].concat());
    waiting.line_with("the group `night` is open");
    // Most of the limit passes while the group is open.
    let pause = site.daemon.ask(&["wait", &id, "--timeout", "3s"]);
    assert_eq!(pause.status.code(), Some(3), "{}", stderr(&pause));
    site.daemon.ask_json(&["group", "close", "night"]);
    assert_eq!(waiting.ended().code(), Some(3));
    waiting.has_said("after 5s; the daemon continues to watch");
    let took = clock.uptime().saturating_sub(began);
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn an_absent_daemon_is_reported_soon() {
    let output = run(&["wait", "x", "--url", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(5));
}
