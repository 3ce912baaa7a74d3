//! A credential as configured, before any request is sent: the contract of its kind, and
//! the parts that build it.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use reqwest::Url;

use crate::clock::SharedClock;
use crate::credential::location::region_of_project;
use crate::credential::{Issuer, SharedCredential};
use crate::tree::reader::Reader;

/// The settings of one credential that its kind has read and checked.
pub trait ConfiguredCredential: Any + Debug + Send + Sync {
    /// The word for its kind in the configuration.
    fn kind(&self) -> &'static str;

    /// The identity service that the credential asks, if any. It also knows the URLs of
    /// services.
    fn auth_url(&self) -> Option<&Url> {
        None
    }

    /// The name of the credential's project, if it is configured by name.
    fn project_name(&self) -> Option<&str> {
        None
    }

    /// True if its requests carry or are signed with a secret.
    fn has_secret(&self) -> bool {
        true
    }

    /// The name of the credential that it is derived from.
    fn source(&self) -> Option<&str> {
        None
    }

    /// Describes where its secret is from and what for, for `jobwatch check`; shows no secret.
    fn in_words(&self) -> Option<String> {
        self.auth_url().map(Url::to_string)
    }

    /// Builds the issuer. Sends no request.
    ///
    /// # Errors
    /// TLS cannot be set up, or there is no source.
    fn issuer(&self, parts: &Parts<'_>) -> Result<Box<dyn Issuer>, BuildError>;
}

/// The parts that an issuer is built from.
pub struct Parts<'a> {
    pub name: &'a str,
    /// True if a service needs the URLs of services from it.
    pub wants_catalog: bool,
    pub source: Option<SharedCredential>,
    pub clock: &'a SharedClock,
}

/// The reasons why credentials cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// TLS cannot be set up.
    #[error("the client of the identity service")]
    Tls(#[from] reqwest::Error),
    /// An agency's source is not configured, or leads back to the agency itself.
    #[error(
        "the credential `{credential}` has the source `{source_name}`, which is not configured or leads back to it"
    )]
    Source {
        credential: String,
        source_name: String,
    },
}

/// Reads the keys of one kind; `None` after it reported an error.
pub(crate) type Read = fn(&Reader<'_>) -> Option<CredentialSettings>;

/// The settings of one section `[credentials.NAME]`.
#[derive(Debug, Clone)]
pub struct CredentialSettings {
    /// The settings of its kind.
    pub credential: Arc<dyn ConfiguredCredential>,
    /// The region it belongs to, if that is known.
    pub region: Option<String>,
}

impl CredentialSettings {
    /// Returns the settings of a credential without a region of its own. The name of its
    /// project may begin with one.
    pub(crate) fn of(credential: impl ConfiguredCredential) -> Self {
        let project = credential.project_name();
        let region = project.and_then(region_of_project).map(str::to_owned);
        Self {
            credential: Arc::new(credential),
            region,
        }
    }
}
