//! `jobwatch health`: asks the daemon whether it is ready, for containers and scripts.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::cli::Exit;
use crate::cli::client::{Call, CallError, DaemonArgs};
use crate::cli::output::{say, say_json};
use crate::clock::parse_duration_from;

const HELP: &str = "\
The daemon is ready once its watches are loaded and its store can commit. No token is needed.

Exit codes: 0 it is ready, 1 it is not ready, 2 wrong usage, 5 it cannot be reached.

In a Dockerfile:

  HEALTHCHECK CMD [\"jobwatch\", \"health\"]";

/// Asks the daemon whether it is ready.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Health {
    /// How long to wait for the answer
    #[arg(long, default_value = "3s", value_name = "DURATION", value_parser = duration)]
    timeout: Duration,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration_from(Duration::from_millis(1), text)
}

impl Health {
    pub(super) async fn execute(self) -> Exit {
        let client = match self.daemon.client_without_token() {
            Ok(client) => client,
            Err(exit) => return exit,
        };
        let call = Call::get("/readyz").within(self.timeout);
        match client.try_ask::<Value>(call).await {
            Ok(answer) if self.json => say_json(&answer.body),
            Ok(answer) => say(&format!("ready, {} watching", answer.body["watching"])),
            Err(error @ CallError::Unreachable { .. }) => return error.complain(),
            Err(error) => {
                error.complain();
                return Exit::Failed;
            }
        }
        Exit::Done
    }
}
