//! How a request proves who asks: the contract, and one file for each kind.
//!
//! A credential is shared by all services and watches that use it. It signs requests,
//! and gets a new secret when the service refuses the present one.

pub mod none;
pub mod token;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

/// A credential shared by everything that uses it.
pub type SharedCredential = Arc<dyn Credential>;

/// Names one generation of a secret, so that a refusal can be matched with what was sent:
/// of a thousand polls refused together, only the first makes a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Generation(pub u64);

/// What came of asking for a new secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// There is another secret than the refused one: try again.
    Renewed,
    /// There is no other.
    Same,
}

/// A secret that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A file with a secret cannot be read.
    #[error("credential `{credential}`: cannot read {file}: {source}")]
    Unreadable {
        /// The name in the configuration.
        credential: String,
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds something that is no secret of this kind.
    #[error("credential `{credential}`: {file} {problem}")]
    Unusable {
        /// The name in the configuration.
        credential: String,
        /// The file.
        file: String,
        /// What is wrong with its content; never the content.
        problem: &'static str,
    },
}

/// Proves who asks.
#[async_trait]
pub trait Credential: Send + Sync {
    /// The word for this kind in the configuration.
    fn kind(&self) -> &'static str;

    /// Adds the proof to `request`, and tells which secret was used.
    ///
    /// # Errors
    /// The secret cannot be had; nothing was sent.
    async fn authorise(
        &self,
        request: &mut reqwest::Request,
        now: Timestamp,
    ) -> Result<Generation, CredentialError>;

    /// The service refused the secret of generation `refused`: gets another, once for all
    /// who ask at the same time.
    ///
    /// # Errors
    /// No other secret can be had.
    async fn renew(&self, refused: Generation, now: Timestamp) -> Result<Renewal, CredentialError>;
}
