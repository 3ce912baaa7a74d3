//! `jobwatch demo`: see it work, without a cloud, a network or any rights.
//!
//! Nothing is staged but the cloud: the daemon is the real one, started from
//! `config/demo.toml`; jobs are submitted and looked at through its HTTP API; the webhook
//! receiver believes only what is signed. The [`scenario`] says what happens, [`stage`]
//! runs it, [`progress`] follows it, [`display`] shows it, and [`verdict`] judges it.

mod display;
mod progress;
mod receiver;
mod scenario;
mod stage;
mod summary;
mod table;
mod verdict;

use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::cli::Exit;
use crate::cli::demo::display::Display;
use crate::cli::demo::progress::Progress;
use crate::cli::demo::stage::Stage;
use crate::cli::output::{Paint, complain, say};
use crate::clock::{SharedClock, SystemClock};

/// The configuration of the demo.
pub const CONFIG: &str = include_str!("../../../config/demo.toml");

/// How long the demo may take; usually it takes a third of that.
const LIMIT: Duration = Duration::from_secs(35);
/// How often an act begins, and how often the API is asked how things stand.
const TICK: Duration = Duration::from_millis(250);

const INTRODUCTION: &str = "\
A daemon watches the jobs of three simulated services, and tells a webhook
receiver how each ended. Some polls are throttled, refused or broken off: that
never fails a job.
";

/// Shows a daemon at work on simulated services, for a quarter of a minute.
///
/// It needs no cloud, no network and no rights, and leaves nothing behind.
#[derive(Args)]
pub struct Demo {
    /// Print the demo's configuration instead, to start your own from
    #[arg(long)]
    print_config: bool,
}

/// How the show ended.
enum End {
    /// Everything was shown.
    Shown,
    /// Time was up.
    TimeUp,
    /// Somebody interrupted it.
    Interrupted,
    /// It could not go on; the reason is told.
    BrokenOff,
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
        play().await.unwrap_or_else(|error| {
            complain(&format!("{error:#}"));
            Exit::Failed
        })
    }
}

/// Sets the stage, shows the demo, ends everything, and only then says how it went.
async fn play() -> anyhow::Result<Exit> {
    let mut signals = Signals::listen()?;
    let clock = SystemClock::shared();
    let stage = Stage::set(&clock).await?;
    let mut progress = Progress::new(scenario::acts());
    say(INTRODUCTION);
    let mut display = Display::open();
    let end = tokio::select! {
        end = tokio::time::timeout(LIMIT, show(&stage, &mut progress, &mut display, &clock)) => match end {
            Ok(Ok(())) => End::Shown,
            Ok(Err(_)) => End::BrokenOff,
            Err(_) => End::TimeUp,
        },
        () = signals.received() => End::Interrupted,
    };
    let elapsed = clock.uptime();
    display.close();
    let struck = stage.strike().await;
    let exit = conclude(&end, &progress, elapsed);
    struck.map(|()| exit)
}

/// Begins one act after the other and follows them until all are over.
async fn show(
    stage: &Stage,
    progress: &mut Progress,
    display: &mut Display,
    clock: &SharedClock,
) -> Result<(), Exit> {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_renewed = false;
    while !progress.is_over() {
        ticks.tick().await;
        let mut news = Vec::new();
        if let Some((row, act)) = progress.next_act() {
            let watch = stage.begin(act).await?;
            news.push(progress.submitted(row, watch));
        }
        if !is_renewed && clock.uptime() >= scenario::TOKEN_RENEWED_AT {
            is_renewed = true;
            stage.renew_token().map_err(|error| {
                complain(&format!("{error:#}"));
                Exit::Failed
            })?;
        }
        let watches = stage.watches().await?;
        news.extend(progress.look(watches, stage.receiver.inbox()));
        display.show(progress, &news, clock.uptime());
    }
    Ok(())
}

/// Says how it went.
fn conclude(end: &End, progress: &Progress, elapsed: Duration) -> Exit {
    let paint = Paint::for_stdout();
    if matches!(end, End::Interrupted) {
        complain("interrupted");
        return Exit::Interrupted;
    }
    if matches!(end, End::BrokenOff) {
        return Exit::Failed;
    }
    say(&format!("\n{}", summary::numbers(progress, elapsed, paint)));
    let differences = verdict::differences(progress);
    if !differences.is_empty() {
        let why = match end {
            End::TimeUp => format!("not all was over after {LIMIT:?}"),
            _ => "not all went as it should".to_owned(),
        };
        complain(&format!("{why}:\n  {}", differences.join("\n  ")));
        return Exit::Failed;
    }
    say("\nEvery watch ended as its job did, and the receiver was told of each.");
    if let Some(event) = summary::sample(progress) {
        let title = paint.bold("What the receiver got for a failed job (CloudEvents 1.0):");
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
