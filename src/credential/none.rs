//! No proof at all: for services that ask for none.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::credential::Grant;
use crate::credential::Held;
use crate::credential::IssueError;
use crate::credential::Issuer;
use crate::credential::Verified;
use crate::credential::proof::Proof;

/// Issues nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nothing;

#[async_trait]
impl Issuer for Nothing {
    async fn verify(&self, _held: &Held, _now: Timestamp) -> Result<Verified, IssueError> {
        Ok(Verified::ReadOnly)
    }

    async fn issue(&self, _now: Timestamp) -> Result<Grant, IssueError> {
        Ok(Grant::of(Proof::None))
    }
}
