//! Processes of the program, and their output.
//!
//! Tests never wait for a fixed time: they wait for a line, at most [`PATIENCE`].

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use jobwatch::outbound;
use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_jobwatch");
/// Longer than any step takes, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    run_with(arguments, &[])
}

/// As [`run`], with only these variables in its environment.
pub(crate) fn run_with(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    assert_cmd::Command::new(PROGRAM)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .timeout(PATIENCE)
        .output()
        .unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A process that runs until it is stopped or dropped.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    /// The lines that were read so far.
    pub(crate) printed: Vec<String>,
}

impl Process {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// As [`start`](Self::start), with only these variables in its environment.
    pub(crate) fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(arguments);
        Self::spawn(command, environment)
    }

    /// As [`start`](Self::start), under a tracer that writes to `log`. The process id is that of
    /// the program, and the process ends after the tracer.
    pub(crate) fn start_traced(tracer: &Path, calls: &str, log: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(tracer);
        command
            .args(["-D", "-f", "-q", "-y", "-xx", "-s", "1000000"])
            .arg(format!("--trace={calls}"))
            .arg("-o")
            .arg(log)
            .arg(PROGRAM)
            .args(arguments);
        Self::spawn(command, &[])
    }

    fn spawn(mut command: Command, environment: &[(&str, &str)]) -> Self {
        let mut child = command
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        forward(child.stdout.take().unwrap(), sender.clone());
        forward(child.stderr.take().unwrap(), sender);
        Self {
            child,
            lines,
            printed: Vec::new(),
        }
    }

    /// Waits for the next line.
    ///
    /// # Errors
    /// The output was silent for so long, or it has ended.
    pub(crate) fn next_line(&mut self, patience: Duration) -> Result<String, RecvTimeoutError> {
        let line = self.lines.recv_timeout(patience)?;
        self.printed.push(line.clone());
        Ok(line)
    }

    /// Reads up to the next line with `words` and returns that line.
    #[track_caller]
    pub(crate) fn line_with(&mut self, words: &str) -> String {
        loop {
            let Ok(line) = self.next_line(PATIENCE) else {
                panic!("no line with {words:?} in:\n{}", self.printed.join("\n"));
            };
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Waits for a line with `words`; lines that were read before count too.
    #[track_caller]
    pub(crate) fn has_said(&mut self, words: &str) {
        if !self.printed.iter().any(|line| line.contains(words)) {
            self.line_with(words);
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it with SIGTERM, and reads the output to its end.
    #[track_caller]
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.send_sigterm();
        self.ended()
    }

    pub(crate) fn send_sigterm(&self) {
        self.send("TERM");
    }

    pub(crate) fn send_sigint(&self) {
        self.send("INT");
    }

    fn send(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Reads the output to its end.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        match self.ends(PATIENCE) {
            Some(status) => status,
            None => panic!("still running:\n{}", self.printed.join("\n")),
        }
    }

    /// Reads the output to its end; `None` if it goes on, but is silent for so long.
    pub(crate) fn ends(&mut self, patience: Duration) -> Option<ExitStatus> {
        loop {
            match self.next_line(patience) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return Some(self.child.wait().unwrap()),
                Err(RecvTimeoutError::Timeout) => return None,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(stream: impl Read + Send + 'static, lines: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}

/// `jobwatch simulate` on a free port.
pub(crate) struct Simulator {
    pub(crate) url: String,
    _process: Process,
}

impl Simulator {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let all = [&["simulate", "--listen", "127.0.0.1:0"], arguments].concat();
        let mut process = Process::start(&all);
        let line = process.line_with("simulated at");
        let begin = line.find("http://").unwrap();
        let end = line.find(';').unwrap();
        Self {
            url: line[begin..end].to_owned(),
            _process: process,
        }
    }

    /// Creates a job; returns its id.
    pub(crate) async fn create(&self, job: &Value) -> String {
        let url = format!("{}/_sim/jobs", self.url);
        let (status, body) = post(&url, &job.to_string()).await.unwrap();
        assert_eq!(status, 201, "{body}");
        body["job_id"].as_str().unwrap().to_owned()
    }

    /// Makes the simulator forget a job.
    pub(crate) async fn forget(&self, job_id: &str) {
        let client = outbound::client().no_proxy().build().unwrap();
        let url = format!("{}/_sim/jobs/{job_id}", self.url);
        let answer = client.delete(url).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
    }
}

/// A folder with a configuration.
pub(crate) struct Folder {
    folder: TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Writes a configuration with quick polls of the simulator's services.
    pub(crate) fn configure(&self, simulator: &str, more: &str) -> String {
        self.write("token", "any-token");
        let text = format!(
            "stop_timeout = \"2s\"\n\
             [store]\nurl = \"sqlite://{{folder}}/jobwatch.db\"\n\
             [api]\nlisten = \"127.0.0.1:0\"\n\
             [log]\nformat = \"json\"\n\
             [credentials.sim]\nkind = \"token\"\ntoken_file = \"{{folder}}/token\"\n\
             [services.dcs]\ndefinition = \"dcs\"\nurl = \"{simulator}\"\ncredential = \"sim\"\n\
             params = {{ project_id = \"p\" }}\nrate = 1000.0\nburst = 1000\n\
             poll = {{ first = \"10ms\", initial = \"50ms\", max = \"100ms\" }}\n{more}\n"
        );
        let text = text.replace("{folder}", &self.path().display().to_string());
        self.write("jobwatch.toml", &text).display().to_string()
    }
}

/// A `jobwatch run` that is ready.
pub(crate) struct Daemon {
    pub(crate) url: String,
    pub(crate) process: Process,
}

impl Daemon {
    #[track_caller]
    pub(crate) fn start(config: &str) -> Self {
        Self::ready(Process::start(&["run", "--config", config]))
    }

    /// Waits until the daemon in this process is ready.
    #[track_caller]
    pub(crate) fn ready(mut process: Process) -> Self {
        let line = process.line_with("\"message\":\"starting\"");
        let starting: Value = serde_json::from_str(&line).unwrap();
        let url = format!("http://{}", starting["listen"].as_str().unwrap());
        process.line_with("\"message\":\"ready\"");
        Self { url, process }
    }

    /// Runs a command against this daemon.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Output {
        run(&[arguments, &["--url", &self.url]].concat())
    }

    /// Runs a command against this daemon and reads its JSON.
    #[track_caller]
    pub(crate) fn ask_json(&self, arguments: &[&str]) -> Value {
        let output = self.ask(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// Posts JSON; an answer that is not JSON becomes `null`.
pub(crate) async fn post(url: &str, body: &str) -> reqwest::Result<(u16, Value)> {
    let client = outbound::client().no_proxy().build()?;
    let response = client
        .post(url)
        .header("content-type", "application/json")
        .body(body.to_owned())
        .send()
        .await?;
    let status = response.status().as_u16();
    let body = response.bytes().await?;
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}
