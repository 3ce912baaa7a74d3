//! A daemon whose log cannot be written: the reader of its output is gone or stuck.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, PipeWriter, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::{io, thread};

use jobwatch::outbound;
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use crate::program::process::{Daemon, Folder, PATIENCE, PROGRAM, post, run};

/// A process whose output this test reads itself, or does not read.
struct Silent {
    id: Pid,
    ended: Receiver<ExitStatus>,
}

impl Silent {
    fn start(program: &str, arguments: &[&str], stdout: Stdio, stderr: Stdio) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap();
        let id = Pid::from_child(&child);
        let (sender, ended) = mpsc::channel();
        // The receiver may be dropped already.
        thread::spawn(move || sender.send(child.wait().unwrap()).ok());
        Self { id, ended }
    }

    /// The daemon, which writes both of its outputs to this pipe.
    fn run(config: &str, pipe: &PipeWriter) -> Self {
        let end = || Stdio::from(pipe.try_clone().unwrap());
        Self::start(PROGRAM, &["run", "--config", config], end(), end())
    }

    fn terminate(&self) -> Option<i32> {
        rustix::process::kill_process(self.id, Signal::TERM).unwrap();
        self.exit_code()
    }

    fn exit_code(&self) -> Option<i32> {
        let status = self.ended.recv_timeout(PATIENCE);
        status.expect("the process ends in time").code()
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        if self.ended.try_recv() == Err(TryRecvError::Empty) {
            let _ = rustix::process::kill_process(self.id, Signal::KILL);
        }
    }
}

/// Reads the log until the daemon is ready; returns the URL of its API.
fn ready(log: &mut impl BufRead) -> String {
    let starting: Value = serde_json::from_str(&line_with(log, "\"starting\"")).unwrap();
    line_with(log, "\"ready\"");
    format!("http://{}", starting["listen"].as_str().unwrap())
}

fn line_with(log: &mut impl BufRead, words: &str) -> String {
    let mut lines = log.lines().map(Result::unwrap);
    lines.find(|line| line.contains(words)).unwrap()
}

/// Fills the pipe to its last byte, with empty lines.
fn fill(pipe: &PipeWriter) {
    // Opened again, because the daemon's end must stay blocking.
    let mut end = OpenOptions::new()
        .write(true)
        .custom_flags(i32::try_from(OFlags::NONBLOCK.bits()).unwrap())
        .open(format!("/proc/self/fd/{}", pipe.as_raw_fd()))
        .unwrap();
    for size in [4096, 1] {
        while end.write(&vec![b'\n'; size]).is_ok() {}
    }
}

async fn submit(url: &str) {
    let body = json!({"service": "dcs", "job_id": "j"}).to_string();
    let (status, _) = post(&format!("{url}/v1/watches"), &body).await.unwrap();
    assert_eq!(status, 201);
}

/// Waits until an attempt of the log sink has failed; returns its reason.
async fn failed_attempt(url: &str) -> String {
    let client = outbound::client().no_proxy().build().unwrap();
    let url = format!("{url}/v1/deliveries?sink=log&state=pending");
    let attempt = async {
        loop {
            let answer = client.get(&url).send().await.unwrap();
            let page: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
            if let Some(reason) = page["deliveries"][0]["last_error"].as_str() {
                return reason.to_owned();
            }
        }
    };
    let found = tokio::time::timeout(PATIENCE, attempt).await;
    found.expect("a failed attempt of the log sink")
}

fn configure(folder: &Folder) -> String {
    folder.configure("http://127.0.0.1:1", "")
}

/// The event is written after the restart, so it was not lost.
fn restart_delivers(config: &str) {
    let mut daemon = Daemon::start(config);
    daemon.process.has_said("dev.jobwatch.watch.accepted");
    assert_eq!(daemon.process.terminate().code(), Some(0));
}

#[tokio::test]
async fn sigterm_ends_a_daemon_after_its_output_was_closed() {
    let folder = Folder::new();
    let config = configure(&folder);
    let (reader, writer) = io::pipe().unwrap();
    let daemon = Silent::run(&config, &writer);
    let mut log = BufReader::new(reader);
    let url = ready(&mut log);
    drop(log);
    submit(&url).await;
    let reason = failed_attempt(&url).await;
    assert!(reason.contains("cannot write to the log"), "{reason}");
    assert_eq!(daemon.terminate(), Some(0));
    restart_delivers(&config);
}

#[tokio::test]
async fn sigterm_ends_a_daemon_with_blocked_output() {
    let folder = Folder::new();
    let config = configure(&folder);
    let (reader, writer) = io::pipe().unwrap();
    let daemon = Silent::run(&config, &writer);
    let mut log = BufReader::new(reader);
    let url = ready(&mut log);
    fill(&writer);
    submit(&url).await;
    let reason = failed_attempt(&url).await;
    assert!(reason.contains("the reader took nothing"), "{reason}");
    assert_eq!(daemon.terminate(), Some(0));
    restart_delivers(&config);
}

#[tokio::test]
async fn lost_lines_are_reported_to_the_next_reader() {
    let folder = Folder::new();
    let config = configure(&folder);
    // A named pipe: one reader can go and another come.
    let path = folder.path().join("log");
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let both = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let mut log = BufReader::new(File::open(&path).unwrap());
    let writer = OpenOptions::new().write(true).open(&path).unwrap();
    drop(both);
    let arguments = ["run", "--config", &config];
    let daemon = Silent::start(PROGRAM, &arguments, writer.into(), Stdio::null());
    let url = ready(&mut log);
    drop(log);
    submit(&url).await;
    failed_attempt(&url).await;
    let mut log = BufReader::new(File::open(&path).unwrap());
    assert_eq!(daemon.terminate(), Some(0));
    let report: Value = serde_json::from_str(&line_with(&mut log, "were lost")).unwrap();
    assert_eq!(report["level"], "WARN");
    assert!(report["lines"].as_u64().unwrap() > 0, "{report}");
}

#[tokio::test]
async fn sigterm_ends_a_daemon_without_standard_streams() {
    let folder = Folder::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let config = configure(&folder);
    let text = std::fs::read_to_string(&config).unwrap();
    folder.write("jobwatch.toml", &text.replace("127.0.0.1:0", &address));
    let script = format!("exec {PROGRAM} run --config {config} <&- >&- 2>&-");
    let daemon = Silent::start("sh", &["-c", &script], Stdio::null(), Stdio::null());
    let url = format!("http://{address}");
    tokio::time::timeout(PATIENCE, until_ready(&url))
        .await
        .unwrap();
    submit(&url).await;
    assert_eq!(daemon.terminate(), Some(0));
}

async fn until_ready(url: &str) {
    let client = outbound::client().no_proxy().build().unwrap();
    loop {
        let answer = client.get(format!("{url}/readyz")).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return;
        }
    }
}

#[test]
fn blocked_output_does_not_delay_a_start_error() {
    let folder = Folder::new();
    let config = configure(&folder);
    let _first = Daemon::start(&config);
    let (_reader, writer) = io::pipe().unwrap();
    fill(&writer);
    assert_eq!(Silent::run(&config, &writer).exit_code(), Some(1));
}

#[test]
fn commands_end_quietly_when_their_output_is_closed() {
    let folder = Folder::new();
    let config = configure(&folder);
    let daemon = Daemon::start(&config);
    for arguments in [
        &["list", "--url", &daemon.url][..],
        &["list", "--json", "--url", &daemon.url],
        &["deliveries", "--url", &daemon.url],
        &["services", "--definitions"],
        &["services", "dcs"],
        &["check", "--config", &config],
        &["sink", "list", "--url", &daemon.url],
        &["demo", "--print-config"],
        &["--help"],
        &["list", "--help"],
    ] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let (errors, stderr) = io::pipe().unwrap();
        let command = Silent::start(PROGRAM, arguments, writer.into(), stderr.into());
        assert_eq!(command.exit_code(), Some(0), "{arguments:?}");
        let printed = io::read_to_string(errors).unwrap();
        // A note that nothing was found is no complaint.
        let is_note = ["jobwatch: no watches\n", "jobwatch: no deliveries\n"].contains(&&*printed);
        assert!(printed.is_empty() || is_note, "{arguments:?}: {printed}");
    }
}

#[tokio::test]
async fn the_filter_of_the_log_does_not_silence_the_log_sink() {
    let folder = Folder::new();
    for filter in ["off", "warn"] {
        let config = configure(&folder);
        let text = std::fs::read_to_string(&config).unwrap();
        let filter = format!("[log]\nfilter = \"{filter}\"\n");
        let text = text.replace("[log]\n", &filter);
        folder.write("jobwatch.toml", &text);
        let output = run(&["sink", "test", "log", "--config", &config]);
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().next().unwrap();
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["target"], "jobwatch::event");
        assert_eq!(line["event_type"], "dev.jobwatch.job.succeeded");
    }
}
