//! The settings as values, checked and ready for use.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::actions::hint::HintSources;
use crate::credential::configured::CredentialSettings;
use crate::definition::catalog::Catalog;
use crate::diagnostic::Diagnostic;
use crate::service::settings::ServiceSettings;
use crate::sink::SinkSettings;
use crate::sink::callback::CallbackSettings;
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
    /// The path of the database file.
    pub store: PathBuf,
    pub api: ApiSettings,
    /// The configured credentials, by name.
    pub credentials: BTreeMap<String, CredentialSettings>,
    /// The configured services, by name.
    pub services: BTreeMap<String, ServiceSettings>,
    /// The hints about jobs, for the services that take some.
    pub hints: HintSources,
    /// The configured sinks, by name.
    pub sinks: BTreeMap<String, SinkSettings>,
    /// The watches that are submitted on start.
    pub watches: Vec<WatchRequest>,
    /// The built-in definitions and those of `services_dir`.
    pub catalog: Catalog,
}

/// The settings of the HTTP API.
#[derive(Clone)]
pub struct ApiSettings {
    pub listen: SocketAddr,
    /// The token of clients that may read.
    pub read_token: Option<SecretString>,
    /// The token of clients that may also submit and stop.
    pub write_token: Option<SecretString>,
    /// The most connections at the same time.
    pub connections: usize,
    /// The limits for the `callback_url` of watches; `None` if callbacks are not allowed.
    pub callback: Option<CallbackSettings>,
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
