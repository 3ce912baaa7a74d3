//! No auth at all, for services that need none.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::credential::configured::{BuildError, ConfiguredCredential, CredentialSettings, Parts};
use crate::credential::request_auth::RequestAuth;
use crate::credential::{Grant, IssueError, IssuedSecret, Issuer, Verified};

/// The word for this kind in the configuration, and the name of the credential that always
/// exists.
pub const KIND: &str = "none";

#[derive(Debug, Clone, Copy, Default)]
pub struct Nothing;

#[async_trait]
impl Issuer for Nothing {
    async fn verify(
        &self,
        _issued: &IssuedSecret,
        _now: Timestamp,
    ) -> Result<Verified, IssueError> {
        Ok(Verified::ReadOnly)
    }

    async fn issue(&self, _now: Timestamp) -> Result<Grant, IssueError> {
        Ok(Grant::of(RequestAuth::None))
    }
}

impl ConfiguredCredential for Nothing {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn has_secret(&self) -> bool {
        false
    }

    fn issuer(&self, _parts: &Parts<'_>) -> Result<Box<dyn Issuer>, BuildError> {
        Ok(Box::new(*self))
    }
}

impl Nothing {
    /// The settings of a credential of this kind.
    pub(crate) fn settings() -> CredentialSettings {
        CredentialSettings::of(Self)
    }
}
