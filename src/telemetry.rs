//! The log: its format, its filter and its output.
//!
//! Lines go to standard output, which a service manager or container runtime collects;
//! the log is all that `jobwatch run` prints. Levels: `error` means that a person should look,
//! `warn` that something is unusual, `info` reports what happened, `debug` each poll.
//!
//! A thread of its own writes the lines ([`LineWriter`]), so that no log call panics or
//! blocks. The lines of the log sink ([`EventLine`]) take the same way and have the same format,
//! but the filter does not apply to them, and the sink learns whether each was written.

mod event_line;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use jiff::tz::TimeZone;
use rustix::event::{PollFd, PollFlags, poll};
use tracing::Dispatch;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::clock::{SharedClock, SystemClock};
use crate::line_writer::LineWriter;
use crate::telemetry::event_line::HumanForm;

pub use crate::telemetry::event_line::EventLine;

/// How long the end of the process waits for the last lines to be written.
const FLUSH_MAX: Duration = Duration::from_secs(1);
/// The most bytes of the lines that are written, and acknowledged, together. It is half of a
/// usual pipe, so that a slow reader still takes one in time.
const CHUNK_BYTES: usize = 32 * 1024;
/// How long a chunk of lines of the log sink may take to be written, and how long all of them.
const WRITE_MAX: Duration = Duration::from_secs(3);
const WRITES_MAX: Duration = Duration::from_secs(30);
/// The lines of the program that no filter applies to: the report of lost lines.
const ALWAYS: &str = "jobwatch::telemetry=warn";

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

/// The error of lines that were not written.
#[derive(Debug)]
pub struct Unwritten {
    /// The number of the lines before them, which were written.
    pub written: usize,
    /// The cause, for the next line and all after it.
    pub error: io::Error,
}

#[derive(Clone)]
struct Started {
    lines: LineWriter,
    layout: Arc<Layout>,
    clock: SharedClock,
}

/// Starts logging to standard output for the whole process; lines for people may have colours.
///
/// # Errors
/// The filter is invalid, standard output cannot be used, or logging was started before.
pub fn start(settings: &LogSettings, has_colours: bool) -> anyhow::Result<LogOutput> {
    let filter = EnvFilter::try_new(&settings.filter)?;
    let stdout = io::stdout();
    let layout = Layout::of(settings.format, stdout.is_terminal(), has_colours);
    // Not through the lock of `io::stdout`: the thread may hold it for ever.
    let stream = Descriptor(File::from(stdout.as_fd().try_clone_to_owned()?));
    let started = Started::on(stream, layout)?;
    let lines = started.lines.clone();
    let dispatch = started.dispatch(filter, move || QueuedLine(lines.clone()));
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
        let started = Started::on(stream, Layout::of(format, false, false))?;
        Ok(Self(Some(started)))
    }

    /// Writes the lines of events in their order, and waits until they are written. No filter
    /// applies to them.
    ///
    /// # Errors
    /// Some lines were not written in time; the error says how many were.
    pub async fn write(&self, events: &[EventLine]) -> Result<(), Unwritten> {
        let Some(started) = &self.0 else {
            return Ok(());
        };
        let mut written = 0;
        let writing = started.write(events, &mut written);
        let result = tokio::time::timeout(WRITES_MAX, writing).await;
        let result = result.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        result.map_err(|error| Unwritten { written, error })
    }

    /// Blocks until the lines so far are written, at most a second: for the end of the process.
    pub fn flush(&self) {
        if let Some(started) = &self.0 {
            started.lines.flush(FLUSH_MAX);
        }
    }
}

impl fmt::Debug for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started")
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

impl Started {
    fn on(stream: impl Write + Send + 'static, layout: Layout) -> io::Result<Self> {
        let (layout, clock) = (Arc::new(layout), SystemClock::shared());
        let always = dispatch(&layout, &clock, EnvFilter::new(ALWAYS), || FormattedLine);
        let report = move |lost| {
            format(&always, || {
                tracing::warn!(
                    lines = lost,
                    "lines of the log were lost, because they could not be written"
                );
            })
        };
        let lines = LineWriter::start(stream, report)?;
        Ok(Self {
            lines,
            layout,
            clock,
        })
    }

    /// Writes lines chunk by chunk, and counts those that are `written`.
    async fn write(&self, events: &[EventLine], written: &mut usize) -> io::Result<()> {
        let now = self.clock.now();
        let (mut chunk, mut lines) = (Vec::new(), 0);
        for (at, event) in events.iter().enumerate() {
            chunk.extend(match self.layout.as_ref() {
                Layout::Human(form) => form.line(event, now),
                Layout::Json => event.as_json(now),
            });
            lines += 1;
            if chunk.len() >= CHUNK_BYTES || at + 1 == events.len() {
                let text = std::mem::take(&mut chunk);
                self.lines.write_acknowledged(text, WRITE_MAX).await?;
                *written += std::mem::take(&mut lines);
            }
        }
        Ok(())
    }

    fn dispatch<W>(&self, filter: EnvFilter, writer: W) -> Dispatch
    where
        W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    {
        dispatch(&self.layout, &self.clock, filter, writer)
    }
}

/// The format of lines once it is known where they go.
#[derive(Debug)]
enum Layout {
    Human(HumanForm),
    Json,
}

impl Layout {
    fn of(format: LogFormat, is_terminal: bool, has_colours: bool) -> Self {
        match format {
            LogFormat::Auto if !is_terminal => Self::Json,
            LogFormat::Json => Self::Json,
            LogFormat::Auto | LogFormat::Human => Self::Human(HumanForm {
                has_colours,
                zone: is_terminal.then(TimeZone::system),
            }),
        }
    }
}

/// Writes the time of a line for people.
struct HumanTime {
    layout: Arc<Layout>,
    clock: SharedClock,
}

impl FormatTime for HumanTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        match self.layout.as_ref() {
            Layout::Human(form) => writer.write_str(&form.time(self.clock.now())),
            Layout::Json => Ok(()),
        }
    }
}

/// Makes the subscriber that formats the lines of the program.
fn dispatch<W>(layout: &Arc<Layout>, clock: &SharedClock, filter: EnvFilter, writer: W) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        // They would go to standard error by a macro that panics when that is closed.
        .log_internal_errors(false);
    match layout.as_ref() {
        Layout::Human(form) => builder
            .with_ansi(form.has_colours)
            .with_target(false)
            .with_timer(HumanTime {
                layout: Arc::clone(layout),
                clock: Arc::clone(clock),
            })
            .finish()
            .into(),
        Layout::Json => builder
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .finish()
            .into(),
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

    fn event() -> EventLine {
        EventLine {
            level: tracing::Level::WARN,
            message: "failed: dcs job j".to_owned(),
            fields: vec![("job_id", "j".into())],
            about: "dcs".to_owned(),
            name: "j".to_owned(),
            word: "failed",
            colour: None,
            rest: String::new(),
        }
    }

    #[tokio::test]
    async fn an_event_has_the_form_of_all_lines() {
        let (mut reader, output) = piped(LogFormat::Json);
        output.write(&[event()]).await.unwrap();
        let event: serde_json::Value = serde_json::from_str(&line(&mut reader)).unwrap();
        let started = output.0.as_ref().unwrap();
        let other = started.dispatch(EnvFilter::new("info"), || FormattedLine);
        let other = format(&other, || tracing::info!(job_id = "j", "said"));
        let other: serde_json::Value = serde_json::from_slice(&other).unwrap();
        let names = |line: &serde_json::Value| -> Vec<String> {
            line.as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(names(&event), names(&other));
        let length = |line: &serde_json::Value| line["timestamp"].as_str().unwrap().len();
        assert_eq!(length(&event), length(&other));
        assert_eq!(event["level"], "WARN");
        assert_eq!(event["target"], "jobwatch::event");
        assert_eq!(event["message"], "failed: dcs job j");
    }

    #[tokio::test]
    async fn a_human_line_has_no_target_and_no_colours_in_a_pipe() {
        let (mut reader, output) = piped(LogFormat::Human);
        output.write(&[event()]).await.unwrap();
        let text = line(&mut reader);
        assert!(text.ends_with("Z dcs/j failed\n"), "{text:?}");
        let started = output.0.as_ref().unwrap();
        let other = started.dispatch(EnvFilter::new("info"), || FormattedLine);
        let other = format(&other, || tracing::warn!(job_id = "j", "said"));
        let other = String::from_utf8(other).unwrap();
        assert!(other.ends_with("Z  WARN said job_id=\"j\"\n"), "{other:?}");
    }

    #[tokio::test]
    async fn a_closed_output_is_an_error() {
        let (reader, output) = piped(LogFormat::Json);
        drop(reader);
        assert!(output.write(&[event()]).await.is_err());
        assert!(LogOutput::discard().write(&[event()]).await.is_ok());
    }
}
