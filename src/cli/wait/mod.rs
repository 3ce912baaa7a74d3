//! `jobwatch wait`: waits until jobs have ended, and ends with the exit code of the worst.
//!
//! [`choice`] finds the watches, [`feed`] follows them by long polls, and [`display`] shows them.
//! `submit --wait` and `do` wait in the same way.

mod choice;
mod display;
mod feed;
mod local;
mod view;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::time::MissedTickBehavior;

use crate::api::view::WatchView;
use crate::cli::client::{CallError, Client, DaemonArgs};
use crate::cli::complaint::{complain_of_usage, note};
use crate::cli::exit::Exit;
use crate::cli::filter::WatchFilter;
use crate::cli::output::complain;
use crate::cli::pair::pair;
use crate::cli::signals::{Sign, Signals};
use crate::cli::time_limit::time_limit;
use crate::cli::wait::choice::Chosen;
use crate::cli::wait::display::{Display, Form};
use crate::cli::wait::feed::{Feed, News};
use crate::cli::wait::local::Local;
use crate::cli::wait::view::summary;
use crate::clock::{SharedClock, SystemClock, show_duration};

/// The longest wait of one call for a view that is fresh, and for lines.
const FRESH: Duration = Duration::from_secs(2);
const PATIENT: Duration = Duration::from_mins(1);
/// The time between two drawings of the live view.
const TICK: Duration = Duration::from_secs(1);
/// More ids are not repeated in a message.
const REPEATED_MAX: usize = 4;

/// Waits until jobs have ended. The exit code is that of the worst outcome.
#[derive(Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command line"
)]
pub(super) struct Wait {
    /// A watch: its id, the beginning of its id, `SERVICE/JOB_ID`, or a job id
    #[arg(value_name = "REF")]
    refs: Vec<String>,
    #[command(flatten)]
    filter: WatchFilter,
    /// Wait for the watches that this user submitted last
    #[arg(long, conflicts_with = "refs")]
    last: bool,
    /// Wait until one of them has ended
    #[arg(long, conflicts_with = "all")]
    any: bool,
    /// Wait until all of them have ended (the default)
    #[arg(long)]
    all: bool,
    /// End after this time with exit code 3; the daemon continues to watch
    #[arg(long, value_name = "DURATION", value_parser = time_limit)]
    timeout: Option<Duration>,
    /// Poll the jobs in this process with the configuration, without a daemon: each REF is
    /// `SERVICE/JOB_ID`, and no event is sent
    #[arg(long, requires = "refs", conflicts_with = "last")]
    local: bool,
    /// With --local, a param that the configuration of the service does not set; may be
    /// repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair, requires = "local")]
    params: Vec<(String, String)>,
    /// Print the watches as JSON, one on each line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

/// The terms of a wait.
pub(super) struct Terms {
    pub(super) any: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) json: bool,
    /// True if standard output belongs to another program, so that results in words go to standard error.
    pub(super) is_beside_output: bool,
    /// How to take up a wait for many watches; `None` if nothing watches the jobs afterwards.
    pub(super) again: Option<&'static str>,
}

/// The way in which a wait ended.
enum End {
    Over,
    TimedOut,
    Interrupted,
    Refused(CallError),
}

/// A wait, and the watches as they are now.
struct Progress {
    /// In the order of their submission.
    watches: Vec<WatchView>,
    /// True for those with a printed result.
    printed: Vec<bool>,
    places: HashMap<String, usize>,
    any: bool,
    display: Display,
    clock: SharedClock,
}

impl Wait {
    pub(super) async fn execute(self) -> Exit {
        if self.local {
            return self.wait_locally().await;
        }
        let chosen = async {
            let client = Arc::new(self.daemon.client()?);
            let chosen = self.choose(&client).await?;
            Ok((client, chosen))
        };
        let (client, chosen) = match chosen.await {
            Ok(chosen) => chosen,
            Err(exit) => return exit,
        };
        wait(client, chosen, self.terms(Some("repeat the command"))).await
    }

    fn terms(&self, again: Option<&'static str>) -> Terms {
        Terms {
            any: self.any,
            timeout: self.timeout,
            json: self.json,
            is_beside_output: false,
            again,
        }
    }

    async fn wait_locally(self) -> Exit {
        if !self.filter.terms().is_empty() {
            return complain_of_usage("--local takes no filter; name each job as SERVICE/JOB_ID");
        }
        let local = match Local::start(&self.daemon.config).await {
            Ok(local) => local,
            Err(exit) => return exit,
        };
        let mut ids = Vec::new();
        for reference in &self.refs {
            match local.submit(reference, &self.params).await {
                Ok(id) => ids.push(id),
                Err(exit) => return exit,
            }
        }
        let exit = wait_for(Arc::clone(&local.client), &ids, self.terms(None)).await;
        local.stop().await;
        exit
    }

    async fn choose(&self, client: &Client) -> Result<Chosen, Exit> {
        let refs = if self.last {
            choice::last(client)?
        } else {
            self.refs.clone()
        };
        let filter = self.filter.terms();
        if refs.is_empty() && filter.is_empty() {
            complain("name the watches to wait for: REF, --last, or a filter such as --label");
            return Err(Exit::Usage);
        }
        if let Some(group) = self.filter.group.as_ref().filter(|_| !self.any) {
            self.until_complete(client, group).await?;
        }
        choice::choose(client, &refs, &filter).await
    }

    /// Waits until the group takes no more watches: before, its end is not near.
    async fn until_complete(&self, client: &Client, group: &str) -> Result<(), Exit> {
        let complete = choice::until_complete(client, group);
        let Some(limit) = self.timeout else {
            return complete.await;
        };
        let complete = tokio::time::timeout(limit, complete).await;
        complete.unwrap_or_else(|_| {
            complain(&format!(
                "the group `{group}` is still open after {}; close it with `jobwatch group close {group}`",
                show_duration(limit)
            ));
            Err(Exit::TimedOut)
        })
    }
}

/// Waits for watches with these ids.
pub(super) async fn wait_for(client: Arc<Client>, ids: &[String], terms: Terms) -> Exit {
    match choice::choose(&client, ids, &[]).await {
        Ok(chosen) => wait(client, chosen, terms).await,
        Err(exit) => exit,
    }
}

/// Waits for the watches that were chosen; prints each result.
async fn wait(client: Arc<Client>, chosen: Chosen, terms: Terms) -> Exit {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            complain(&format!("cannot listen for signals: {error}"));
            return Exit::Failed;
        }
    };
    let form = match (terms.json, terms.is_beside_output) {
        (true, _) => Form::Json,
        (false, true) => Form::Notes,
        (false, false) => Form::Text,
    };
    let mut progress = Progress::new(chosen.watches, terms.any, Display::open(form));
    let limit = async {
        match terms.timeout {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    let end = tokio::select! {
        biased;
        end = progress.run(&client, &chosen.as_of, &mut signals) => end,
        () = limit => End::TimedOut,
    };
    progress.end(end, &terms)
}

impl Progress {
    fn new(watches: Vec<WatchView>, any: bool, display: Display) -> Self {
        let ids = watches.iter().enumerate();
        Self {
            printed: vec![false; watches.len()],
            places: ids.map(|(at, watch)| (watch.id.clone(), at)).collect(),
            watches,
            any,
            display,
            clock: SystemClock::shared(),
        }
    }

    async fn run(&mut self, client: &Arc<Client>, as_of: &str, signals: &mut Signals) -> End {
        let pace = if self.display.is_live() {
            FRESH
        } else {
            PATIENT
        };
        let open: Vec<String> = self.open().map(|watch| watch.id.clone()).collect();
        let mut feed = Feed::start(client, &self.clock, &open, as_of, pace);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.display.begin(&self.watches);
        self.print_ended();
        while !self.is_over() {
            tokio::select! {
                news = feed.next() => match news {
                    Some(News::Refused(error)) => return End::Refused(error),
                    Some(news) => self.took(news),
                    None => return End::Over,
                },
                sign = signals.next() => match sign {
                    Sign::End => return End::Interrupted,
                    Sign::Resumed => self.display.resumed(),
                    Sign::Resized => {}
                },
                _ = ticks.tick(), if self.display.is_live() => {}
            }
            self.draw();
        }
        End::Over
    }

    fn open(&self) -> impl Iterator<Item = &WatchView> {
        let watches = self.watches.iter();
        watches.filter(|watch| watch.finished_at.is_none())
    }

    fn is_over(&self) -> bool {
        let open = self.open().count();
        open == 0 || (self.any && open < self.watches.len())
    }

    fn took(&mut self, news: News) {
        match news {
            News::Watches(watches) => watches.into_iter().for_each(|watch| self.update(watch)),
            News::Lost(reason) => {
                let note = format!("the wait goes on once the daemon answers: {reason}");
                self.display.note(Some(&note));
            }
            News::Back => self.display.note(None),
            News::Refused(_) => {}
        }
    }

    fn update(&mut self, after: WatchView) {
        let Some(at) = self.places.get(&after.id) else {
            return;
        };
        let before = std::mem::replace(&mut self.watches[*at], after);
        let after = &self.watches[*at];
        self.display.changed(&before, after);
        self.print_ended();
    }

    /// Prints the results that are known. A live view shows them already, and keeps its place
    /// until the end.
    fn print_ended(&mut self) {
        if !self.display.is_live() {
            self.print(|watch| watch.finished_at.is_some());
        }
    }

    fn print(&mut self, is_wanted: impl Fn(&WatchView) -> bool) {
        for (watch, printed) in self.watches.iter().zip(&mut self.printed) {
            if !*printed && is_wanted(watch) {
                *printed = true;
                self.display.result(watch);
            }
        }
    }

    fn draw(&mut self) {
        self.display.draw(&self.watches, self.clock.now());
    }
}

impl Progress {
    /// Prints the results that are left, and how to go on. Returns the exit code.
    fn end(mut self, end: End, terms: &Terms) -> Exit {
        self.display.close();
        match &end {
            End::Over | End::Refused(_) => self.print(|watch| watch.finished_at.is_some()),
            End::TimedOut => self.print(|_| true),
            End::Interrupted => {}
        }
        let ends = self
            .watches
            .iter()
            .filter_map(|watch| Exit::of_state(&watch.state));
        let worst = ends.fold(Exit::Done, Exit::worst);
        match end {
            End::Over => worst,
            End::TimedOut => {
                let limit = terms.timeout.unwrap_or_default();
                complain(&format!(
                    "{} after {limit:?}; {}",
                    self.summary(),
                    self.how_to_go_on(terms)
                ));
                worst.worst(Exit::TimedOut)
            }
            End::Interrupted => {
                note(&format!("{}; {}", self.summary(), self.how_to_go_on(terms)));
                Exit::Interrupted
            }
            End::Refused(error) => error.complain(),
        }
    }

    fn summary(&self) -> String {
        summary(self.watches.iter())
    }

    fn how_to_go_on(&self, terms: &Terms) -> String {
        let Some(again) = terms.again else {
            return "nothing watches the jobs any more: repeat the command to wait again"
                .to_owned();
        };
        let open: Vec<&str> = self.open().map(|watch| watch.id.as_str()).collect();
        if open.len() > REPEATED_MAX {
            return format!("the daemon continues to watch: {again} to wait again");
        }
        format!(
            "the daemon continues to watch: `jobwatch wait {}` waits again",
            open.join(" ")
        )
    }
}
