//! A secret in a header: a token that another program keeps fresh in a file, a bearer
//! token, HTTP Basic, or any other header that an API asks for.

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use crate::credential::configured::{BuildError, ConfiguredCredential, CredentialSettings, Parts};
use crate::credential::request_auth::{RequestAuth, TOKEN_HEADER, secret_value};
use crate::credential::{Grant, IssueError, IssuedSecret, Issuer, Verified};
use crate::outbound::secret::{Secret, Stamp};
use crate::tree::reader::Reader;

/// A secret in a header.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    /// The word in the configuration: `token`, `bearer`, `basic`, `header`.
    pub(crate) kind: &'static str,
    pub(crate) name: HeaderName,
    /// How the secret is written into the header.
    pub(crate) form: HeaderForm,
    pub(crate) secret: Secret,
}

/// How a secret is written into a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeaderForm {
    /// This prefix, then the secret.
    Prefixed(String),
    /// HTTP Basic (RFC 7617) with this user name.
    Basic(String),
}

#[async_trait]
impl Issuer for Header {
    fn stamps(&self) -> Vec<Option<Stamp>> {
        vec![self.secret.stamp()]
    }

    async fn verify(
        &self,
        _issued: &IssuedSecret,
        _now: Timestamp,
    ) -> Result<Verified, IssueError> {
        Ok(Verified::ReadOnly)
    }

    async fn issue(&self, _now: Timestamp) -> Result<Grant, IssueError> {
        Ok(Grant::of(self.auth()?))
    }
}

impl Header {
    /// Returns the header with the secret as it is now.
    ///
    /// # Errors
    /// The secret cannot be read, or has characters that no header may have.
    pub(crate) fn auth(&self) -> Result<RequestAuth, IssueError> {
        Ok(RequestAuth::Header(self.name.clone(), self.value()?))
    }

    /// Returns the value of the header as it is now.
    ///
    /// # Errors
    /// As [`auth`](Self::auth).
    pub(super) fn value(&self) -> Result<HeaderValue, IssueError> {
        let secret = self.secret.read()?;
        let is_token = matches!(self.kind, "token" | "bearer");
        // A service would refuse it anyway; here the message can name the file.
        if is_token && !secret.expose_secret().bytes().all(|b| b.is_ascii_graphic()) {
            return Err(self.unusable(
                "has characters that no token has; it must contain the token and nothing else",
            ));
        }
        let value = match &self.form {
            HeaderForm::Prefixed(prefix) => format!("{prefix}{}", secret.expose_secret()),
            HeaderForm::Basic(username) => {
                let pair = format!("{username}:{}", secret.expose_secret());
                format!("Basic {}", BASE64_STANDARD.encode(pair))
            }
        };
        secret_value(&SecretString::from(value)).map_err(|problem| self.unusable(problem))
    }

    fn unusable(&self, problem: &str) -> IssueError {
        IssueError::passing(format!("{} {problem}", self.secret.place()))
    }
}

impl ConfiguredCredential for Header {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn issuer(&self, _parts: &Parts<'_>) -> Result<Box<dyn Issuer>, BuildError> {
        Ok(Box::new(self.clone()))
    }
}

/// Reads a token of an identity service.
pub(super) fn token(section: &Reader<'_>) -> Option<CredentialSettings> {
    let secret = section.required_secret("token");
    in_header(
        section,
        "token",
        "token",
        (TOKEN_HEADER, String::new()),
        secret,
    )
}

pub(super) fn bearer(section: &Reader<'_>) -> Option<CredentialSettings> {
    let secret = section.required_secret("token");
    let header = (AUTHORIZATION, "Bearer ".to_owned());
    in_header(section, "bearer", "token", header, secret)
}

/// Reads a secret in a header of any name.
pub(super) fn header(section: &Reader<'_>) -> Option<CredentialSettings> {
    let name = section.required_text("header");
    let name = name.and_then(|text| header_name(section, "header", &text));
    let prefix = prefix(section);
    let value = section.required_secret("value");
    in_header(section, "header", "value", (name?, prefix), value)
}

/// Reads the name of a header, which the section has at `key`.
pub(super) fn header_name(section: &Reader<'_>, key: &str, text: &str) -> Option<HeaderName> {
    let name = HeaderName::try_from(text).ok();
    if name.is_none() {
        section.report(
            key,
            format!("invalid header name `{text}`; a valid one is PRIVATE-TOKEN"),
        );
    }
    name
}

/// Reads the text before the secret of a header.
pub(super) fn prefix(section: &Reader<'_>) -> String {
    let prefix = section.text("prefix").unwrap_or_default();
    if HeaderValue::from_str(&prefix).is_err() {
        section.report("prefix", "has characters that no header may have");
    }
    prefix
}

fn in_header(
    section: &Reader<'_>,
    kind: &'static str,
    key: &str,
    (name, prefix): (HeaderName, String),
    secret: Option<Secret>,
) -> Option<CredentialSettings> {
    let header = Header {
        kind,
        name,
        form: HeaderForm::Prefixed(prefix),
        secret: secret?,
    };
    checked_header(section, key, header)
}

/// Reads a user name and a password.
pub(super) fn basic(section: &Reader<'_>) -> Option<CredentialSettings> {
    let username = section.expanded("username");
    let username = section.missing("username", username).filter(|name| {
        // RFC 7617, section 2: the first colon ends the name.
        let is_plain = !name.contains(':') && !name.chars().any(char::is_control);
        if !is_plain {
            section.report("username", "must not have a `:`");
        }
        is_plain
    });
    let password = section.required_secret("password");
    let header = Header {
        kind: "basic",
        name: AUTHORIZATION,
        form: HeaderForm::Basic(username?),
        secret: password?,
    };
    checked_header(section, "password", header)
}

/// A secret with characters that no header may have is reported at start, not at the first
/// poll.
fn checked_header(section: &Reader<'_>, key: &str, header: Header) -> Option<CredentialSettings> {
    if !header.secret.is_elsewhere()
        && let Err(error) = header.auth()
    {
        let key_file = format!("{key}_file");
        let key = if section.has(&key_file) {
            &key_file
        } else {
            key
        };
        section.report(key, error);
        return None;
    }
    Some(CredentialSettings::of(header))
}
