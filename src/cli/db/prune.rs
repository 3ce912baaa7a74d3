//! `jobwatch db prune`: deletes watches that ended long ago.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::db::{DatabaseArgs, failed, file_of};
use crate::cli::duration::two_units;
use crate::cli::exit::Exit;
use crate::cli::output::{complain, note, say, say_json, time};
use crate::clock::{SystemClock, earlier, parse_duration, show_duration};
use crate::store::sqlite::prune::{Report, count, prune};
use crate::store::{Expiry, Pruned};

const HELP: &str = "\
A running daemon does this by itself, each hour; see `keep` in the section [store] of the
settings. A watch goes with its events, deliveries, attempts and evidence, once everything about
it is older than DURATION. One that is still watched, or has a pending delivery, stays. So does one
of a job in [[watches]], if the settings are read.

Without --older-than, a watch is kept as the daemon keeps it: for `keep`, or for the longest
`after_watch` of the services if that is longer. --older-than counts alone, and --database needs
it, because no settings are read then.

--compact writes the whole file anew. It needs as much free space as the database has, for a short
time. A database of a jobwatch before `keep` needs it once; from then on it shrinks by itself.

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

/// The database and the watches to delete.
struct Wanted {
    file: PathBuf,
    keep: Duration,
    expiry: Expiry,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|allowed| format!("must be {allowed}"))
}

impl Prune {
    pub(super) fn prune(&self) -> Result<Exit, Exit> {
        let wanted = self.wanted()?;
        if self.dry_run {
            let counted = count(&wanted.file, &wanted.expiry).map_err(|error| failed(&error))?;
            self.say_counted(&wanted, counted);
        } else {
            let report = prune(&wanted.file, &wanted.expiry, self.compact);
            self.say_report(&wanted, &report.map_err(|error| failed(&error))?);
        }
        Ok(Exit::Done)
    }

    fn wanted(&self) -> Result<Wanted, Exit> {
        let (file, keep, spared) = if let Some(file) = &self.database.database {
            (file.clone(), None, BTreeSet::new())
        } else {
            let settings = self.database.config.load_retention()?;
            (
                file_of(settings.database)?,
                settings.keep,
                settings.configured,
            )
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
            file,
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
            let more = json!({
                "dry_run": false, "compacted": self.compact,
                "bytes_before": bytes_before, "bytes": bytes, "free_bytes": free,
            });
            say_json(&wanted.as_json(*pruned, more));
            return;
        }
        say(&format!("deleted {}", wanted.in_words(*pruned)));
        say(&format!(
            "the database has {bytes} bytes (before: {bytes_before})"
        ));
        if *free > 0 {
            note(&format!(
                "{free} bytes of it are free for new watches; --compact gives them back to the file system"
            ));
        }
    }
}

impl Wanted {
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
            "database": self.file.display().to_string(),
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
