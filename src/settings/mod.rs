//! Settings: from files and environment to values that are ready for use.
//!
//! [`source`] layers the sources, [`reader`] takes values out of them and collects every
//! problem ([`secret`] does files and secrets), [`sections`] says which values there are
//! ([`credentials`], [`services`], where they are ([`endpoint`]), [`sinks`], [`webhooks`]
//! and [`local_sinks`] have files of their own), and [`build`] makes the parts of the program from them. [`accounts`] finds
//! credentials where other tools keep theirs. `config/default.toml` is the manual: every key stands there.

mod accounts;
pub mod build;
mod credentials;
mod endpoint;
mod sections;
mod services;
mod sinks;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::credential::spec::CredentialSpec;
use crate::definition::Definition;
use crate::definition::catalog::Catalog;
use crate::schedule::budget::Limits;
use crate::service::Base;
use crate::sink::SinkSettings;
use crate::sink::callback::CallbackSettings;
use crate::telemetry::LogSettings;
use crate::timing::Timing;
use crate::watch::Params;
use crate::watch::request::WatchRequest;

pub use crate::diagnostic::{Diagnostic, Diagnostics};
pub use crate::settings::credentials::NO_CREDENTIAL;
pub use crate::tree::source::Sources;
use crate::tree::source::layer;

/// The embedded defaults, with every key documented.
pub const DEFAULT: &str = include_str!("../../config/default.toml");

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

/// A credential.
#[derive(Debug, Clone)]
pub struct CredentialSettings {
    /// How it proves who asks.
    pub spec: CredentialSpec,
    /// The region it belongs to, if anybody says.
    pub region: Option<String>,
}

impl From<CredentialSpec> for CredentialSettings {
    fn from(spec: CredentialSpec) -> Self {
        let project = spec.project_name();
        let region = project.and_then(accounts::location::region_of_project);
        let region = region.map(str::to_owned);
        Self { spec, region }
    }
}

/// A service.
#[derive(Debug, Clone)]
pub struct ServiceSettings {
    /// How its API looks.
    pub definition: Arc<Definition>,
    /// Where it is.
    pub base: Base,
    /// The credential's name.
    pub credential: String,
    /// Values for the definition's placeholders.
    pub params: Params,
    /// How much it may be asked.
    pub limits: Limits,
    /// When to poll, and how long to wait for what.
    pub timing: Timing,
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

/// Reads and checks the settings.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(sources: &Sources) -> Result<Loaded, Diagnostics> {
    let layered = layer(DEFAULT, sources)?;
    let (settings, notes, also_read) = sections::read(&layered);
    let (diagnostics, warnings): (Vec<_>, Vec<_>) =
        notes.into_iter().partition(|note| !note.is_warning);
    match settings {
        Some(settings) if diagnostics.is_empty() => Ok(Loaded {
            settings,
            warnings,
            files: [layered.files(), also_read].concat(),
        }),
        _ => Err(Diagnostics(diagnostics)),
    }
}
