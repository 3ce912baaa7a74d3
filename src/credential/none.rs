//! No auth at all: for services that ask for none.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::credential::request_auth::RequestAuth;
use crate::credential::{Grant, IssueError, IssuedSecret, Issuer, Verified};

/// Issues nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nothing;

#[async_trait]
impl Issuer for Nothing {
    async fn verify(&self, _held: &IssuedSecret, _now: Timestamp) -> Result<Verified, IssueError> {
        Ok(Verified::ReadOnly)
    }

    async fn issue(&self, _now: Timestamp) -> Result<Grant, IssueError> {
        Ok(Grant::of(RequestAuth::None))
    }
}
