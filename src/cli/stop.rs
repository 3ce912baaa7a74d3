//! `jobwatch stop`: ends watches; the jobs themselves are not touched.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;
use http::Method;

use crate::api::view::WatchView;
use crate::cli::Exit;
use crate::cli::client::{Client, DaemonArgs};
use crate::cli::filter::{WatchFilter, exact};
use crate::cli::list::all;
use crate::cli::output::{complain, note, say, say_json};
use crate::cli::show::path_of;
use crate::cli::table::plain;

const HELP: &str = "\
REF is the id of a watch, the first 6 characters of it or more, SERVICE/JOB_ID, or a job id.

  jobwatch stop dcs/ff80808282c1a5b2
  jobwatch stop --label deploy=42             asks first; --yes does not";

/// Ends watches as `unwatched`. A watch that has ended is not changed.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Stop {
    /// The watches
    #[arg(
        value_name = "REF",
        value_parser = exact,
        required_unless_present_any = ["states", "service", "job", "labels", "since", "until", "group"],
        conflicts_with_all = ["states", "service", "job", "labels", "since", "until", "group"]
    )]
    references: Vec<String>,
    #[command(flatten)]
    filter: WatchFilter,
    /// Do not ask before watches are stopped by a filter
    #[arg(long, short)]
    yes: bool,
    /// Print only the ids
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
    /// Print JSON, one line for each watch
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

impl Stop {
    /// Stops as many watches as possible; returns the exit code of the last error.
    pub(super) async fn execute(self) -> Exit {
        let client = match self.daemon.client() {
            Ok(client) => client,
            Err(exit) => return exit,
        };
        let references = match self.references(&client).await {
            Ok(references) => references,
            Err(exit) => return exit,
        };
        let mut exit = Exit::Done;
        for reference in &references {
            let path = path_of(reference);
            match client.ask::<WatchView>(Method::DELETE, &path, None).await {
                Ok(answer) => self.print(&answer.body),
                Err(refused) => exit = refused,
            }
        }
        exit
    }

    fn print(&self, watch: &WatchView) {
        if self.json {
            say_json(watch);
        } else if self.quiet {
            say(&watch.id);
        } else {
            let (service, job) = (plain(&watch.service), plain(&watch.job_id));
            say(&format!(
                "{} ({service}/{job}) is {}",
                watch.id, watch.state
            ));
        }
    }

    /// Returns the given references, or the ids of the watches that the filter selects.
    async fn references(&self, client: &Client) -> Result<Vec<String>, Exit> {
        if !self.references.is_empty() {
            return Ok(self.references.clone());
        }
        let mut filter = self.filter.clone();
        if filter.states.is_empty() {
            filter.states.push("watching".to_owned());
        }
        let found = all(client, &filter.terms(), None).await?;
        if found.watches.is_empty() {
            note("no watch matches");
        } else if !self.yes {
            confirm(&found.watches)?;
        }
        Ok(found.watches.into_iter().map(|watch| watch.id).collect())
    }
}

/// Asks whether these watches are to be stopped.
fn confirm(watches: &[WatchView]) -> Result<(), Exit> {
    let count = match watches.len() {
        1 => "1 watch".to_owned(),
        count => format!("{count} watches"),
    };
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        complain(&format!(
            "the filter selects {count}; add --yes to stop them without a question"
        ));
        return Err(Exit::Usage);
    }
    let mut stderr = std::io::stderr();
    let shown = watches.iter().take(10);
    for watch in shown {
        let (service, job) = (plain(&watch.service), plain(&watch.job_id));
        let _ = writeln!(stderr, "  {service}/{job}");
    }
    if watches.len() > 10 {
        let _ = writeln!(stderr, "  … and {} more", watches.len() - 10);
    }
    let _ = write!(stderr, "Stop watching {count}? [y/N] ");
    let _ = stderr.flush();
    let mut answer = String::new();
    let _ = std::io::stdin().lock().read_line(&mut answer);
    if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        return Ok(());
    }
    note("nothing was stopped");
    Err(Exit::Failed)
}
