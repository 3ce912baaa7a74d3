//! `jobwatch db copy`: copies a whole database to another place, also to another kind of store.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::config_args::ConfigArgs;
use crate::cli::db::failed;
use crate::cli::exit::Exit;
use crate::cli::output::{complain, say, say_json};
use crate::outbound::secret::Secret;
use crate::settings::Database;
use crate::store::copy::copy;
use crate::store::postgres::server::{SCHEMES, Server};
use crate::store::{postgres, sqlite};

const HELP: &str = "\
FROM and TO are URLs: sqlite:///PATH or postgres://USER@HOST/DATABASE. TO must be a new file or an
empty database. No daemon may use either of them, so stop it first; for a server, stop every replica.

Watches keep their order and their ids, events their positions, so clients go on reading where
they were. All is copied in one transaction: after a failure, TO is as empty as before. FROM does
not change. To begin to use the copy, set store.url to TO and start the daemon. Do not start one on
FROM again: receivers would get events twice.

A URL with a password is refused, because other users of this machine could read it. A server that
store.url of the configuration names is used as configured there, with its password and
certificates. For any other one, name files with --password-file and --ca-file, and the protection
in the URL: ?sslmode=verify-full (the default), verify-ca, require or disable.

Exit codes: 0 done, 1 failed, for example because TO is not empty, 2 usage.

  jobwatch db copy sqlite:///var/lib/jobwatch/jobwatch.db postgres://jobwatch@db.example.com/jobwatch";

#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Copy {
    /// The URL of the database to read
    from: String,
    /// The URL of the new or empty database
    to: String,
    /// The file with the password for a server that the configuration does not name
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The certificates to trust for such a server, in PEM [default: those of the system]
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Copy {
    pub(super) async fn copy(&self) -> Result<Exit, Exit> {
        let (from, to) = (self.place(&self.from)?, self.place(&self.to)?);
        if from.shown() == to.shown() {
            return Err(refused("FROM and TO are the same database"));
        }
        let source = match &from {
            Database::Sqlite(file) => sqlite::copy::source(file),
            Database::Postgres(server) => postgres::copy::source(server).await,
        };
        let source = source.map_err(|error| failed(&error))?;
        let target = match &to {
            Database::Sqlite(file) => sqlite::copy::target(file),
            Database::Postgres(server) => postgres::copy::target(server).await,
        };
        let target = target.map_err(|error| failed(&error))?;
        let copied = copy(source, target).await.map_err(|error| failed(&error))?;
        let (from, to) = (from.shown(), to.shown());
        if self.json {
            let rows = copied.into_iter();
            let rows: Map<String, Value> =
                rows.map(|(name, n)| (name.to_owned(), n.into())).collect();
            say_json(&json!({ "from": from, "to": to, "rows": rows }));
        } else {
            let rows = copied
                .iter()
                .map(|(name, n)| format!("{n} {}", name.replace('_', " ")));
            let rows: Vec<String> = rows.collect();
            say(&format!("copied {from} to {to}: {}", rows.join(", ")));
        }
        Ok(Exit::Done)
    }

    /// Reads the URL of a file or a server.
    fn place(&self, url: &str) -> Result<Database, Exit> {
        if SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
            return Ok(Database::Postgres(Box::new(self.server(url)?)));
        }
        match url.strip_prefix("sqlite://") {
            Some(path) if !path.is_empty() => Ok(Database::Sqlite(PathBuf::from(path))),
            _ => Err(refused(
                "a database must be sqlite:// and a path, as sqlite:///var/lib/jobwatch/jobwatch.db, or a server, as postgres://jobwatch@db.example.com/jobwatch",
            )),
        }
    }

    fn server(&self, url: &str) -> Result<Server, Exit> {
        let mut server = Server::parse(url)
            .map_err(|message| refused(&format!("the URL of a server {message}")))?;
        if server.has_password() {
            return Err(refused(
                "the URL has a password, which other users of this machine can read; write it into a file and name that with --password-file",
            ));
        }
        if let Database::Postgres(configured) = self.config.load_store()?.database
            && configured.shown() == server.shown()
        {
            return Ok(*configured);
        }
        server.password = self.password_file.clone().map(Secret::File);
        server.tls.ca.clone_from(&self.ca_file);
        server
            .check()
            .map_err(|message| refused(&format!("--ca-file: {message}")))?;
        Ok(server)
    }
}

fn refused(message: &str) -> Exit {
    complain(message);
    Exit::Usage
}
