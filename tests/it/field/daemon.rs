//! The real binary in the private folder of one case.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use std::{fmt, fs, io};

use jobwatch::clock::SharedClock;
use jobwatch::outbound;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::case::Case;
use super::filler::Filler;
use super::value::dig;
use crate::program::process::{Folder, PROGRAM, Process};

/// The time that a start may take on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(15);
/// The time from SIGTERM to the end.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// The time that one request or one command may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// The time between two looks at something that announces nothing.
const SLICE: Duration = Duration::from_millis(50);

/// The settings that every case starts from; its own are read after them.
const SETTINGS: &str = r#"
instance = "field"
services_dir = "{DIR}/services"
stop_timeout = "2s"

[log]
format = "json"

[store]
url = "sqlite://{DIR}/jobwatch.db"

[api]
listen = "127.0.0.1:0"

[poll]
first           = "0s"
initial         = "250ms"
multiplier      = 1.0
max             = "250ms"
jitter          = 0.0
deadline        = "15s"
request_timeout = "3s"

[sinks.events]
kind  = "file"
path  = "{DIR}/events.jsonl"
fsync = false
"#;

/// The reason that there is no daemon.
pub(super) enum NotStarted {
    /// It refused, with these words.
    Refused(String),
    Failed(String),
}

impl fmt::Display for NotStarted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(words) | Self::Failed(words) => out.write_str(words),
        }
    }
}

/// The exit and the output of a command.
pub(super) struct Ran {
    pub(super) exit: Option<i32>,
    pub(super) stdout: String,
    pub(super) all: String,
}

pub(super) struct Daemon<'a> {
    runtime: &'a Runtime,
    clock: SharedClock,
    client: reqwest::Client,
    url: String,
    process: Process,
    events: PathBuf,
}

impl<'a> Daemon<'a> {
    /// Starts it, and waits until it is ready.
    pub(super) fn start(
        case: &Case,
        folder: &Folder,
        filler: &Filler,
        clock: &SharedClock,
        runtime: &'a Runtime,
    ) -> Result<Self, NotStarted> {
        let failed = |error: io::Error| NotStarted::Failed(error.to_string());
        let services = folder.path().join("services");
        fs::create_dir_all(&services).map_err(failed)?;
        for definition in &case.definitions {
            let name = definition.file_name().expect("a definition is a file");
            fs::copy(definition, services.join(name)).map_err(failed)?;
        }
        for (name, text) in &case.files {
            folder.write(name, &filler.fill(text));
        }
        let base = folder.write("base.toml", &filler.fill(SETTINGS));
        let own = folder.write("case.toml", &filler.fill(&case.settings()));
        let process = Process::start_with(
            &[
                "run",
                "--config",
                &base.to_string_lossy(),
                "--config",
                &own.to_string_lossy(),
            ],
            &pairs(&environment(case, folder, filler)),
        );
        let mut daemon = Self {
            runtime,
            clock: clock.clone(),
            client: outbound::client()
                .no_proxy()
                .timeout(CALL_LIMIT)
                .build()
                .unwrap(),
            url: String::new(),
            process,
            events: folder.path().join("events.jsonl"),
        };
        daemon.await_ready(folder)?;
        Ok(daemon)
    }

    fn await_ready(&mut self, folder: &Folder) -> Result<(), NotStarted> {
        loop {
            let line = match self.process.next_line(START_LIMIT) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => return Err(self.refusal(folder)),
                Err(RecvTimeoutError::Timeout) => {
                    let message = format!("not ready after {START_LIMIT:?}");
                    return Err(NotStarted::Failed(message));
                }
            };
            let entry: Value = serde_json::from_str(&line).unwrap_or_default();
            match dig(&entry, "message").as_str() {
                Some("starting") => {
                    let listen = dig(&entry, "listen").as_str().unwrap_or_default();
                    self.url = format!("http://{listen}");
                }
                Some("ready") => return Ok(()),
                _ => {}
            }
        }
    }

    /// Its words, without the log and the name of the folder.
    fn refusal(&mut self, folder: &Folder) -> NotStarted {
        let status = self.process.ended();
        let prefix = format!("{}/", folder.path().display());
        let lines = self
            .process
            .printed
            .iter()
            .filter(|line| !line.starts_with('{'));
        let words: Vec<String> = lines.map(|it| it.trim().replace(&prefix, "")).collect();
        if words.is_empty() {
            return NotStarted::Failed(format!("it ended with {status}, without a word"));
        }
        NotStarted::Refused(words.join(" "))
    }

    /// Asks the API; the answer as JSON, or as a text if it is not JSON.
    pub(super) fn ask(
        &self,
        method: &reqwest::Method,
        path: &str,
        body: Option<String>,
    ) -> Result<(u16, Value), String> {
        let mut request = self
            .client
            .request(method.clone(), format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body);
        }
        let exchange = async {
            let answer = request.send().await?;
            Ok((answer.status().as_u16(), answer.text().await?))
        };
        let answered: reqwest::Result<(u16, String)> = self.runtime.block_on(exchange);
        let (status, text) =
            answered.map_err(|error| format!("{method} {path}: {}", outbound::in_words(&error)))?;
        Ok((
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        ))
    }

    /// The watch as the API shows it.
    pub(super) fn view(&self, watch_id: &str) -> Result<Value, String> {
        let path = format!("/v1/watches/{watch_id}");
        let (status, watch) = self.ask(&reqwest::Method::GET, &path, None)?;
        if status == 200 {
            Ok(watch)
        } else {
            Err(format!("GET {path}: HTTP {status} {watch}"))
        }
    }

    /// Runs a command against this daemon.
    pub(super) fn command(&self, arguments: &[String], folder: &Folder) -> Ran {
        let mut command = assert_cmd::Command::new(PROGRAM);
        command
            .args(arguments)
            .env_clear()
            .env("JOBWATCH_URL", &self.url);
        command
            .env("HOME", folder.path())
            .current_dir(folder.path())
            .timeout(CALL_LIMIT);
        let output = command.output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let all = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
        Ran {
            exit: output.status.code(),
            stdout,
            all,
        }
    }

    /// Looks again and again until `look` finds something, and reads the log meanwhile. After
    /// `limit` it returns the last look.
    pub(super) fn look<T>(
        &mut self,
        limit: Duration,
        mut look: impl FnMut(&Self) -> Result<Option<T>, String>,
    ) -> Result<Option<T>, String> {
        let end = self.clock.uptime() + limit;
        loop {
            let found = look(self)?;
            if found.is_some() || self.clock.uptime() > end {
                return Ok(found);
            }
            self.read_log(SLICE);
        }
    }

    /// Reads the log for so long.
    pub(super) fn read_log(&mut self, time: Duration) {
        let end = self.clock.uptime() + time;
        while let Some(left) = end.checked_sub(self.clock.uptime()) {
            if self.process.next_line(left).is_err() {
                return;
            }
        }
    }

    pub(super) fn log(&self) -> String {
        self.process.printed.join("\n")
    }

    /// Puts the log of the daemon before it in front of its own.
    pub(super) fn remember(&mut self, before: &Self) {
        self.process
            .printed
            .splice(0..0, before.process.printed.iter().cloned());
    }

    /// The file of the sink.
    pub(super) fn events(&self) -> &PathBuf {
        &self.events
    }

    /// Sends SIGTERM; returns how it ended.
    pub(super) fn stop(&mut self) -> String {
        self.process.send_sigterm();
        match self.process.ends(STOP_LIMIT) {
            Some(status) => status
                .code()
                .map_or(status.to_string(), |code| code.to_string()),
            None => format!("none within {STOP_LIMIT:?}"),
        }
    }
}

/// The variables of the daemon: few of our own, and those of the case.
fn environment(case: &Case, folder: &Folder, filler: &Filler) -> BTreeMap<String, String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let home = folder.path().display().to_string();
    let usual = [("PATH".to_owned(), path), ("HOME".to_owned(), home)];
    let own = case
        .env
        .iter()
        .map(|(name, value)| (name.clone(), filler.fill(value)));
    usual.into_iter().chain(own).collect()
}

fn pairs(map: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    map.iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}
