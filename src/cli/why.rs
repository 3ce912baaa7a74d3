//! `jobwatch why`: explains the state of one watch in plain words.

use clap::Args;
use http::Method;
use serde_json::Value;

use crate::cli::Exit;
use crate::cli::client::DaemonArgs;
use crate::cli::filter::exact;
use crate::cli::output::{say, say_json};
use crate::cli::show::path_of;
use crate::cli::table::{plain, wrap};
use crate::cli::terminal;

/// A line of prose that is longer is hard to read.
const COLUMNS_MAX: usize = 100;

/// Explains a watch: since when, how long such jobs take, the last answer, the next poll and
/// its reason, and the receivers of its events.
#[derive(Args)]
pub(super) struct Why {
    /// The watch: its id, the beginning of its id, `SERVICE/JOB_ID`, or a job id
    #[arg(value_name = "REF", value_parser = exact)]
    reference: String,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

impl Why {
    pub(super) async fn execute(self) -> Exit {
        match self.explain().await {
            Ok(()) => Exit::Done,
            Err(exit) => exit,
        }
    }

    async fn explain(&self) -> Result<(), Exit> {
        let path = format!("{}/why", path_of(&self.reference));
        let client = self.daemon.client()?;
        let answer = client.ask::<Value>(Method::GET, &path, None).await?.body;
        if self.json {
            say_json(&answer);
            return Ok(());
        }
        let text = answer["text"].as_str().unwrap_or_default();
        let columns = terminal::size().map(|size| size.columns.min(COLUMNS_MAX));
        for paragraph in text.lines() {
            say(&match columns {
                Some(columns) => wrap(&plain(paragraph), columns).join("\n"),
                None => plain(paragraph),
            });
        }
        Ok(())
    }
}
