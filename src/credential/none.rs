//! No proof at all: for services that ask for none.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::credential::Credential;
use crate::credential::CredentialError;
use crate::credential::Generation;
use crate::credential::Renewal;

/// Sends requests as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCredential;

#[async_trait]
impl Credential for NoCredential {
    fn kind(&self) -> &'static str {
        "none"
    }

    async fn authorise(
        &self,
        _request: &mut reqwest::Request,
        _now: Timestamp,
    ) -> Result<Generation, CredentialError> {
        Ok(Generation::default())
    }

    async fn renew(
        &self,
        _refused: Generation,
        _now: Timestamp,
    ) -> Result<Renewal, CredentialError> {
        Ok(Renewal::Same)
    }
}
