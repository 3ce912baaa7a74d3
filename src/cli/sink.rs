//! `jobwatch sink`: lists the sinks, or sends a sample event to one.

use clap::{Args, Subcommand};
use http::Method;
use jiff::Timestamp;
use rand::Rng;
use serde::Serialize;

use crate::api::delivery_view::SinksView;
use crate::cli::client::DaemonArgs;
use crate::cli::output::{Paint, Table, complain, or_dash, plain, say, say_json};
use crate::cli::table::Column;
use crate::cli::{ConfigArgs, Exit};
use crate::clock::{SystemClock, later};
use crate::settings::{Settings, build};
use crate::sink::{Attempt, AttemptResult};
use crate::telemetry::LogOutput;
use crate::watch::blindness::BlindReport;
use crate::watch::delivery::{Delivery, Target};
use crate::watch::event::{Event, EventKind, Instance};
use crate::watch::group::GroupEnd;
use crate::watch::observation::{Job, JobState, ProblemKind, ProblemNote};
use crate::watch::subscription::CALLBACK;
use crate::watch::{Outcome, Severity, State, Watch, WatchId};
use crate::{clock, suggest, telemetry};

/// The job id of a sample event, so that receivers can distinguish it from a real one.
const SAMPLE_JOB: &str = "jobwatch-sink-test";

/// Lists the sinks, or sends a sample event to one.
#[derive(Args)]
pub(super) struct Sink {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the sinks of the daemon with their pending deliveries and dead letters
    List(List),
    /// Send one signed sample event to a sink, and show its answer
    Test(Test),
}

/// Lists the sinks of the daemon, with the number of their deliveries.
#[derive(Args)]
struct List {
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

const TEST_HELP: &str = "\
This command itself composes, signs and sends the event, with the configuration of the sink. It
needs no daemon and stores nothing. The event has the job_id `jobwatch-sink-test` and the label
`test=true`. The filters of the sink do not apply.

  jobwatch sink test ops --config jobwatch.toml
  jobwatch sink test ops --event job.failed
  jobwatch sink test callback --callback-url https://hooks.example.com/deploys/42

Exit codes: 0 the sink accepted the event, 1 it did not, 2 wrong usage or configuration.";

/// Sends one signed sample event to a sink.
#[derive(Args)]
#[command(after_help = TEST_HELP)]
struct Test {
    /// The name of the sink
    name: String,
    /// The type of the event, with or without `dev.jobwatch.`
    #[arg(long, default_value = "job.succeeded", value_name = "TYPE")]
    event: String,
    /// The URL to send to; only for the sink `callback`
    #[arg(long, value_name = "URL")]
    callback_url: Option<String>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// The result of sending the sample. The fields are a contract.
#[derive(Serialize)]
struct Report<'a> {
    sink: &'a str,
    kind: &'static str,
    event_id: String,
    #[serde(rename = "type")]
    type_name: &'static str,
    delivered: bool,
    http_status: Option<u16>,
    took_ms: u128,
    error: Option<String>,
    answer: Option<String>,
}

impl Sink {
    pub(super) async fn execute(self) -> Exit {
        let done = match self.command {
            Command::List(list) => list.list().await,
            Command::Test(test) => test.test().await,
        };
        match done {
            Ok(exit) | Err(exit) => exit,
        }
    }
}

impl List {
    async fn list(&self) -> Result<Exit, Exit> {
        let client = self.daemon.client()?;
        let answer = client.ask::<SinksView>(Method::GET, "/v1/sinks", None);
        let view = answer.await?.body;
        if self.json {
            say_json(&view);
            return Ok(Exit::Done);
        }
        let paint = Paint::for_stdout();
        let mut table = Table::new([
            Column::new("SINK").at_least(10),
            Column::new("KIND").gives_way(2),
            Column::new("STATE").whole(),
            Column::new("PENDING").right().whole().gives_way(1),
            Column::new("DEAD").right().whole(),
        ]);
        for sink in &view.sinks {
            let like = match sink.state.as_str() {
                "open" => "succeeded",
                "gone" => "failed",
                _ => "unknown",
            };
            table.row(vec![
                plain(&sink.name),
                or_dash(sink.kind.as_deref()),
                paint.as_state(like, &sink.state),
                sink.pending.to_string(),
                sink.dead.to_string(),
            ]);
        }
        say(&table.render());
        Ok(Exit::Done)
    }
}

impl Test {
    async fn test(&self) -> Result<Exit, Exit> {
        let kind = self.kind()?;
        let (settings, log) = self.settings()?;
        let mut sinks = build::sinks(&settings, &log).map_err(|error| {
            complain(&format!("{error:#}"));
            Exit::Failed
        })?;
        let Some(sink) = sinks.remove(&self.name) else {
            let names = || sinks.keys().map(String::as_str);
            complain(&format!(
                "unknown sink `{}` (configured: {}){}",
                self.name,
                names().collect::<Vec<_>>().join(", "),
                suggest::did_you_mean(&self.name, names())
            ));
            return Err(Exit::Usage);
        };
        self.check_url()?;
        let clock = SystemClock::shared();
        let event = sample(kind, &settings.instance, clock.now());
        let delivery = Delivery {
            event_id: event.id,
            type_name: kind.type_name().to_owned(),
            body: event.body,
            target: self.callback_url.clone().map(Target),
        };
        let began = clock.uptime();
        let attempt = sink.deliver(&delivery, clock.now()).await;
        let took = clock.uptime().saturating_sub(began);
        log.flush();
        let report = Report {
            sink: &self.name,
            kind: sink.kind(),
            event_id: delivery.event_id.to_string(),
            type_name: kind.type_name(),
            delivered: attempt.result == AttemptResult::Delivered,
            http_status: attempt.http_status,
            took_ms: took.as_millis(),
            error: error_of(&attempt),
            answer: attempt.answer,
        };
        if self.json {
            say_json(&report);
        } else {
            say(&in_words(&report));
        }
        Ok(if report.delivered {
            Exit::Done
        } else {
            Exit::Failed
        })
    }

    /// Requires `--callback-url` for the sink `callback`, and refuses it for any other.
    fn check_url(&self) -> Result<(), Exit> {
        let message = match (self.name == CALLBACK, &self.callback_url) {
            (true, None) => {
                "the sink `callback` sends to the URL of a watch; give one with --callback-url"
                    .to_owned()
            }
            (false, Some(_)) => format!(
                "the sink `{}` has its own target; --callback-url is only for the sink `callback`",
                self.name
            ),
            _ => return Ok(()),
        };
        complain(&message);
        Err(Exit::Usage)
    }

    fn kind(&self) -> Result<EventKind, Exit> {
        let full = format!("dev.jobwatch.{}", self.event);
        let found = [self.event.as_str(), &full]
            .into_iter()
            .find_map(EventKind::from_type_name);
        found.ok_or_else(|| {
            let names: Vec<&str> = EventKind::all()
                .map(|kind| kind.type_name().trim_start_matches("dev.jobwatch."))
                .collect();
            let event = self.event.trim_start_matches("dev.jobwatch.");
            complain(&format!(
                "unknown event type `{}` (known: {}){}",
                self.event,
                names.join(", "),
                suggest::did_you_mean(event, names.iter().copied())
            ));
            Exit::Usage
        })
    }

    fn settings(&self) -> Result<(Settings, LogOutput), Exit> {
        let settings = self.config.load_or_complain()?.settings;
        // The log sink writes to the log, so the log is started here too.
        let log =
            telemetry::start(&settings.log, Paint::for_stdout().is_on()).map_err(|error| {
                complain(&format!("{error:#}"));
                Exit::Usage
            })?;
        Ok((settings, log))
    }
}

fn error_of(attempt: &Attempt) -> Option<String> {
    match &attempt.result {
        AttemptResult::Delivered => None,
        AttemptResult::Failed { reason, .. } | AttemptResult::Never { reason } => Some(reason.clone()),
        AttemptResult::ReceiverGone => Some(
            "the receiver is gone (410); after this answer the daemon sends nothing until it is restarted"
                .to_owned(),
        ),
    }
}

fn in_words(report: &Report<'_>) -> String {
    let paint = Paint::for_stdout();
    let (like, result) = if report.delivered {
        ("succeeded", "delivered")
    } else {
        ("failed", "not delivered")
    };
    let mut table = Table::default();
    let mut row = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            table.row(vec![paint.dim(name), value]);
        }
    };
    row("sink", Some(format!("{} ({})", report.sink, report.kind)));
    row("result", Some(paint.as_state(like, result)));
    row("event", Some(report.event_id.clone()));
    row("type", Some(report.type_name.to_owned()));
    row(
        "status",
        report.http_status.map(|status| status.to_string()),
    );
    row("took", Some(format!("{} ms", report.took_ms)));
    row("error", report.error.as_deref().map(plain));
    row("answer", report.answer.as_deref().map(plain));
    table.render()
}

/// Returns the contents of an event about an invented service.
fn sample_of_service(kind: EventKind, now: Timestamp) -> BlindReport {
    BlindReport {
        kind,
        service: Some("sample".to_owned()),
        services: vec!["sample".to_owned()],
        since: now,
        cause: ProblemNote {
            kind: ProblemKind::Unauthorized,
            http_status: Some(401),
            code: None,
            message: "sent by `jobwatch sink test`".to_owned(),
            at: now,
        },
        watches: 1,
    }
}

/// Composes an event in the form of a real one, about an invented job.
fn sample(kind: EventKind, instance: &str, now: Timestamp) -> Event {
    let mut random = [0; 10];
    clock::machine_seeded_rng().fill_bytes(&mut random);
    let running = (JobState::Running, "RUNNING");
    let (outcome, (state, status)) = match kind {
        EventKind::Accepted
        | EventKind::Changed
        | EventKind::Held
        | EventKind::Blind
        | EventKind::Sighted => (None, running),
        EventKind::LateResult => (Some(Outcome::TimedOut), (JobState::Succeeded, "SUCCESS")),
        EventKind::GroupFinished => (Some(Outcome::Succeeded), (JobState::Succeeded, "SUCCESS")),
        EventKind::Finished(outcome) => match outcome.severity() {
            Severity::Good => (Some(outcome), (JobState::Succeeded, "SUCCESS")),
            Severity::Bad => (Some(outcome), (JobState::Failed, "FAIL")),
            Severity::Unclear | Severity::Neutral => (Some(outcome), running),
        },
    };
    let id = WatchId::new(now, random);
    let deadline = later(now, std::time::Duration::from_hours(1));
    let watch = Watch {
        params: [("project_id".to_owned(), "sample".to_owned())].into(),
        labels: [("test".to_owned(), "true".to_owned())].into(),
        state: outcome.map_or(State::Watching, State::Final),
        job: Some(Job {
            state,
            job_type: Some("sample".to_owned()),
            status: Some(status.to_owned()),
            code: None,
            reason: Some("sent by `jobwatch sink test`".to_owned()),
            began_at: Some(now),
            ended_at: outcome.map(|_| now),
            progress: None,
            resources: None,
            children: Vec::new(),
        }),
        has_progress: true,
        finished_at: outcome.map(|_| now),
        polls: 1,
        revision: 1,
        ..Watch::new(id, ("sample", "sample"), SAMPLE_JOB, now, deadline)
    };
    let instance = Instance(instance.to_owned());
    if matches!(kind, EventKind::Blind | EventKind::Sighted) {
        return sample_of_service(kind, now).event(&instance, now);
    }
    if kind == EventKind::GroupFinished {
        let mut end = GroupEnd::default();
        let is_over = end.add(&watch);
        debug_assert!(is_over, "the sample has an outcome");
        return end.event("sample", Some(1), &instance, now);
    }
    Event::of(&watch, kind, &instance, now)
}
