//! `jobwatch replicas`: lists the daemons that share a database.

use clap::Args;
use http::Method;

use crate::api::replicas::{ReplicaView, ReplicasView};
use crate::cli::Exit;
use crate::cli::age::Times;
use crate::cli::client::DaemonArgs;
use crate::cli::output::{note, say, say_json};
use crate::cli::table::{Table, plain};
use crate::store::shards::SHARDS;

/// Lists the daemons that share a database of PostgreSQL, and how many watches each one polls.
///
/// The watches fall into 256 shards, and each daemon polls those of its shards.
#[derive(Args)]
pub(super) struct Replicas {
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

impl Replicas {
    pub(super) async fn execute(self) -> Exit {
        match self.list().await {
            Ok(()) => Exit::Done,
            Err(exit) => exit,
        }
    }

    async fn list(&self) -> Result<(), Exit> {
        let client = self.daemon.client()?;
        let found = client
            .ask::<ReplicasView>(Method::GET, "/v1/replicas", None)
            .await?
            .body;
        if self.json {
            say_json(&found);
        } else if found.replicas.is_empty() {
            note("this daemon shares its database with no other one");
        } else {
            say(&in_words(&found.replicas, Times::from_now(false)));
        }
        Ok(())
    }
}

fn in_words(replicas: &[ReplicaView], times: Times) -> String {
    let mut table = Table::with_header(&["NAME", "VERSION", "SHARDS", "STARTED", "SEEN", "ID"]);
    for replica in replicas {
        let name = plain(&replica.name);
        table.row(vec![
            if replica.is_self {
                format!("{name} (answers)")
            } else {
                name
            },
            plain(&replica.version),
            format!("{} of {SHARDS}", replica.shards),
            times.show(replica.started_at),
            times.show(replica.seen_at),
            replica.id.to_string(),
        ]);
    }
    table.render()
}
