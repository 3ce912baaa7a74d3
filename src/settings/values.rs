//! Everything that is set, checked and ready for use.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::credential::configured::CredentialSettings;
use crate::definition::catalog::Catalog;
use crate::diagnostic::Diagnostic;
use crate::service::settings::ServiceSettings;
use crate::sink::SinkSettings;
use crate::sink::callback::CallbackSettings;
use crate::telemetry::LogSettings;
use crate::watch::request::WatchRequest;

/// Everything that is set, checked.
#[derive(Clone)]
pub struct Settings {
    /// Our name in events.
    pub instance: String,
    /// How long a stop may take.
    pub stop_timeout: Duration,
    /// How to log.
    pub log: LogSettings,
    /// The database file.
    pub store: PathBuf,
    /// The HTTP API.
    pub api: ApiSettings,
    /// The largest answer that is read, in bytes.
    pub max_body: usize,
    /// Who asks, by name.
    pub credentials: BTreeMap<String, CredentialSettings>,
    /// What can be watched, by name.
    pub services: BTreeMap<String, ServiceSettings>,
    /// Where events go, by name.
    pub sinks: BTreeMap<String, SinkSettings>,
    /// Watches submitted on start.
    pub watches: Vec<WatchRequest>,
    /// All definitions.
    pub catalog: Catalog,
}

/// The HTTP API.
#[derive(Clone)]
pub struct ApiSettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The token of those who may read.
    pub read_token: Option<SecretString>,
    /// The token of those who may also submit and stop.
    pub write_token: Option<SecretString>,
    /// Connections at a time.
    pub connections: usize,
    /// What is allowed of the `callback_url` of watches; `None` when nothing is.
    pub callback: Option<CallbackSettings>,
}

/// Settings, and what a person should know about them although they work.
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Warnings.
    pub warnings: Vec<Diagnostic>,
    /// The files that were read, in order.
    pub files: Vec<PathBuf>,
}
