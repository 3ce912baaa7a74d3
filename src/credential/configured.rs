//! A credential as configured, before anything is asked: the contract of its kind, and what
//! is built from it.

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

    /// The identity service that it asks, if it asks one. That one also knows the URLs of
    /// services.
    fn auth_url(&self) -> Option<&Url> {
        None
    }

    /// The name of the project it is good for, where it is known by name.
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

    /// Builds the issuer. Nothing is asked yet.
    ///
    /// # Errors
    /// TLS cannot be set up, or the source is not there.
    fn issuer(&self, parts: &Parts<'_>) -> Result<Box<dyn Issuer>, BuildError>;
}

/// What an issuer is built with.
pub struct Parts<'a> {
    /// The credential's name.
    pub name: &'a str,
    /// True if a service needs the URLs of services from it.
    pub wants_catalog: bool,
    /// The credential of [`ConfiguredCredential::source`].
    pub source: Option<SharedCredential>,
    /// The clock of the program.
    pub clock: &'a SharedClock,
}

/// Why credentials cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// TLS cannot be set up.
    #[error("the client of the identity service")]
    Tls(#[from] reqwest::Error),
    /// An agency's source is not there, or comes back to the agency itself.
    #[error(
        "the credential `{credential}` has the source `{source_name}`, which is not configured or leads back to it"
    )]
    Source {
        /// The agency's name.
        credential: String,
        /// The source's.
        source_name: String,
    },
}

/// Reads the keys of one kind; `None` after it reported an error.
pub(crate) type Read = fn(&Reader<'_>) -> Option<CredentialSettings>;

/// A section `[credentials.NAME]`.
#[derive(Debug, Clone)]
pub struct CredentialSettings {
    /// What is set of its kind.
    pub credential: Arc<dyn ConfiguredCredential>,
    /// The region it belongs to, where that is known.
    pub region: Option<String>,
}

impl CredentialSettings {
    /// The settings of a credential without a region of its own: the name of its project may
    /// begin with one.
    pub(crate) fn of(credential: impl ConfiguredCredential) -> Self {
        let project = credential.project_name();
        let region = project.and_then(region_of_project).map(str::to_owned);
        Self {
            credential: Arc::new(credential),
            region,
        }
    }
}
