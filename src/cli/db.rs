//! `jobwatch db`: looking after the database file.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::cli::output::{Paint, Table, complain, plain, say, say_json};
use crate::cli::{ConfigArgs, Exit};
use crate::store::StoreError;
use crate::store::sqlite::maintenance;
use crate::store::sqlite::maintenance::Inspection;

/// Checks the database, or makes a copy of it; the daemon may run meanwhile.
#[derive(Args)]
pub(super) struct Db {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Look for damage, and count what there is
    Check(Check),
    /// Copy the database as it stands at one moment
    Backup(Backup),
}

/// Which database.
#[derive(Args)]
struct Which {
    /// The database file [default: that of store.url in the settings]
    #[arg(long, value_name = "FILE", conflicts_with = "files")]
    database: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

const CHECK_HELP: &str = "\
Reads every page, and changes nothing: it takes as long as reading the file does.

Exit codes: 0 sound, 1 damaged, not readable, or written by a newer jobwatch or another program.";

/// Looks for damage.
#[derive(Args)]
#[command(after_help = CHECK_HELP)]
struct Check {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

const BACKUP_HELP: &str = "\
The copy is whole and compact, and only its owner may read it. A file that is there already is
not overwritten. To restore: stop jobwatch, remove DATABASE-wal and DATABASE-shm, put the copy
in the place of DATABASE, start. What happened since the copy is then unknown: jobs that were
submitted later must be submitted again, and events may be told twice under the same ids.

  jobwatch db backup /var/backups/jobwatch-$(date +%F).db";

/// Makes a copy.
#[derive(Args)]
#[command(after_help = BACKUP_HELP)]
struct Backup {
    /// Where the copy goes
    #[arg(value_name = "FILE")]
    copy: PathBuf,
    #[command(flatten)]
    which: Which,
}

impl Db {
    pub(super) fn execute(self) -> Exit {
        let done = match self.command {
            Command::Check(check) => check.check(),
            Command::Backup(backup) => backup.back_up(),
        };
        match done {
            Ok(exit) | Err(exit) => exit,
        }
    }
}

impl Which {
    fn file(&self) -> Result<PathBuf, Exit> {
        if let Some(file) = &self.database {
            return Ok(file.clone());
        }
        let loaded = self.config.load().map_err(|problems| {
            complain(&problems.to_string());
            Exit::Usage
        })?;
        Ok(loaded.settings.store)
    }
}

impl Check {
    fn check(&self) -> Result<Exit, Exit> {
        let file = self.which.file()?;
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
        let file = self.which.file()?;
        let bytes = maintenance::back_up(&file, &self.copy).map_err(|error| failed(&error))?;
        say(&format!(
            "{} was copied to {} ({bytes} bytes)",
            file.display(),
            self.copy.display()
        ));
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
        std::cmp::Ordering::Less => format!("{schema}; `jobwatch run` brings it to {newest}"),
        std::cmp::Ordering::Equal => schema.to_string(),
        std::cmp::Ordering::Greater => {
            format!("{schema}, and this jobwatch knows {newest} at most: use the newer one")
        }
    };
    let result = if inspection.is_sound() {
        paint.as_state("succeeded", "sound")
    } else if !inspection.is_ours {
        paint.as_state("failed", "a database of another program")
    } else if inspection.findings.is_empty() {
        paint.as_state("failed", "newer than this jobwatch")
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
