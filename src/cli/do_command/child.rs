//! Runs the command of `do`, and keeps a bounded copy of its output.

use std::io::{ErrorKind, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal as Number, kill_process};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::signals::Signals;

/// The bytes of the output that are kept: its beginning.
pub(super) const KEPT_MAX: usize = 1024 * 1024;
/// A process in the background may keep the output open after the command.
const LINGER: Duration = Duration::from_secs(2);
const PART: usize = 16 * 1024;
/// The exit codes of shells for a command that is not found, or cannot be run.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;
/// Added to the number of the signal that ended a command, as shells do.
const BY_SIGNAL: i32 = 128;

/// The end of the command.
pub(super) enum Ran {
    /// With the beginning of its output.
    Succeeded(Vec<u8>),
    /// It succeeded, and then a signal came while its output was still open.
    Interrupted(Vec<u8>),
    /// With the exit code that a shell would give.
    Failed(u8),
    NotStarted {
        reason: String,
        code: u8,
    },
}

/// Runs the command. It has our standard input and standard error; its output is passed on as it
/// comes. Signals of the terminal reach it by themselves; SIGTERM and SIGHUP are passed on. Of
/// `signals`, those that come before its end are for the command alone.
pub(super) async fn run(command: &[String], signals: &mut Signals) -> Ran {
    let program = command.first().map_or("", String::as_str);
    let not_started = |error: &std::io::Error| Ran::NotStarted {
        reason: format!("cannot run {program}: {error}"),
        code: if error.kind() == ErrorKind::NotFound {
            NOT_FOUND
        } else {
            NOT_RUN
        },
    };
    let passed_on = match PassedOn::listen() {
        Ok(passed_on) => passed_on,
        Err(error) => return not_started(&error),
    };
    let spawned = Command::new(program)
        .args(command.iter().skip(1))
        .stdout(Stdio::piped())
        .spawn();
    let child = match spawned {
        Ok(child) => child,
        Err(error) => return not_started(&error),
    };
    follow(child, passed_on, signals).await
}

/// The signals while the command runs.
struct PassedOn {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl PassedOn {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Returns the signal that the command does not get by itself.
    async fn next_for_command(&mut self) -> Number {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => return Number::TERM,
                _ = self.hangup.recv() => return Number::HUP,
            }
        }
    }
}

async fn follow(mut child: Child, mut passed_on: PassedOn, signals: &mut Signals) -> Ran {
    let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    let mut output = Output {
        stdout: child.stdout.take().expect("it is a pipe"),
        kept: Vec::new(),
        part: vec![0; PART],
        is_open: true,
        has_reader: true,
    };
    let status = loop {
        tokio::select! {
            // In this order, so that no signal from before the end counts after it.
            biased;
            number = passed_on.next_for_command() => {
                // A command that has just ended needs no signal.
                let _ = pid.map(|pid| kill_process(pid, number));
            }
            _ = signals.next() => {}
            status = child.wait() => break status,
            () = output.pass_on(), if output.is_open => {}
        }
    };
    let is_interrupted = tokio::select! {
        biased;
        () = output.pass_on_rest() => false,
        () = signals.end() => true,
    };
    match status.map(code) {
        Ok(0) if is_interrupted => Ran::Interrupted(output.kept),
        Ok(0) => Ran::Succeeded(output.kept),
        Ok(code) => Ran::Failed(code),
        Err(error) => Ran::NotStarted {
            reason: format!("cannot wait for the command: {error}"),
            code: NOT_RUN,
        },
    }
}

/// Returns the exit code that a shell would give.
fn code(status: ExitStatus) -> u8 {
    let by_signal = || BY_SIGNAL + status.signal().unwrap_or_default();
    let code = status.code().unwrap_or_else(by_signal);
    u8::try_from(code).unwrap_or(u8::MAX)
}

struct Output {
    stdout: ChildStdout,
    kept: Vec<u8>,
    /// The part that is read last.
    part: Vec<u8>,
    is_open: bool,
    /// False once our own standard output is closed; the command need not notice.
    has_reader: bool,
}

impl Output {
    /// Passes on the parts that still come after the command has ended.
    async fn pass_on_rest(&mut self) {
        while self.is_open {
            let rest = tokio::time::timeout(LINGER, self.pass_on());
            self.is_open &= rest.await.is_ok();
        }
    }

    /// Passes on the next part.
    async fn pass_on(&mut self) {
        let count = self.stdout.read(&mut self.part).await.unwrap_or_default();
        let part = &self.part[..count];
        self.is_open = count > 0;
        let room = KEPT_MAX.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&part[..count.min(room)]);
        if self.has_reader {
            // Blocks as the command itself would, whose output this is.
            let mut stdout = std::io::stdout().lock();
            let written = stdout.write_all(part).and_then(|()| stdout.flush());
            self.has_reader = written.is_ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_the_code_that_a_shell_gives() {
        assert_eq!(code(ExitStatus::from_raw(0)), 0);
        assert_eq!(code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(code(ExitStatus::from_raw(2)), 130);
        assert_eq!(code(ExitStatus::from_raw(9)), 137);
    }
}
