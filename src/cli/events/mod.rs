//! `jobwatch events`: prints events as the daemon records them.
//!
//! A stream that breaks off is opened again at the position of the last event that was printed,
//! so a restart of the daemon neither repeats an event nor leaves one out.

mod line;
mod sse;

use std::io::{ErrorKind, Write};
use std::time::Duration;

use clap::Args;
use http::{HeaderName, HeaderValue};

use crate::cli::client::{Call, CallError, Client, DaemonArgs};
use crate::cli::complaint::note;
use crate::cli::events::line::line;
use crate::cli::events::sse::{Message, Reader};
use crate::cli::exit::Exit;
use crate::cli::filter::exact;
use crate::cli::outage::Outage;
use crate::cli::output::complain;
use crate::cli::paint::Paint;
use crate::cli::pair::pair;
use crate::cli::signals::{Sign, Signals};
use crate::cli::terminal;
use crate::clock::{SharedClock, SystemClock};

/// The daemon sends a heartbeat each 15 s; a stream that is silent for longer is dead.
const SILENCE_MAX: Duration = Duration::from_secs(40);
/// How long the head of a stream may take.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// How long a daemon that does not answer may take to start.
const START_MAX: Duration = Duration::from_millis(1500);
/// The position before the first event.
const BEGINNING: &str = "0";

const HELP: &str = "\
Examples:
  jobwatch events --follow --type finished      each end of a job, as it happens
  jobwatch events --watch 0199c0de --since-start
  jobwatch events --json --after POSITION       the CloudEvents after a position

TYPE is a type such as dev.jobwatch.job.failed, or finished or changed.";

/// Prints events: those that are there, or with --follow each as it happens.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Events {
    /// Go on, and print each event as it happens
    #[arg(long, short)]
    follow: bool,
    /// Only events of this type; may be repeated
    #[arg(long = "type", value_name = "TYPE", value_parser = exact)]
    types: Vec<String>,
    /// Only events about jobs of this service
    #[arg(long, value_parser = exact)]
    service: Option<String>,
    /// Only events of watches with this label; may be repeated, and then all must be there
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// Only events of this watch
    #[arg(long, value_name = "REF", value_parser = exact)]
    watch: Option<String>,
    /// Only events of this group
    #[arg(long, value_name = "NAME", value_parser = exact)]
    group: Option<String>,
    /// Begin after this position in the log of events: `as_of` of a list, or the position that
    /// this command prints when it is interrupted
    #[arg(long, value_name = "POSITION", value_parser = exact)]
    after: Option<String>,
    /// Begin with the oldest event that is kept; without --follow this is the default
    #[arg(long, conflicts_with = "after")]
    since_start: bool,
    /// Print the events as JSON, one on each line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

/// The stream of events, over all its connections.
struct Following<'a> {
    client: &'a Client,
    clock: SharedClock,
    /// The filters of the query.
    terms: Vec<(&'static str, String)>,
    /// The position after the last event that was printed.
    position: Option<String>,
    /// The position at which the command ends.
    end: Option<String>,
    is_json: bool,
    paint: Paint,
}

/// The reason why a connection ended.
enum Broken {
    /// It broke off, or the daemon has closed it.
    Lost(Option<CallError>),
    /// The reader of standard output has gone away, or cannot take more.
    Output(std::io::Error),
    /// Every event up to the end was printed.
    Complete,
}

impl Events {
    pub(super) async fn execute(self) -> Exit {
        match self.print().await {
            Ok(exit) | Err(exit) => exit,
        }
    }

    async fn print(&self) -> Result<Exit, Exit> {
        let client = self.daemon.client()?;
        let mut signals = Signals::listen().map_err(|error| {
            complain(&format!("cannot listen for signals: {error}"));
            Exit::Failed
        })?;
        let beginning = BEGINNING.to_owned();
        let from_start = self.since_start || !self.follow;
        let position = self.after.clone().or(from_start.then_some(beginning));
        let mut following = Following {
            client: &client,
            clock: SystemClock::shared(),
            terms: self.terms(),
            position,
            end: None,
            is_json: self.json,
            paint: Paint::for_stdout(),
        };
        loop {
            tokio::select! {
                ended = following.run(!self.follow) => return ended,
                sign = signals.next() => if sign == Sign::End { break },
            }
        }
        if let Some(position) = &following.position {
            note(&format!("`--after {position}` goes on from here"));
        }
        Ok(Exit::Interrupted)
    }

    fn terms(&self) -> Vec<(&'static str, String)> {
        let single = [
            ("service", &self.service),
            ("watch", &self.watch),
            ("group", &self.group),
        ];
        let single = single.into_iter();
        let single = single.filter_map(|(name, value)| Some((name, value.clone()?)));
        let types = self.types.iter().map(|it| ("type", it.clone()));
        let labels = self.labels.iter();
        let labels = labels.map(|(name, value)| ("label", format!("{name}={value}")));
        single.chain(types).chain(labels).collect()
    }
}

impl Following<'_> {
    /// Prints events; with `ends`, only those that are there now.
    async fn run(&mut self, ends: bool) -> Result<Exit, Exit> {
        let mut outage = Outage::none();
        let mut is_started = false;
        loop {
            let broken = self.connect(ends, &mut outage, &mut is_started).await;
            let error = match broken {
                Broken::Complete => return Ok(Exit::Done),
                Broken::Output(error) => return Ok(output_failed(&error)),
                Broken::Lost(error) => error,
            };
            let uptime = self.clock.uptime();
            let pause = outage.failed(uptime, error.as_ref().and_then(CallError::retry_after));
            if let Some(error) = error {
                let is_late = !is_started && outage.lasts(uptime) > START_MAX;
                if is_late || !error.is_transient() {
                    return Err(error.complain());
                }
                if is_started && outage.is_noteworthy(uptime) {
                    note(&format!("{error}; the events go on once it answers"));
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Opens one connection, and prints its events until it breaks.
    async fn connect(&mut self, ends: bool, outage: &mut Outage, is_started: &mut bool) -> Broken {
        if ends && self.end.is_none() {
            match self.present().await {
                Ok(end) => self.end = Some(end),
                Err(error) => return Broken::Lost(Some(error)),
            }
        }
        let call = self.call(self.position.as_deref());
        let mut stream = match self.client.stream(call).await {
            Ok(stream) => stream,
            Err(error) => return Broken::Lost(Some(error)),
        };
        *is_started = true;
        let mut reader = Reader::default();
        loop {
            let part = match stream.next(SILENCE_MAX).await {
                Ok(Some(part)) => part,
                Ok(None) => return Broken::Lost(None),
                Err(error) => return Broken::Lost(Some(error)),
            };
            outage.end();
            let Ok(messages) = reader.take(&part) else {
                return Broken::Lost(None);
            };
            for message in messages {
                if let Some(broken) = self.took(message) {
                    return broken;
                }
            }
        }
    }

    /// Prints the event of a message, and then keeps its position.
    fn took(&mut self, message: Message) -> Option<Broken> {
        if let Some(data) = &message.data
            && let Err(error) = self.print(data)
        {
            return Some(Broken::Output(error));
        }
        if message.id.is_some() {
            self.position = message.id;
        }
        let end = self.end.as_ref()?;
        let is_complete = self.position.as_ref().is_some_and(|at| is_at(at, end));
        is_complete.then_some(Broken::Complete)
    }

    fn print(&self, data: &str) -> std::io::Result<()> {
        let columns = terminal::size().map(|size| size.columns);
        let text = if self.is_json {
            data.to_owned()
        } else {
            line(data, columns, self.paint)
        };
        writeln!(std::io::stdout().lock(), "{text}")
    }

    /// Asks for the position after the last event: a stream without a position begins with it.
    async fn present(&self) -> Result<String, CallError> {
        let mut stream = self.client.stream(self.call(None)).await?;
        let mut reader = Reader::default();
        while let Some(part) = stream.next(HEAD_MAX).await? {
            let messages = reader.take(&part).unwrap_or_default();
            if let Some(position) = messages.into_iter().find_map(|message| message.id) {
                return Ok(position);
            }
        }
        Ok(BEGINNING.to_owned())
    }

    fn call(&self, position: Option<&str>) -> Call {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.terms);
        let path = format!("/v1/events?{}", query.finish());
        let call = Call::get(path).accept("text/event-stream").within(HEAD_MAX);
        match position.map(HeaderValue::from_str) {
            Some(Ok(position)) => call.header(HeaderName::from_static("last-event-id"), position),
            _ => call,
        }
    }
}

/// True if `position` is at `end` or behind it. Positions are numbers; any other is only compared.
fn is_at(position: &str, end: &str) -> bool {
    match (position.parse::<u64>(), end.parse::<u64>()) {
        (Ok(position), Ok(end)) => position >= end,
        _ => position == end,
    }
}

fn output_failed(error: &std::io::Error) -> Exit {
    if error.kind() == ErrorKind::BrokenPipe {
        return Exit::Done;
    }
    complain(&format!("cannot write to standard output: {error}"));
    Exit::Failed
}
