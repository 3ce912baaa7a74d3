//! The log: its format, its filter and its output.
//!
//! Lines go to standard output, which a service manager or container runtime collects;
//! the log is all that `jobwatch run` prints. Levels: `error` means that a person should look,
//! `warn` that something is unusual, `info` reports what happened, `debug` each poll.
//!
//! A thread of its own writes the lines ([`LineWriter`]), so that no log call panics or
//! blocks. The lines of the log sink take the same way and the same format, but the filter
//! does not apply to them, and the sink learns whether each was written.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use tracing::Dispatch;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::line_writer::LineWriter;

/// How long the end of the process waits for the last lines to be written.
const FLUSH_MAX: Duration = Duration::from_secs(1);
/// How long a line of the log sink may take to be written.
const WRITE_MAX: Duration = Duration::from_secs(3);
/// The lines that no filter applies to: events, and the report of lost lines.
const ALWAYS: &str = "jobwatch::event=info,jobwatch::telemetry=warn";

/// The settings of the section `[log]`.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// The format of a line.
    pub format: LogFormat,
    /// The filter, in the syntax of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

/// The format of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, otherwise JSON.
    Auto,
    /// One line of text, with colours on a terminal.
    Human,
    /// One JSON object in each line.
    Json,
}

/// The way to the log for lines that must not be lost unnoticed. Clones share one output.
#[derive(Debug, Clone, Default)]
pub struct LogOutput(Option<Started>);

#[derive(Debug, Clone)]
struct Started {
    lines: LineWriter,
    /// Formats a line that is not subject to the filter.
    always: Dispatch,
}

/// Starts logging to standard output for the whole process.
///
/// # Errors
/// The filter is invalid, standard output cannot be used, or logging was started before.
pub fn start(settings: &LogSettings) -> anyhow::Result<LogOutput> {
    let filter = EnvFilter::try_new(&settings.filter)?;
    let stdout = io::stdout();
    let layout = Layout::of(settings.format, stdout.is_terminal());
    // Not through the lock of `io::stdout`: the thread may hold it for ever.
    let stream = Descriptor(File::from(stdout.as_fd().try_clone_to_owned()?));
    let started = Started::on(stream, layout)?;
    let lines = started.lines.clone();
    let dispatch = layout.dispatch(filter, move || QueuedLine(lines.clone()));
    tracing::dispatcher::set_global_default(dispatch)
        .map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))?;
    // The standard hook writes to standard error, where a reader that takes nothing would
    // block the task that panics.
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
        tracing::error!(%panic, backtrace = backtrace.map(tracing::field::display), "a task panicked");
    }));
    Ok(LogOutput(Some(started)))
}

/// Prints a last error to standard error; a reader that takes nothing delays the end of the
/// process by a second and no more.
pub fn print_last_error(line: &str) {
    let Ok(stderr) = io::stderr().as_fd().try_clone_to_owned() else {
        return;
    };
    if let Ok(lines) = LineWriter::start(Descriptor(File::from(stderr)), |_| Vec::new()) {
        lines.queue(format!("{line}\n").into_bytes());
        lines.flush(FLUSH_MAX);
    }
}

impl LogOutput {
    /// An output that takes every line and shows none, for a program that does not log.
    pub fn discard() -> Self {
        Self::default()
    }

    /// An output to `stream`. No subscriber is installed: only [`LogOutput::write`] reaches it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn to(format: LogFormat, stream: impl Write + Send + 'static) -> io::Result<Self> {
        let started = Started::on(stream, Layout::of(format, false))?;
        Ok(Self(Some(started)))
    }

    /// Formats the one event that `emit` makes as a line of the log, and waits until it is
    /// written. The event's target must be `jobwatch::event`, which no filter applies to.
    ///
    /// # Errors
    /// The line could not be written in time.
    pub async fn write(&self, emit: impl FnOnce()) -> io::Result<()> {
        let Some(Started { lines, always }) = &self.0 else {
            return Ok(());
        };
        let line = format(always, emit);
        lines.write_acknowledged(line, WRITE_MAX).await
    }

    /// Blocks until the lines so far are written, at most a second: for the end of the process.
    pub fn flush(&self) {
        if let Some(started) = &self.0 {
            started.lines.flush(FLUSH_MAX);
        }
    }
}

impl Started {
    fn on(stream: impl Write + Send + 'static, layout: Layout) -> io::Result<Self> {
        let always = layout.dispatch(EnvFilter::new(ALWAYS), || FormattedLine);
        let for_report = always.clone();
        let report = move |lost| {
            format(&for_report, || {
                tracing::warn!(
                    lines = lost,
                    "lines of the log were lost, because they could not be written"
                );
            })
        };
        let lines = LineWriter::start(stream, report)?;
        Ok(Self { lines, always })
    }
}

/// The format of lines once it is known where they go.
#[derive(Debug, Clone, Copy)]
enum Layout {
    Human { has_colours: bool },
    Json,
}

impl Layout {
    fn of(format: LogFormat, is_terminal: bool) -> Self {
        match format {
            LogFormat::Auto if !is_terminal => Self::Json,
            LogFormat::Json => Self::Json,
            LogFormat::Auto | LogFormat::Human => Self::Human {
                has_colours: is_terminal,
            },
        }
    }

    fn dispatch<W>(self, filter: EnvFilter, writer: W) -> Dispatch
    where
        W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    {
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(writer)
            // They would go to standard error by a macro that panics when that is closed.
            .log_internal_errors(false);
        match self {
            Self::Human { has_colours } => {
                let builder = builder.with_ansi(has_colours).with_target(false);
                builder.finish().into()
            }
            Self::Json => {
                let builder = builder.json().flatten_event(true).with_span_list(false);
                builder.finish().into()
            }
        }
    }
}

/// Formats the event that `emit` makes.
fn format(dispatch: &Dispatch, emit: impl FnOnce()) -> Vec<u8> {
    tracing::dispatcher::with_default(dispatch, emit);
    FORMATTED.take()
}

thread_local! {
    /// The line that [`format`] has formatted on this thread.
    static FORMATTED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Appends to the line that [`format()`] returns.
struct FormattedLine;

impl Write for FormattedLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        FORMATTED.with_borrow_mut(|line| line.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Queues each write as one line: the subscriber writes a whole line at a time.
struct QueuedLine(LineWriter);

impl Write for QueuedLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.queue(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An open file that may have been made non-blocking by another process that shares it.
struct Descriptor(File);

impl Write for Descriptor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None)?;
                }
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, PipeReader};

    use super::*;

    fn piped(format: LogFormat) -> (BufReader<PipeReader>, LogOutput) {
        let (reader, stream) = io::pipe().unwrap();
        let output = LogOutput::to(format, stream).unwrap();
        (BufReader::new(reader), output)
    }

    fn line(reader: &mut impl BufRead) -> String {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line
    }

    #[tokio::test]
    async fn events_pass_any_filter_of_the_thread() {
        let (mut reader, output) = piped(LogFormat::Json);
        let silent = Layout::Json.dispatch(EnvFilter::new("off"), io::sink);
        let _guard = tracing::dispatcher::set_default(&silent);
        let emit = || tracing::info!(target: "jobwatch::event", job_id = "j", "said");
        output.write(emit).await.unwrap();
        let line: serde_json::Value = serde_json::from_str(&line(&mut reader)).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["target"], "jobwatch::event");
        assert_eq!(line["message"], "said");
        assert_eq!(line["job_id"], "j");
    }

    #[tokio::test]
    async fn a_human_line_has_no_target_and_no_colours_in_a_pipe() {
        let (mut reader, output) = piped(LogFormat::Human);
        let emit = || tracing::warn!(target: "jobwatch::event", job_id = "j", "said");
        output.write(emit).await.unwrap();
        let line = line(&mut reader);
        assert!(line.ends_with("  WARN said job_id=\"j\"\n"), "{line:?}");
    }

    #[tokio::test]
    async fn a_closed_output_is_an_error() {
        let (reader, output) = piped(LogFormat::Json);
        drop(reader);
        let emit = || tracing::warn!(target: "jobwatch::event", "said");
        assert!(output.write(emit).await.is_err());
        assert!(LogOutput::discard().write(emit).await.is_ok());
    }
}
