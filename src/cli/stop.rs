//! `jobwatch stop`: ends watches; the jobs themselves are not touched.

use clap::Args;
use http::Method;

use crate::api::view::WatchView;
use crate::cli::Exit;
use crate::cli::client::DaemonArgs;
use crate::cli::output::{say, say_json};
use crate::cli::show::path_of;

/// Ends watches as `unwatched`. A watch that is final is not changed.
#[derive(Args)]
pub(super) struct Stop {
    /// The ids of the watches
    #[arg(required = true, value_name = "WATCH_ID")]
    watch_ids: Vec<String>,
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
        let mut exit = Exit::Done;
        for id in &self.watch_ids {
            match client
                .ask::<WatchView>(Method::DELETE, &path_of(id), None)
                .await
            {
                Ok(answer) if self.json => say_json(&answer.body),
                Ok(answer) => say(&format!("{} is {}", answer.body.id, answer.body.state)),
                Err(refused) => exit = refused,
            }
        }
        exit
    }
}
