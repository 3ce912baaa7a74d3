//! Runs a configured command for each event and writes the event to its standard input.
//!
//! No shell is used: the arguments are passed as they are written, and no part of an event is
//! among them. Of our environment the command gets only `PATH`, and so none of our secrets. It
//! runs in its own process group, which is killed as a whole if the command takes too long or
//! jobwatch stops.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};

use crate::outbound::redaction::Redaction;
use crate::sink::{
    ANSWER_BYTES_MAX, ATTEMPT_MAX, Attempt, AttemptResult, ConfiguredSink, SharedSink, Sink, answer,
};
use crate::telemetry::LogOutput;
use crate::tree::reader::Reader;
use crate::watch::delivery::Delivery;

/// How long to wait for output after the end of the command: processes that it left running
/// may keep the pipes open.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// The longest timeout that can be configured.
pub const COMMAND_MAX: Duration = Duration::from_secs(45);
const _: () = assert!(
    COMMAND_MAX.as_millis() + DRAIN_TIMEOUT.as_millis() <= ATTEMPT_MAX.as_millis(),
    "an attempt ends within its limit"
);
/// The `PATH` of the command if ours is not set.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The timeout if none is configured.
const COMMAND_USUAL: Duration = Duration::from_secs(15);
/// The word for this kind in the configuration.
pub(super) const KIND: &str = "exec";

/// The command of an exec sink and its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecSettings {
    /// The program, as an absolute path.
    pub program: String,
    pub arguments: Vec<String>,
    /// The time limit of one run, at most [`COMMAND_MAX`].
    pub timeout: Duration,
    /// The number of runs at once.
    pub concurrency: usize,
}

/// Runs a command for each event.
pub struct Exec {
    settings: ExecSettings,
    path: OsString,
}

#[async_trait]
impl ConfiguredSink for ExecSettings {
    /// Returns the program without its arguments, which may contain a secret.
    fn target(&self) -> String {
        self.program.clone()
    }

    fn set_up(&self, _log: &LogOutput) -> Result<SharedSink, String> {
        Ok(Arc::new(Exec::new(self.clone())))
    }
}

/// Reads the settings of a command.
pub(super) fn read(section: &Reader<'_>) -> Option<Box<dyn ConfiguredSink>> {
    let command = section.command("command");
    if !section.has("command") {
        section.report("command", "is missing and has no default");
    }
    let timeout = section.duration("timeout", Duration::from_millis(1));
    if timeout.is_some_and(|timeout| timeout > COMMAND_MAX) {
        section.report("timeout", "must be at most 45s");
    }
    let concurrency = section.whole("concurrency", 1..=64);
    let Some((program, arguments)) = command.split_first() else {
        if section.has("command") && !section.has_error("command") {
            section.report("command", "must name a program");
        }
        return None;
    };
    if let Err(message) = runnable(Path::new(program)) {
        section.report("command", message);
    }
    Some(Box::new(ExecSettings {
        program: program.clone(),
        arguments: arguments.to_vec(),
        timeout: timeout.unwrap_or(COMMAND_USUAL),
        concurrency: concurrency.unwrap_or(1) as usize,
    }))
}

fn runnable(program: &Path) -> Result<(), String> {
    let shown = program.display();
    if !program.is_absolute() {
        return Err(format!(
            "the program {shown} must be an absolute path, because no shell searches for it"
        ));
    }
    let file =
        std::fs::metadata(program).map_err(|error| format!("cannot run {shown}: {error}"))?;
    if !file.is_file() || file.permissions().mode() & 0o111 == 0 {
        return Err(format!(
            "{shown} is not an executable file (`chmod +x` makes it one)"
        ));
    }
    if file.permissions().mode() & 0o002 != 0 {
        return Err(format!(
            "everybody can change {shown}; `chmod o-w` it before it is run"
        ));
    }
    Ok(())
}

/// Kills a process group unless its leader has ended by itself.
struct Group(Option<Pid>);

impl Exec {
    /// Makes a sink that runs this command.
    pub fn new(settings: ExecSettings) -> Self {
        Self {
            settings,
            path: std::env::var_os("PATH").unwrap_or_else(|| PATH.into()),
        }
    }

    fn start(&self, delivery: &Delivery) -> std::io::Result<Child> {
        Command::new(&self.settings.program)
            .args(&self.settings.arguments)
            .env_clear()
            .env("PATH", &self.path)
            .env("JOBWATCH_EVENT_ID", delivery.event_id.to_string())
            .env("JOBWATCH_EVENT_TYPE", &delivery.type_name)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }

    async fn run(&self, delivery: &Delivery) -> Attempt {
        let mut child = match self.start(delivery) {
            Ok(child) => child,
            Err(error) => {
                return failed(
                    format!("cannot run {}: {error}", self.settings.program),
                    None,
                );
            }
        };
        let mut group = Group::of(&child);
        let (input, output, errors) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (mut output_kept, mut errors_kept) = (Vec::new(), Vec::new());
        let ended = {
            let exchange = async {
                tokio::join!(
                    feed(input, delivery.body.as_bytes()),
                    keep(output, &mut output_kept),
                    keep(errors, &mut errors_kept)
                );
            };
            tokio::pin!(exchange);
            let whole = async {
                tokio::select! {
                    // The command has ended even if another process still holds its pipes.
                    ended = child.wait() => (ended, false),
                    () = &mut exchange => (child.wait().await, true),
                }
            };
            match tokio::time::timeout(self.settings.timeout, whole).await {
                Ok((ended, is_read)) => {
                    group.0 = None;
                    if !is_read {
                        // After a timeout, the output read so far is kept.
                        let _ = tokio::time::timeout(DRAIN_TIMEOUT, &mut exchange).await;
                    }
                    Some(ended)
                }
                Err(_) => None,
            }
        };
        drop(group);
        let answer = [output_kept, b" ".to_vec(), errors_kept].concat();
        let answer = answer::beginning(&answer, &Redaction::default());
        match ended {
            Some(Ok(status)) if status.success() => Attempt {
                answer,
                ..Attempt::of(AttemptResult::Delivered)
            },
            Some(Ok(status)) => failed(in_words(&self.settings.program, status), answer),
            Some(Err(error)) => failed(
                format!("cannot wait for {}: {error}", self.settings.program),
                answer,
            ),
            None => failed(
                format!(
                    "{} took longer than {} and was killed",
                    self.settings.program,
                    crate::clock::show_duration(self.settings.timeout)
                ),
                answer,
            ),
        }
    }
}

#[async_trait]
impl Sink for Exec {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn concurrency(&self) -> usize {
        self.settings.concurrency
    }

    async fn deliver(&self, delivery: &Delivery, _now: Timestamp) -> Attempt {
        self.run(delivery).await
    }
}

impl Group {
    /// Returns the process group that `child` leads.
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // An error means that it has just ended.
            let _ = rustix::process::kill_process_group(leader, Signal::KILL);
        }
    }
}

fn failed(reason: String, answer: Option<String>) -> Attempt {
    let result = AttemptResult::Failed {
        reason,
        retry_after: None,
    };
    Attempt {
        answer,
        ..Attempt::of(result)
    }
}

fn in_words(program: &str, status: ExitStatus) -> String {
    // "exit status: 3", "signal: 9 (SIGKILL)"
    format!("{program} ended with {status}")
}

/// Writes the event; errors are ignored, because a command need not read its input.
async fn feed(input: Option<ChildStdin>, event: &[u8]) {
    if let Some(mut input) = input {
        let _ = input.write_all(event).await;
        let _ = input.write_all(b"\n").await;
        let _ = input.shutdown().await;
    }
}

/// Reads to the end, so that the command never blocks on a full pipe; keeps the beginning.
async fn keep(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut chunk = [0; 4096];
    while let Ok(read) = stream.read(&mut chunk).await
        && read > 0
    {
        let room = ANSWER_BYTES_MAX.saturating_sub(kept.len()).min(read);
        kept.extend_from_slice(&chunk[..room]);
    }
}
