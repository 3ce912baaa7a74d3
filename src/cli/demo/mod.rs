//! `jobwatch demo`: see it work, without a cloud, a network or any rights.
//!
//! Only the cloud is simulated. The daemon is the real one, started from
//! `config/demo.toml`; jobs are submitted and followed through its HTTP API; the webhook
//! receiver accepts only signed messages. The [`scenario`] lists the cases, [`setup`] starts
//! the parts, [`progress`] follows the watches, [`display`] shows them, and [`check`] compares
//! them with the scenario.

mod check;
mod display;
mod progress;
mod receiver;
mod scenario;
mod setup;
mod summary;
mod table;

use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::cli::demo::display::Display;
use crate::cli::demo::progress::Progress;
use crate::cli::demo::setup::Setup;
use crate::cli::exit::Exit;
use crate::cli::output::{Paint, complain, say};
use crate::clock::{SharedClock, SystemClock};

/// The configuration of the demo.
pub const CONFIG: &str = include_str!("../../../config/demo.toml");

/// The longest the demo may take; usually it takes half of that.
const LIMIT: Duration = Duration::from_secs(35);
/// The time between two submissions, and between two requests for the watches.
const TICK: Duration = Duration::from_millis(250);

const INTRODUCTION: &str = "\
A daemon watches the jobs of three simulated services, and sends a webhook
receiver one event when each has ended. Some polls are throttled, refused or
broken off: that never fails a job.
";

/// Shows a daemon at work on simulated services, for about 15 seconds.
///
/// It needs no cloud, no network and no special rights, and removes all its files at the end.
#[derive(Args)]
pub struct Demo {
    /// Print the configuration of the demo instead, as a start for your own
    #[arg(long)]
    print_config: bool,
    /// Print a JSON object for each change, and one with the result at the end
    #[arg(long, conflicts_with = "print_config")]
    json: bool,
}

/// The way in which the demo ended.
enum End {
    Completed,
    TimeUp,
    Interrupted,
    /// An error ended the demo; it was printed.
    Failed,
}

/// The signals that end the demo early.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Demo {
    pub(super) async fn execute(self) -> Exit {
        if self.print_config {
            say(CONFIG.trim_end());
            return Exit::Done;
        }
        run(self.json).await.unwrap_or_else(|error| {
            complain(&format!("{error:#}"));
            Exit::Failed
        })
    }
}

/// Starts everything, follows the demo, stops everything, and then prints the result.
async fn run(json: bool) -> anyhow::Result<Exit> {
    let mut signals = Signals::listen()?;
    let clock = SystemClock::shared();
    let setup = Setup::start(&clock).await?;
    let mut progress = Progress::new(scenario::cases());
    if !json {
        say(INTRODUCTION);
    }
    let mut display = Display::open(json);
    let end = tokio::select! {
        end = tokio::time::timeout(LIMIT, follow(&setup, &mut progress, &mut display, &clock)) => match end {
            Ok(Ok(())) => End::Completed,
            Ok(Err(_)) => End::Failed,
            Err(_) => End::TimeUp,
        },
        () = signals.received() => End::Interrupted,
    };
    let elapsed = clock.uptime();
    display.close();
    let stopped = setup.stop().await;
    let exit = report(&end, &progress, elapsed, json);
    stopped.map(|()| exit)
}

/// Submits one case after the other and follows them until all have ended.
async fn follow(
    setup: &Setup,
    progress: &mut Progress,
    display: &mut Display,
    clock: &SharedClock,
) -> Result<(), Exit> {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_renewed = false;
    while !progress.is_over() {
        ticks.tick().await;
        let mut updates = Vec::new();
        if let Some((row, case)) = progress.next_case() {
            let watch = setup.submit(case).await?;
            updates.push(progress.submitted(row, watch));
        }
        if !is_renewed && clock.uptime() >= scenario::TOKEN_RENEWED_AT {
            is_renewed = true;
            setup.renew_token().map_err(|error| {
                complain(&format!("{error:#}"));
                Exit::Failed
            })?;
        }
        let watches = setup.watches().await?;
        updates.extend(progress.update(watches, setup.receiver.inbox()));
        display.show(progress, &updates, clock.uptime());
    }
    Ok(())
}

fn report(end: &End, progress: &Progress, elapsed: Duration, json: bool) -> Exit {
    if matches!(end, End::Interrupted) {
        complain("interrupted");
        return Exit::Interrupted;
    }
    if matches!(end, End::Failed) {
        return Exit::Failed;
    }
    let paint = Paint::for_stdout();
    let differences = check::differences(progress);
    if json {
        say(&summary::as_json(progress, elapsed, &differences).to_string());
    } else {
        say(&format!("\n{}", summary::numbers(progress, elapsed, paint)));
    }
    if !differences.is_empty() {
        let why = match end {
            End::TimeUp => format!("some watches had not ended after {LIMIT:?}"),
            _ => "the result differs from the scenario".to_owned(),
        };
        complain(&format!("{why}:\n  {}", differences.join("\n  ")));
        return Exit::Failed;
    }
    if json {
        return Exit::Done;
    }
    say("\nEvery watch ended as its job did, and the receiver got an event for each.");
    if let Some(event) = summary::sample(progress) {
        let title =
            paint.bold("The event of a failed job, as the receiver got it (CloudEvents 1.0):");
        say(&format!("\n{title}\n\n{event}"));
    }
    say(&format!("\n{}", summary::next_steps(paint)));
    Exit::Done
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
