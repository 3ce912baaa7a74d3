//! Reads `[store]`: the database, and how long watches are kept.

use std::path::PathBuf;
use std::time::Duration;

use crate::clock::{parse_duration, show_duration};
use crate::settings::values::{Database, StoreSettings};
use crate::store::postgres::server::{CONNECTIONS, SCHEMES, Server};
use crate::store::postgres::tls::Protection;
use crate::tree::reader::Reader;

/// The shortest time for which a watch is kept after its end: clients have to learn of the end.
pub(super) const KEEP_MIN: Duration = Duration::from_hours(1);
/// The longest such time that is not for ever: 100 years.
pub(super) const KEEP_MAX: Duration = Duration::from_hours(36_500 * 24);
/// Stands for no end of that time.
pub(super) const FOREVER: &str = "forever";

/// The settings that only a server has.
const OF_SERVER: [&str; 8] = [
    "password",
    "password_file",
    "sslmode",
    "ca_file",
    "client_cert_file",
    "client_key_file",
    "connections",
    "replica",
];

pub(super) fn store(root: &Reader<'_>) -> Option<StoreSettings> {
    let section = root.section("store");
    let database = database(&section);
    let keep = keep(&section);
    section.finish();
    Some(StoreSettings {
        database: database?,
        keep: Some(keep?).filter(|keep| *keep != Duration::MAX),
    })
}

fn database(section: &Reader<'_>) -> Option<Database> {
    let url = section.expanded("url")?;
    if SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
        return server(section, &url).map(|server| Database::Postgres(Box::new(server)));
    }
    for key in OF_SERVER {
        if section.has(key) {
            section.ask(key);
            section.report(key, "has no effect with a URL of SQLite");
        }
    }
    match url.strip_prefix("sqlite://") {
        Some(path) if !path.is_empty() && !path.starts_with(':') => {
            Some(Database::Sqlite(PathBuf::from(path)))
        }
        _ => {
            // The text is not shown, because it may contain a password.
            section.report(
                "url",
                "must be sqlite:// and a path, as sqlite:///var/lib/jobwatch/jobwatch.db, or a server, as postgres://jobwatch@db.example.com/jobwatch",
            );
            None
        }
    }
}

fn server(section: &Reader<'_>, url: &str) -> Option<Server> {
    let mut server = Server::parse(url)
        .inspect_err(|message| section.report("url", message))
        .ok();
    if server.as_ref().is_none_or(Server::has_password) {
        section.hide("url");
    }
    let password = section.secret_source("password");
    let words = Protection::ALL.map(|it| (it.as_str(), it));
    let protection = section
        .has("sslmode")
        .then(|| section.choice("sslmode", &words));
    let ca = section.file("ca_file");
    let certificate = section.file("client_cert_file");
    let key = section.secret_file("client_key_file");
    for (one, other) in [
        ("client_cert_file", "client_key_file"),
        ("client_key_file", "client_cert_file"),
    ] {
        if section.has(one) && !section.has(other) {
            section.report(one, format!("needs {other} beside it"));
        }
    }
    let replica = section.has("replica").then(|| section.expanded("replica"));
    let connections = section
        .has("connections")
        .then(|| section.whole("connections", CONNECTIONS));
    let server = server.as_mut()?;
    if password.is_some() && server.has_password() {
        section.report(
            "password_file",
            "the URL has a password too; keep one of them",
        );
    }
    server.password = password;
    if let Some(protection) = protection {
        server.tls.protection = protection?;
    }
    server.tls.ca = ca;
    server.tls.client = certificate.zip(key);
    if let Some(connections) = connections {
        server.connections = connections? as usize;
    }
    if let Some(replica) = replica {
        server.replica = replica?;
    }
    if let Err(message) = server.check() {
        section.report("ca_file", message);
    }
    Some(server.clone())
}

/// Reads how long a watch is kept after its end; for ever is the longest duration.
fn keep(section: &Reader<'_>) -> Option<Duration> {
    let text = section.required_text("keep")?;
    if text == FOREVER {
        return Some(Duration::MAX);
    }
    match parse_duration(&text) {
        Ok(keep) if (KEEP_MIN..=KEEP_MAX).contains(&keep) => Some(keep),
        Ok(_) | Err(_) => {
            section.report(
                "keep",
                format!(
                    "\"{text}\" must be a duration from {} to {}d, such as \"30d\", or \"{FOREVER}\"",
                    show_duration(KEEP_MIN),
                    KEEP_MAX.as_secs() / 86_400
                ),
            );
            None
        }
    }
}
