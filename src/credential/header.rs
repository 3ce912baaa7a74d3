//! A secret in a header: a token that somebody else keeps fresh in a file, a bearer token,
//! HTTP Basic, or whatever header an API asks for.

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use crate::credential::request_auth::RequestAuth;
use crate::credential::spec::{Header, HeaderForm};
use crate::credential::{Grant, IssueError, IssuedSecret, Issuer, Verified};
use crate::outbound::secret::Stamp;

#[async_trait]
impl Issuer for Header {
    fn stamps(&self) -> Vec<Option<Stamp>> {
        vec![self.secret.stamp()]
    }

    async fn verify(&self, _held: &IssuedSecret, _now: Timestamp) -> Result<Verified, IssueError> {
        Ok(Verified::ReadOnly)
    }

    async fn issue(&self, _now: Timestamp) -> Result<Grant, IssueError> {
        Ok(Grant::of(self.auth()?))
    }
}

impl Header {
    /// The header as it is now.
    ///
    /// # Errors
    /// The secret cannot be read, or cannot stand in a header.
    pub fn auth(&self) -> Result<RequestAuth, IssueError> {
        let secret = self.secret.read()?;
        let is_token = matches!(self.kind, "token" | "bearer");
        // A service would refuse it anyway; here the message can name the file.
        if is_token && !secret.expose_secret().bytes().all(|b| b.is_ascii_graphic()) {
            return Err(self.unusable(
                "holds characters that no token has; it must hold the token and nothing else",
            ));
        }
        let value = match &self.form {
            HeaderForm::Prefixed(prefix) => format!("{prefix}{}", secret.expose_secret()),
            HeaderForm::Basic(username) => {
                let pair = format!("{username}:{}", secret.expose_secret());
                format!("Basic {}", BASE64_STANDARD.encode(pair))
            }
        };
        RequestAuth::header(self.name.clone(), &SecretString::from(value))
            .map_err(|problem| self.unusable(problem))
    }

    fn unusable(&self, problem: &str) -> IssueError {
        IssueError::passing(format!("{} {problem}", self.secret.place()))
    }
}
