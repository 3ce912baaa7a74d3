//! `jobwatch db`: checks the database file, backs it up, or deletes old watches from it.

mod prune;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::cli::config_args::ConfigArgs;
use crate::cli::db::prune::Prune;
use crate::cli::exit::Exit;
use crate::cli::output::{Paint, Table, complain, plain, say, say_json};
use crate::settings::Database;
use crate::store::StoreError;
use crate::store::sqlite::maintenance;
use crate::store::sqlite::maintenance::Inspection;

/// Checks the database, backs it up, or deletes old watches from it.
#[derive(Args)]
pub(super) struct Db {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check the file for damage, and count its watches and deliveries
    Check(Check),
    /// Copy the database, as of one moment, to a new file
    Backup(Backup),
    /// Delete watches that ended long ago, and give their space back; the daemon must be stopped,
    /// unless --dry-run only counts them
    Prune(Prune),
}

/// The options that select the database.
#[derive(Args)]
struct DatabaseArgs {
    /// The database file [default: the file of store.url in the configuration]
    #[arg(long, value_name = "FILE", conflicts_with = "files")]
    database: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

const CHECK_HELP: &str = "\
Reads the whole file and changes nothing. The daemon may run meanwhile.

Exit codes: 0 sound, 1 damaged, unreadable, or written by a newer jobwatch or another program.";

#[derive(Args)]
#[command(after_help = CHECK_HELP)]
struct Check {
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

const BACKUP_HELP: &str = "\
The copy is complete and compact, and only its owner may read it. An existing file is not
overwritten.

To restore: stop the daemon, remove DATABASE-wal and DATABASE-shm, replace DATABASE by the
copy, and start the daemon. It then knows nothing that happened after the copy was made: submit
later jobs again, and expect that receivers get some events again, under the same event ids.

  jobwatch db backup /var/backups/jobwatch-$(date +%F).db";

#[derive(Args)]
#[command(after_help = BACKUP_HELP)]
struct Backup {
    /// The new file for the copy; it must not exist
    #[arg(value_name = "FILE")]
    copy: PathBuf,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl Db {
    pub(super) fn execute(self) -> Exit {
        let done = match self.command {
            Command::Check(check) => check.check(),
            Command::Backup(backup) => backup.back_up(),
            Command::Prune(prune) => prune.prune(),
        };
        match done {
            Ok(exit) | Err(exit) => exit,
        }
    }
}

impl DatabaseArgs {
    fn file(&self) -> Result<PathBuf, Exit> {
        if let Some(file) = &self.database {
            return Ok(file.clone());
        }
        file_of(self.config.load_store()?.database)
    }
}

/// Returns the file of a database.
fn file_of(database: Database) -> Result<PathBuf, Exit> {
    match database {
        Database::Sqlite(file) => Ok(file),
        Database::Postgres(server) => {
            complain(&format!(
                "{} is a server, and this command works with a file",
                server.shown()
            ));
            Err(Exit::Usage)
        }
    }
}

impl Check {
    fn check(&self) -> Result<Exit, Exit> {
        let file = self.database.file()?;
        let inspection = maintenance::inspect(&file).map_err(|error| failed(&error))?;
        if self.json {
            say_json(&as_json(&file, &inspection));
        } else {
            say(&in_words(&file, &inspection));
        }
        Ok(if inspection.is_sound() {
            Exit::Done
        } else {
            Exit::Failed
        })
    }
}

impl Backup {
    fn back_up(&self) -> Result<Exit, Exit> {
        let file = self.database.file()?;
        let bytes = maintenance::back_up(&file, &self.copy).map_err(|error| failed(&error))?;
        let (database, copy) = (file.display(), self.copy.display());
        if self.json {
            say_json(&json!({
                "database": database.to_string(), "copy": copy.to_string(), "bytes": bytes,
            }));
        } else {
            say(&format!("copied {database} to {copy} ({bytes} bytes)"));
        }
        Ok(Exit::Done)
    }
}

fn failed(error: &StoreError) -> Exit {
    let source = std::error::Error::source(error);
    match source {
        Some(source) => complain(&format!("{error}: {source}")),
        None => complain(&error.to_string()),
    }
    Exit::Failed
}

fn as_json(file: &Path, inspection: &Inspection) -> Value {
    let counts = |counts: &[(String, u64)]| -> Map<String, Value> {
        counts
            .iter()
            .map(|(name, count)| (name.clone(), Value::from(*count)))
            .collect()
    };
    json!({
        "database": file.display().to_string(),
        "sound": inspection.is_sound(),
        "schema": inspection.schema,
        "newest_schema": inspection.newest,
        "in_use": inspection.in_use,
        "bytes": inspection.bytes,
        "findings": inspection.findings,
        "rows": counts(&inspection.rows),
        "watches": counts(&inspection.watches),
        "deliveries": counts(&inspection.deliveries),
    })
}

fn in_words(file: &Path, inspection: &Inspection) -> String {
    let paint = Paint::for_stdout();
    let counts = |counts: &[(String, u64)]| {
        let each: Vec<String> = counts
            .iter()
            .map(|(name, count)| format!("{count} {}", plain(name)))
            .collect();
        if each.is_empty() {
            "none".to_owned()
        } else {
            each.join(", ")
        }
    };
    let (schema, newest) = (inspection.schema, inspection.newest);
    let schema = match schema.cmp(&newest) {
        _ if !inspection.is_ours => schema.to_string(),
        std::cmp::Ordering::Less => format!("{schema}; `jobwatch run` migrates it to {newest}"),
        std::cmp::Ordering::Equal => schema.to_string(),
        std::cmp::Ordering::Greater => {
            format!("{schema}, newer than this jobwatch supports ({newest}): use a newer jobwatch")
        }
    };
    let result = if inspection.is_sound() {
        paint.as_state("succeeded", "sound")
    } else if !inspection.is_ours {
        paint.as_state("failed", "the database of another program")
    } else if inspection.findings.is_empty() {
        paint.as_state("failed", "written by a newer jobwatch")
    } else {
        paint.as_state("failed", "damaged: restore a backup")
    };
    let mut table = Table::default();
    for (name, value) in [
        ("database", file.display().to_string()),
        ("result", result),
        ("schema", schema),
        (
            "daemon",
            if inspection.in_use {
                "running"
            } else {
                "not running"
            }
            .to_owned(),
        ),
        ("size", format!("{} bytes", inspection.bytes)),
        ("rows", counts(&inspection.rows)),
        ("watches", counts(&inspection.watches)),
        ("deliveries", counts(&inspection.deliveries)),
    ] {
        table.row(vec![paint.dim(name), value]);
    }
    let mut text = table.render();
    for finding in &inspection.findings {
        text.push_str("\n  ");
        text.push_str(&plain(finding));
    }
    text
}
