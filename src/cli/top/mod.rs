//! `jobwatch top`: a live view of the services and the watches, in the whole terminal.
//!
//! [`state`] has the last answers and reacts to keys, [`mod@frame`] composes the lines, and
//! [`window`] is the terminal.

mod frame;
mod state;
mod window;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::api::view::PageView;
use crate::cli::client::{Call, CallError, Client, DaemonArgs};
use crate::cli::exit::Exit;
use crate::cli::outage::ask_at_start;
use crate::cli::output::complain;
use crate::cli::paint::Paint;
use crate::cli::signals::{Sign, Signals};
use crate::cli::terminal;
use crate::cli::top::frame::{Place, frame};
use crate::cli::top::state::{Reading, Services, State};
use crate::cli::top::window::{Input, Window, inputs};
use crate::clock::{SharedClock, SystemClock};

/// The time between two readings, and between two frames.
const REFRESH: Duration = Duration::from_secs(1);
/// A reading that takes long is repeated less often: this many times its duration.
const PAUSES: u32 = 4;
/// How long a call may take before the view says that the daemon does not answer.
const CALL_MAX: Duration = Duration::from_secs(10);
/// How long a stop by ^Z may take to arrive.
const STOP_MAX: Duration = Duration::from_millis(300);

const SERVICES: &str = "/v1/services";
const WATCHES: &str = "/v1/watches?state=watching&limit=500";

const HELP: &str = "\
Keys: q quits; j k, the arrows and the page keys scroll; g and G go to the first and the last
watch; / shows only watches with a text in their service, job id, status, id or labels; ^Z stops.

Watches with a problem come first, then the oldest. Only the 500 newest watches are read.";

/// Shows the services and the watches, live.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Top {
    #[command(flatten)]
    daemon: DaemonArgs,
}

/// The view, its terminal and its daemon.
struct View {
    state: State,
    window: Window,
    /// The number of watches that fit the terminal.
    page: usize,
    clock: SharedClock,
    client: Arc<Client>,
}

/// The reason why a view ended.
enum End {
    Quit,
    Interrupted,
    /// The terminal has gone away.
    Gone(std::io::Error),
    Refused(CallError),
}

impl Top {
    pub(super) async fn execute(self) -> Exit {
        if !std::io::stdout().is_terminal() || terminal::is_dumb() {
            complain(
                "top needs a terminal; `jobwatch services` and `jobwatch list` print the same once",
            );
            return Exit::Usage;
        }
        match self.view().await {
            Ok(exit) | Err(exit) => exit,
        }
    }

    async fn view(self) -> Result<Exit, Exit> {
        let client = Arc::new(self.daemon.client()?);
        let services: Services = ask_at_start(&client, SERVICES).await?;
        let failed = |error: std::io::Error| {
            complain(&format!("cannot use the terminal: {error}"));
            Exit::Failed
        };
        let signals = Signals::listen().map_err(failed)?;
        let mut view = View {
            state: State::default(),
            window: Window::open().map_err(failed)?,
            page: 1,
            clock: SystemClock::shared(),
            client,
        };
        view.state.take(Reading {
            services: services.services,
            ..Reading::default()
        });
        let end = view.run(signals).await;
        // The terminal is given back first, so that the message is seen.
        drop(view);
        Ok(match end {
            End::Quit => Exit::Done,
            End::Interrupted => Exit::Interrupted,
            End::Gone(error) => failed(error),
            End::Refused(error) => error.complain(),
        })
    }
}

impl View {
    async fn run(&mut self, mut signals: Signals) -> End {
        let (sender, mut readings) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        tasks.spawn(read_again(
            Arc::clone(&self.client),
            Arc::clone(&self.clock),
            sender,
        ));
        let mut inputs = inputs();
        let mut ticks = tokio::time::interval(REFRESH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Err(error) = self.draw() {
                return End::Gone(error);
            }
            let end = tokio::select! {
                Some(reading) = readings.recv() => self.took(reading),
                Some(input) = inputs.recv() => self.react(input, &mut signals).await,
                sign = signals.next() => match sign {
                    Sign::End => Some(End::Interrupted),
                    Sign::Resumed => self.window.take_again().err().map(End::Gone),
                    Sign::Resized => None,
                },
                _ = ticks.tick() => None,
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    fn draw(&mut self) -> std::io::Result<()> {
        let place = Place {
            size: terminal::size_or_usual(),
            paint: Paint::for_stdout(),
            now: self.clock.now(),
            daemon: self.client.shown(),
        };
        let frame = frame(&self.state, place);
        self.page = frame.page;
        self.window.draw(&frame.lines)
    }

    fn took(&mut self, reading: Result<Reading, CallError>) -> Option<End> {
        match reading {
            Ok(reading) => {
                self.state.take(reading);
                let offset = self.state.offset;
                self.state.scroll_to(offset, self.page);
            }
            Err(error) if error.is_transient() => self.state.lost = Some(error.to_string()),
            Err(error) => return Some(End::Refused(error)),
        }
        None
    }

    async fn react(&mut self, input: Input, signals: &mut Signals) -> Option<End> {
        match input {
            Input::Key(key) => self.state.press(key, self.page).then_some(End::Quit),
            Input::End => Some(End::Interrupted),
            Input::Redraw => None,
            Input::Stop => {
                self.window.stop();
                // The stop may arrive a moment later; the shell continues the program by a signal.
                let resumed = tokio::time::timeout(STOP_MAX, signals.next());
                match resumed.await {
                    Ok(Sign::End) => Some(End::Interrupted),
                    _ => self.window.take_again().err().map(End::Gone),
                }
            }
        }
    }
}

/// Reads the daemon again and again, until the receiver is gone.
async fn read_again(
    client: Arc<Client>,
    clock: SharedClock,
    readings: mpsc::Sender<Result<Reading, CallError>>,
) {
    loop {
        let began = clock.uptime();
        let reading = read(&client).await;
        let took = clock.uptime().saturating_sub(began);
        if readings.send(reading).await.is_err() {
            return;
        }
        tokio::time::sleep(REFRESH.max(took * PAUSES)).await;
    }
}

async fn read(client: &Client) -> Result<Reading, CallError> {
    let services = client.try_ask::<Services>(Call::get(SERVICES).within(CALL_MAX));
    let services = services.await?.body.services;
    let watches = client.try_ask::<PageView>(Call::get(WATCHES).within(CALL_MAX));
    let watches = watches.await?.body;
    Ok(Reading {
        services,
        has_more: watches.next.is_some(),
        watches: watches.watches,
    })
}
