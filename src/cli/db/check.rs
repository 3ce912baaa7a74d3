//! `jobwatch db check`: looks for damage, and counts watches and deliveries.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::db::{DatabaseArgs, failed};
use crate::cli::exit::Exit;
use crate::cli::output::{Paint, Table, plain, say, say_json};
use crate::settings::Database;
use crate::store::inspection::{Inspection, Users};
use crate::store::{postgres, sqlite};

const HELP: &str = "\
Reads the whole database and changes nothing. The daemon may run meanwhile.

Of a file, every page is read. Of a server, the rows are checked that contradict others, and the
indexes; damaged pages are for the tools of the server, such as pg_amcheck.

Exit codes: 0 sound, 1 damaged, unreadable, or written by a newer jobwatch or another program.";

#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Check {
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl Check {
    pub(super) async fn check(&self) -> Result<Exit, Exit> {
        let database = self.database.database()?;
        let inspection = match &database {
            Database::Sqlite(file) => sqlite::maintenance::inspect(file),
            Database::Postgres(server) => postgres::inspection::inspect(server).await,
        };
        let inspection = inspection.map_err(|error| failed(&error))?;
        if self.json {
            say_json(&as_json(&database, &inspection));
        } else {
            say(&in_words(&database, &inspection));
        }
        Ok(if inspection.is_sound() {
            Exit::Done
        } else {
            Exit::Failed
        })
    }
}

fn as_json(database: &Database, inspection: &Inspection) -> Value {
    let counts = |counts: &[(String, u64)]| -> Map<String, Value> {
        counts
            .iter()
            .map(|(name, count)| (name.clone(), Value::from(*count)))
            .collect()
    };
    let mut document = json!({
        "database": database.shown(),
        "sound": inspection.is_sound(),
        "schema": inspection.schema,
        "newest_schema": inspection.newest,
        "in_use": inspection.users.are_running(),
        "bytes": inspection.bytes,
        "findings": inspection.findings,
        "rows": counts(&inspection.rows),
        "watches": counts(&inspection.watches),
        "deliveries": counts(&inspection.deliveries),
    });
    if let Users::Replicas(names) = &inspection.users {
        document["replicas"] = json!(names);
    }
    document
}

fn in_words(database: &Database, inspection: &Inspection) -> String {
    let paint = Paint::for_stdout();
    let counts = |counts: &[(String, u64)]| {
        let each = counts.iter();
        in_list(each.map(|(name, count)| format!("{count} {}", plain(name))))
    };
    let running = |is_running: bool| if is_running { "running" } else { "not running" };
    let users = match &inspection.users {
        Users::Daemon(is_running) => ("daemon", running(*is_running).to_owned()),
        Users::Replicas(names) => ("replicas", in_list(names.iter().map(|name| plain(name)))),
    };
    let mut table = Table::default();
    for (name, value) in [
        ("database", database.shown()),
        ("result", result(inspection, paint)),
        ("schema", schema(inspection)),
        users,
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

fn in_list(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(", ")
    }
}

fn result(inspection: &Inspection, paint: Paint) -> String {
    if inspection.is_sound() {
        paint.as_state("succeeded", "sound")
    } else if !inspection.is_ours {
        paint.as_state("failed", "the database of another program")
    } else if inspection.findings.is_empty() {
        paint.as_state("failed", "written by a newer jobwatch")
    } else if matches!(inspection.users, Users::Replicas(_)) {
        paint.as_state(
            "failed",
            "damaged: mend what is listed, or restore a backup",
        )
    } else {
        paint.as_state("failed", "damaged: restore a backup")
    }
}

fn schema(inspection: &Inspection) -> String {
    let (schema, newest) = (inspection.schema, inspection.newest);
    match schema.cmp(&newest) {
        _ if !inspection.is_ours => schema.to_string(),
        std::cmp::Ordering::Less => format!("{schema}; `jobwatch run` migrates it to {newest}"),
        std::cmp::Ordering::Equal => schema.to_string(),
        std::cmp::Ordering::Greater => {
            format!("{schema}, newer than this jobwatch supports ({newest}): use a newer jobwatch")
        }
    }
}
