//! `jobwatch db`: checks the database, backs it up, copies it to another place, or deletes old
//! watches from it.

mod check;
mod copy;
mod prune;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::config_args::ConfigArgs;
use crate::cli::db::check::Check;
use crate::cli::db::copy::Copy;
use crate::cli::db::prune::Prune;
use crate::cli::exit::Exit;
use crate::cli::output::{complain, say, say_json};
use crate::settings::Database;
use crate::store::StoreError;
use crate::store::sqlite::maintenance;

/// Checks the database, backs it up, copies it to another place, or deletes old watches from it.
#[derive(Args)]
pub(super) struct Db {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check the database for damage, and count its watches and deliveries
    Check(Check),
    /// Copy the database file, as of one moment, to a new file
    Backup(Backup),
    /// Copy everything to a new database, also to another kind of store
    Copy(Copy),
    /// Delete watches that ended long ago, and give their space back; the daemon of a file must be
    /// stopped, unless --dry-run only counts them
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

const BACKUP_HELP: &str = "\
The copy is complete and compact, and only its owner may read it. An existing file is not
overwritten. The database of a server is backed up with its own tools, such as pg_dump.

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
    pub(super) async fn execute(self) -> Exit {
        let done = match self.command {
            Command::Check(check) => check.check().await,
            Command::Backup(backup) => backup.back_up(),
            Command::Copy(copy) => copy.copy().await,
            Command::Prune(prune) => prune.prune().await,
        };
        match done {
            Ok(exit) | Err(exit) => exit,
        }
    }
}

impl DatabaseArgs {
    fn database(&self) -> Result<Database, Exit> {
        if let Some(file) = &self.database {
            return Ok(Database::Sqlite(file.clone()));
        }
        Ok(self.config.load_store()?.database)
    }
}

impl Backup {
    fn back_up(&self) -> Result<Exit, Exit> {
        let file = match self.database.database()? {
            Database::Sqlite(file) => file,
            Database::Postgres(server) => {
                complain(&format!(
                    "{} is a server, and this command copies a file; use its own tools, such as pg_dump",
                    server.shown()
                ));
                return Err(Exit::Usage);
            }
        };
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
