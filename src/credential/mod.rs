//! Authenticates requests.
//!
//! Each of the [`kinds`] reads its own section of the configuration, into a
//! [`configured::ConfiguredCredential`]; `discovery` finds credentials in the files and
//! variables of other tools. [`build`] makes a [`Credential`] of it: the kind's [`Issuer`],
//! and around it the parts that all kinds share.
//!
//! A credential is shared by all services and watches that use it. It asks its issuer once
//! for all polls that need a secret at the same time, renews before the [`lease`] ends and
//! after a refusal, waits longer after each failure, stops signing before the key is locked
//! ([`signing_gate`]), and notices a wrong clock. Polls take its [present
//! secret](Credential::present) and put it on their requests.
//!
//! A failure here is a problem of a poll, never the end of a watch.

pub mod build;
pub mod configured;
mod discovery;
mod exchange;
pub(crate) mod identity;
mod issued;
pub mod kinds;
pub mod lease;
mod location;
pub mod refusal;
mod renewal;
pub mod request_auth;
pub mod scope;
pub(crate) mod section;
pub mod signing;
pub mod signing_gate;
pub mod skew;
mod status;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::clock::show_duration;
use crate::credential::lease::Failing;
use crate::credential::request_auth::RequestAuth;
use crate::credential::scope::Scope;
use crate::outbound::secret::{SecretError, Stamp};

pub use crate::credential::issued::{Generation, IssuedSecret};
pub use crate::credential::kinds::none::KIND as NO_CREDENTIAL;
pub use crate::credential::renewal::{Credential, SharedCredential};
pub use crate::credential::status::{CredentialStatus, Trouble};

/// The result of asking for a new secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// There is another secret than the refused one: try again.
    Renewed,
    /// The issuer has no other secret than the refused one.
    Same,
}

/// A secret from an issuer, before it becomes an [`IssuedSecret`].
pub struct Grant {
    /// The part that is put on requests.
    pub auth: RequestAuth,
    /// The lifetime by the issuer's own clock; `None` means until the secret is refused.
    pub lifetime: Option<Duration>,
    /// The user, project and services that the secret is for.
    pub scope: Scope,
    /// How far the issuer's clock is ahead of ours, in seconds, if the answer had a `Date`.
    pub clock_ahead_s: Option<i64>,
}

impl Grant {
    /// Returns a grant that can be used until it is refused, without scope or lifetime.
    pub fn of(auth: RequestAuth) -> Self {
        Self {
            auth,
            lifetime: None,
            scope: Scope::default(),
            clock_ahead_s: None,
        }
    }
}

/// The reason why an issuer gave no secret: the attempt, the place, and the remedy. Never
/// shows a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct IssueError {
    pub message: String,
    /// The kind of failure, which decides the pause.
    pub failing: Failing,
    /// The pause that the issuer asked for.
    pub retry_after: Option<Duration>,
    /// How far the issuer's clock is ahead of ours, in seconds, if the answer had a `Date`.
    pub clock_ahead_s: Option<i64>,
}

impl IssueError {
    /// Returns a failure without a pause or a clock of the issuer.
    pub fn new(failing: Failing, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            failing,
            retry_after: None,
            clock_ahead_s: None,
        }
    }

    /// Returns a failure that may pass by itself, after an answer or without any request.
    pub fn passing(message: impl Into<String>) -> Self {
        Self::new(Failing::Unusable, message)
    }

    /// Returns a refusal: a person has to change something.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Failing::Refused, message)
    }
}

impl From<SecretError> for IssueError {
    /// The failure counts as passing, because reading a file again costs nothing.
    fn from(error: SecretError) -> Self {
        Self::passing(error.to_string())
    }
}

/// Issues secrets: one implementation for each kind of credential.
#[async_trait]
pub trait Issuer: Send + Sync {
    /// Returns the parameters of definitions that the scope will have, known before any
    /// request is sent.
    fn gives(&self) -> &'static [&'static str] {
        &[]
    }

    /// True if the grant must come with a catalog.
    fn wants_catalog(&self) -> bool {
        false
    }

    /// Returns the stamps of the files that it reads, so that a replaced file is noticed.
    fn stamps(&self) -> Vec<Option<Stamp>> {
        Vec::new()
    }

    /// Issues a secret.
    ///
    /// # Errors
    /// The issuer gave no secret.
    async fn issue(&self, now: Timestamp) -> Result<Grant, IssueError>;

    /// Verifies a secret that was just issued; asks the service that can confirm it.
    ///
    /// # Errors
    /// The secret is not valid, or the service does not answer.
    async fn verify(
        &self,
        _issued: &IssuedSecret,
        _now: Timestamp,
    ) -> Result<Verified, IssueError> {
        Ok(Verified::Issued)
    }
}

/// How a secret was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// Its issuer gave it just now, which is enough.
    Issued,
    /// A service was asked and accepted it.
    Accepted {
        /// How far the clock there is ahead of ours, in seconds.
        clock_ahead_s: Option<i64>,
    },
    /// Not verified: it was only read, and there is no service to ask.
    ReadOnly,
}

/// A failure to get a secret, or a secret that may not be used now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    #[error("credential `{credential}`: {error}{}", in_words(*.again_in))]
    NotIssued {
        credential: String,
        error: IssueError,
        /// The time until the next attempt.
        again_in: Duration,
    },
    /// Signatures were refused, and more would lock the key for longer.
    #[error("credential `{credential}`: {refusals} signatures in a row were refused; nothing is signed for another {}, so that the key is not locked for longer: check access_key and secret_key, and this machine's clock", show_duration(*.again_in))]
    Stopped {
        credential: String,
        refusals: u32,
        /// The time until a signature is tried again.
        again_in: Duration,
    },
    /// The key was replaced while the request waited to be signed.
    #[error(
        "credential `{credential}`: the key was replaced while the request waited; the next poll signs with the new one"
    )]
    Replaced { credential: String },
    /// No service has accepted the key yet, and the request that tries it has no answer
    /// yet.
    #[error(
        "credential `{credential}`: its key is tried on one request at a time until a service accepts it, and none has answered yet"
    )]
    Unproven { credential: String },
    /// The request cannot be signed.
    #[error("credential `{credential}`: {message}")]
    Unsigned { credential: String, message: String },
}

fn in_words(again_in: Duration) -> String {
    if again_in.is_zero() {
        return String::new();
    }
    format!("; next attempt in {}", show_duration(again_in))
}
