//! The settings as values, checked and ready for use.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::actions::hint::HintSources;
use crate::certificate::Certificate;
use crate::credential::configured::CredentialSettings;
use crate::definition::catalog::Catalog;
use crate::diagnostic::Diagnostic;
use crate::service::settings::ServiceSettings;
use crate::sink::SinkSettings;
use crate::sink::callback::CallbackSettings;
use crate::store::postgres::server::Server;
use crate::telemetry::LogSettings;
use crate::watch::request::WatchRequest;

/// All settings of one start, checked.
#[derive(Clone)]
pub struct Settings {
    /// The name of this installation in events.
    pub instance: String,
    /// The longest time for a stop.
    pub stop_timeout: Duration,
    pub log: LogSettings,
    pub store: StoreSettings,
    pub api: ApiSettings,
    /// The configured credentials, by name.
    pub credentials: BTreeMap<String, CredentialSettings>,
    /// The configured services, by name.
    pub services: BTreeMap<String, ServiceSettings>,
    /// The hints about jobs, for the services that take some.
    pub hints: HintSources,
    /// The configured sinks, by name.
    pub sinks: BTreeMap<String, SinkSettings>,
    /// The folder from which submissions are taken.
    pub drop_dir: Option<PathBuf>,
    /// The watches that are submitted on start.
    pub watches: Vec<WatchRequest>,
    /// The built-in definitions and those of `services_dir`.
    pub catalog: Catalog,
}

/// The database of a store.
#[derive(Debug, Clone)]
pub enum Database {
    /// The path of a file of `SQLite`.
    Sqlite(PathBuf),
    /// A server of PostgreSQL, with its database.
    Postgres(Box<Server>),
}

impl Database {
    /// Returns the path or the URL of the database, without a password.
    pub fn shown(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::Postgres(server) => server.shown(),
        }
    }
}

/// The settings of the store.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    pub database: Database,
    /// How long a watch is kept after its end; `None` for ever.
    pub keep: Option<Duration>,
}

impl StoreSettings {
    /// Returns how long a watch is kept after its end if watches get late polls for these times
    /// (`after_watch`); `None` for ever. A watch that may get a late result is kept as long.
    pub fn keep_with(&self, late: impl IntoIterator<Item = Duration>) -> Option<Duration> {
        let late = late.into_iter().max().unwrap_or_default();
        self.keep.map(|keep| keep.max(late))
    }
}

/// The settings that say which watches are old.
#[derive(Debug, Clone)]
pub struct RetentionSettings {
    pub database: Database,
    /// How long a watch is kept after its end, as the daemon keeps it; `None` for ever.
    pub keep: Option<Duration>,
    /// The jobs of the `[[watches]]`, by service and job id.
    pub configured: BTreeSet<(String, String)>,
}

/// The settings of the HTTP API.
#[derive(Clone)]
pub struct ApiSettings {
    /// The address of TCP; `None` if it listens on the socket only.
    pub listen: Option<SocketAddr>,
    pub socket: Option<SocketSettings>,
    /// The certificate for TLS at `listen`; `None` for plain HTTP.
    pub certificate: Option<Arc<Certificate>>,
    /// The token of clients that may read.
    pub read_token: Option<SecretString>,
    /// The token of clients that may also submit and stop.
    pub write_token: Option<SecretString>,
    /// The most connections at the same time.
    pub connections: usize,
    /// The limits for the `callback_url` of watches; `None` if callbacks are not allowed.
    pub callback: Option<CallbackSettings>,
}

/// The Unix socket of the API.
#[derive(Debug, Clone)]
pub struct SocketSettings {
    pub path: PathBuf,
    /// The permissions of its file.
    pub mode: u32,
}

impl ApiSettings {
    /// Writes the places where the API listens, as URLs.
    pub fn places(&self) -> Vec<String> {
        let scheme = if self.certificate.is_some() {
            "https"
        } else {
            "http"
        };
        let listen = self.listen.map(|listen| format!("{scheme}://{listen}"));
        let socket = self.socket.as_ref();
        let socket = socket.map(|socket| format!("unix://{}", socket.path.display()));
        listen.into_iter().chain(socket).collect()
    }
}

/// Settings, and the warnings about them.
pub struct Loaded {
    pub settings: Settings,
    pub warnings: Vec<Diagnostic>,
    /// The values that could not be checked here.
    pub notes: Vec<Diagnostic>,
    /// The files that were read, in order.
    pub files: Vec<PathBuf>,
}
