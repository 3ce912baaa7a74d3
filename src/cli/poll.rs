//! `jobwatch poll`: makes the daemon poll jobs now.

use clap::Args;
use http::Method;

use crate::api::view::WatchView;
use crate::cli::Exit;
use crate::cli::client::DaemonArgs;
use crate::cli::filter::exact;
use crate::cli::output::{say, say_json};
use crate::cli::show::path_of;
use crate::cli::table::plain;

/// Polls jobs now, within the budget of their service, and shows their watches.
#[derive(Args)]
pub(super) struct Poll {
    /// A watch: its id, the beginning of its id, `SERVICE/JOB_ID`, or a job id
    #[arg(required = true, value_name = "REF", value_parser = exact)]
    refs: Vec<String>,
    /// Print JSON, one line for each watch
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

impl Poll {
    /// Polls as many as possible; returns the exit code of the last error.
    pub(super) async fn execute(self) -> Exit {
        let client = match self.daemon.client() {
            Ok(client) => client,
            Err(exit) => return exit,
        };
        let mut exit = Exit::Done;
        for reference in &self.refs {
            let path = format!("{}/poll", path_of(reference));
            match client.ask::<WatchView>(Method::POST, &path, None).await {
                Ok(answer) if self.json => say_json(&answer.body),
                Ok(answer) => say(&in_words(&answer.body)),
                Err(refused) => exit = refused,
            }
        }
        exit
    }
}

fn in_words(watch: &WatchView) -> String {
    let job = plain(&format!("{}/{}", watch.service, watch.job_id));
    let status = watch.status.as_deref().map(plain);
    let status = status.map_or_else(String::new, |status| format!(", status {status}"));
    let polls = if watch.polls == 1 { "poll" } else { "polls" };
    format!("{job} is {}{status} ({} {polls})", watch.state, watch.polls)
}
