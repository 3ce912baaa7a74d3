//! How a request proves who asks.
//!
//! Each of the [`kinds`] reads its own section of the configuration, into a
//! [`configured::ConfiguredCredential`]; `discovery` finds credentials where other tools keep
//! theirs. [`build`] makes a [`Credential`] of it: the kind's [`Issuer`], and around it what all
//! kinds share. A credential is
//! shared by all services and watches that use it. It has its issuer issue once, whoever
//! asks at the same time, renews before the [`lease`] ends and after a refusal, waits
//! longer after each failure, stops signing before the key is locked ([`gate`]), and
//! notices a wrong clock. Polls take what it [`holds`](Credential::present) and put it on
//! their requests.
//!
//! Whatever goes wrong here is a problem of a poll, never the end of a watch.

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

/// What came of asking for a new secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// There is another secret than the refused one: try again.
    Renewed,
    /// There is no other.
    Same,
}

/// What an issuer gave.
pub struct Grant {
    /// What is put on requests.
    pub auth: RequestAuth,
    /// How long it holds, by the issuer's own clock; `None` is until it is refused.
    pub lifetime: Option<Duration>,
    /// What it is good for.
    pub scope: Scope,
    /// How far the issuer's clock is ahead of ours, in seconds, if it told the time.
    pub clock_ahead_s: Option<i64>,
}

impl Grant {
    /// A grant that holds until it is refused, without scope or lifetime.
    pub fn of(auth: RequestAuth) -> Self {
        Self {
            auth,
            lifetime: None,
            scope: Scope::default(),
            clock_ahead_s: None,
        }
    }
}

/// Why an issuer gave nothing: what was attempted, on what, and what to do about it; never
/// a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct IssueError {
    /// In words.
    pub message: String,
    /// What kind of failure it is.
    pub failing: Failing,
    /// How long the issuer wishes to be left alone.
    pub retry_after: Option<Duration>,
    /// How far the issuer's clock is ahead of ours, in seconds, if it told the time.
    pub clock_ahead_s: Option<i64>,
}

impl IssueError {
    /// A failure of this kind.
    pub fn new(failing: Failing, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            failing,
            retry_after: None,
            clock_ahead_s: None,
        }
    }

    /// A failure that may pass by itself, after an answer or without any request.
    pub fn passing(message: impl Into<String>) -> Self {
        Self::new(Failing::Unusable, message)
    }

    /// A refusal: a person has to change something.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Failing::Refused, message)
    }
}

impl From<SecretError> for IssueError {
    /// Passing: looking at a file again costs nothing.
    fn from(error: SecretError) -> Self {
        Self::passing(error.to_string())
    }
}

/// Gives secrets: one implementation for each kind of credential.
#[async_trait]
pub trait Issuer: Send + Sync {
    /// The parameters of definitions that the scope will have, known before anything is
    /// asked.
    fn gives(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether what it gives must come with a catalog.
    fn wants_catalog(&self) -> bool {
        false
    }

    /// The files that it reads, so that a replaced one is noticed.
    fn stamps(&self) -> Vec<Option<Stamp>> {
        Vec::new()
    }

    /// Gives a secret.
    ///
    /// # Errors
    /// Why there is none.
    async fn issue(&self, now: Timestamp) -> Result<Grant, IssueError>;

    /// How a secret that was just issued is known to be right; asks whoever can tell.
    ///
    /// # Errors
    /// It is not right, or nobody answers.
    async fn verify(&self, _held: &IssuedSecret, _now: Timestamp) -> Result<Verified, IssueError> {
        Ok(Verified::Issued)
    }
}

/// How a secret is known to be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// Its issuer, who can tell, gave it just now.
    Issued,
    /// Whoever can tell was asked.
    Accepted {
        /// How far the clock there is ahead of ours, in seconds.
        clock_ahead_s: Option<i64>,
    },
    /// It is not: it was only read, and nobody can be asked.
    ReadOnly,
}

/// A secret that cannot be had, or may not be used now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The issuer gave none.
    #[error("credential `{credential}`: {error}{}", in_words(*.again_in))]
    NotIssued {
        /// The name in the configuration.
        credential: String,
        /// Why.
        error: IssueError,
        /// When it will be tried again.
        again_in: Duration,
    },
    /// Signatures were refused, and more would lock the key for longer.
    #[error("credential `{credential}`: {refusals} signatures in a row were refused; nothing is signed for another {}, so that the key is not locked for longer: check access_key and secret_key, and this machine's clock", show_duration(*.again_in))]
    Stopped {
        /// The name in the configuration.
        credential: String,
        /// How many.
        refusals: u32,
        /// When one will be tried again.
        again_in: Duration,
    },
    /// While the request waited to be signed, the key was replaced by another.
    #[error(
        "credential `{credential}`: the key was replaced meanwhile; the next poll signs with the new one"
    )]
    Replaced {
        /// The name in the configuration.
        credential: String,
    },
    /// Nobody accepted the key yet, and the request that tries it is not answered.
    #[error(
        "credential `{credential}`: its key is tried on one request at a time until a service accepts it, and none has answered yet"
    )]
    Unproven {
        /// The name in the configuration.
        credential: String,
    },
    /// The request cannot be signed.
    #[error("credential `{credential}`: {message}")]
    Unsigned {
        /// The name in the configuration.
        credential: String,
        /// Why.
        message: String,
    },
}

fn in_words(again_in: Duration) -> String {
    if again_in.is_zero() {
        return String::new();
    }
    format!("; next attempt in {}", show_duration(again_in))
}
