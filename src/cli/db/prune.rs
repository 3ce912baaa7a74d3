//! `jobwatch db prune`: deletes watches that ended long ago.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::db::{DatabaseArgs, failed};
use crate::cli::duration::two_units;
use crate::cli::exit::Exit;
use crate::cli::output::{complain, note, say, say_json, time};
use crate::clock::{SystemClock, earlier, parse_duration, show_duration};
use crate::settings::Database;
use crate::store::{Expiry, Pruned, StoreError, postgres, sqlite};

const HELP: &str = "\
A running daemon does this by itself, each hour; see `keep` in the section [store] of the
settings. Stop the daemon of a file before. On a server the replicas may run. A watch goes with its events, deliveries, attempts and evidence, once everything about
it is older than DURATION. One that is still watched, or has a pending delivery, stays. So does one
of a job in [[watches]], if the settings are read.

Without --older-than, a watch is kept as the daemon keeps it: for `keep`, or for the longest
`after_watch` of the services if that is longer. --older-than counts alone, and --database needs
it, because no settings are read then.

--compact writes the whole file of SQLite anew. It needs as much free space as the database has, for a short
time. A database of a jobwatch before `keep` needs it once; from then on it shrinks by itself.
A server keeps the space for new rows, by its own vacuum. If it must go back to the file system, an
administrator runs VACUUM FULL, while no replica runs.

Exit codes: 0 done, 1 failed, for example because a daemon has the database open, 2 usage.

  jobwatch db prune --dry-run                  how much would go; the daemon may run
  jobwatch db prune --older-than 7d --compact";

#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Prune {
    /// Delete watches that ended longer ago than this [default: `keep` of the settings, or
    /// the longest `after_watch`]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    older_than: Option<Duration>,
    /// Delete nothing, and print how much would be deleted
    #[arg(long)]
    dry_run: bool,
    /// Write the whole file anew, without free space in it
    #[arg(long, conflicts_with = "dry_run")]
    compact: bool,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// The result of a pruning.
struct Report {
    pruned: Pruned,
    /// The size of the database before, in bytes.
    bytes_before: u64,
    bytes: u64,
    /// The free space in the file; only the server knows its own.
    free: Option<u64>,
}

/// The database and the watches to delete.
struct Wanted {
    database: Database,
    keep: Duration,
    expiry: Expiry,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|allowed| format!("must be {allowed}"))
}

impl Prune {
    pub(super) async fn prune(&self) -> Result<Exit, Exit> {
        let wanted = self.wanted()?;
        if self.compact
            && let Database::Postgres(server) = &wanted.database
        {
            complain(&format!(
                "--compact is for a file, and {} is a server, whose vacuum keeps the space for new rows; if it must go back to the file system, let an administrator run VACUUM FULL",
                server.shown()
            ));
            return Err(Exit::Usage);
        }
        if self.dry_run {
            let counted = wanted.count().await.map_err(|error| failed(&error))?;
            self.say_counted(&wanted, counted);
        } else {
            let report = wanted.prune(self.compact).await;
            self.say_report(&wanted, &report.map_err(|error| failed(&error))?);
        }
        Ok(Exit::Done)
    }

    fn wanted(&self) -> Result<Wanted, Exit> {
        let database = self.database.database()?;
        let (keep, spared) = if self.database.database.is_some() {
            (None, BTreeSet::new())
        } else {
            let settings = self.database.config.load_retention()?;
            (settings.keep, settings.configured)
        };
        let Some(keep) = self.older_than.or(keep) else {
            complain(if self.database.database.is_some() {
                "--database reads no settings; say with --older-than DURATION which watches are old, such as --older-than 30d"
            } else {
                "`store.keep` is \"forever\", so no watch is old; say with --older-than DURATION which to delete, such as --older-than 30d"
            });
            return Err(Exit::Usage);
        };
        let now = SystemClock::shared().now();
        Ok(Wanted {
            database,
            keep,
            expiry: Expiry {
                before: earlier(now, keep),
                now,
                spared: Arc::new(spared),
            },
        })
    }

    fn say_counted(&self, wanted: &Wanted, counted: Pruned) {
        if self.json {
            say_json(&wanted.as_json(counted, json!({ "dry_run": true })));
        } else {
            say(&format!("would delete {}", wanted.in_words(counted)));
        }
    }

    fn say_report(&self, wanted: &Wanted, report: &Report) {
        let Report {
            pruned,
            bytes_before,
            bytes,
            free,
        } = report;
        if self.json {
            let mut more = json!({
                "dry_run": false, "compacted": self.compact,
                "bytes_before": bytes_before, "bytes": bytes,
            });
            if let Some(free) = free {
                more["free_bytes"] = json!(free);
            }
            say_json(&wanted.as_json(*pruned, more));
            return;
        }
        say(&format!("deleted {}", wanted.in_words(*pruned)));
        say(&format!(
            "the database has {bytes} bytes (before: {bytes_before})"
        ));
        match free {
            None => {
                note("the vacuum of the server makes the space of deleted rows free for new ones");
            }
            Some(0) => {}
            Some(free) => note(&format!(
                "{free} bytes of it are free for new watches; --compact gives them back to the file system"
            )),
        }
    }
}

impl Wanted {
    async fn count(&self) -> Result<Pruned, StoreError> {
        match &self.database {
            Database::Sqlite(file) => sqlite::prune::count(file, &self.expiry),
            Database::Postgres(server) => {
                postgres::prune_command::count(server, &self.expiry).await
            }
        }
    }

    async fn prune(&self, compact: bool) -> Result<Report, StoreError> {
        Ok(match &self.database {
            Database::Sqlite(file) => {
                let done = sqlite::prune::prune(file, &self.expiry, compact)?;
                Report {
                    pruned: done.pruned,
                    bytes_before: done.bytes_before,
                    bytes: done.bytes,
                    free: Some(done.free),
                }
            }
            Database::Postgres(server) => {
                let done = postgres::prune_command::prune(server, &self.expiry).await?;
                Report {
                    pruned: done.pruned,
                    bytes_before: done.bytes_before,
                    bytes: done.bytes,
                    free: None,
                }
            }
        })
    }

    fn in_words(&self, rows: Pruned) -> String {
        let kinds = rows.by_kind();
        let counts = kinds
            .iter()
            .filter(|(kind, count)| *kind == "watches" || *count > 0)
            .map(|(kind, count)| format!("{count} {kind}"));
        let counts: Vec<String> = counts.collect();
        format!(
            "{}, older than {} (before {})",
            counts.join(", "),
            two_units(self.keep),
            time(self.expiry.before)
        )
    }

    fn as_json(&self, rows: Pruned, more: Value) -> Value {
        let counts: Map<String, Value> = rows
            .by_kind()
            .iter()
            .map(|(kind, count)| ((*kind).to_owned(), Value::from(*count)))
            .collect();
        let mut document = json!({
            "database": self.database.shown(),
            "older_than": show_duration(self.keep),
            "before": self.expiry.before.to_string(),
            "rows": counts,
        });
        if let (Some(document), Value::Object(more)) = (document.as_object_mut(), more) {
            document.extend(more);
        }
        document
    }
}
