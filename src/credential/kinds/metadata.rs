//! The temporary key of the server that jobwatch runs on, from its metadata service
//! (Elastic Cloud Server user guide, "Obtaining Metadata"): `GET
//! /openstack/latest/securitykey`. Newer servers ask for a session token first; older ones
//! do not have it.

use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use reqwest::Url;
use secrecy::SecretString;
use serde_json::Value;

use crate::clock::until;
use crate::credential::configured::{BuildError, ConfiguredCredential, CredentialSettings, Parts};
use crate::credential::exchange::{Exchange, Reply};
use crate::credential::kinds::keystone::below;
use crate::credential::refusal::clock_ahead_s;
use crate::credential::request_auth::RequestAuth;
use crate::credential::scope::Scope;
use crate::credential::signing::SigningKey;
use crate::credential::{Grant, IssueError, Issuer};
use crate::outbound::redaction::Redaction;
use crate::outbound::url::base_url;
use crate::tree::reader::Reader;

/// The word for this kind in the configuration.
pub(super) const KIND: &str = "metadata";
/// The metadata service, as every server of the cloud sees it (link-local, RFC 3927).
const METADATA_URL: &str = "http://169.254.169.254";
/// The lifetime to request for a session token, in seconds.
const SESSION_S: HeaderValue = HeaderValue::from_static("21600");
const SESSION_LIFETIME: HeaderName = HeaderName::from_static("x-metadata-token-ttl-seconds");
const SESSION: HeaderName = HeaderName::from_static("x-metadata-token");

/// The temporary key of the server that jobwatch runs on.
#[derive(Debug, Clone)]
pub(crate) struct Metadata {
    /// The metadata service: scheme, host and port.
    pub(crate) url: Url,
    /// The project, if it is known by id.
    pub(crate) project_id: Option<String>,
    /// The domain, if it is known by id.
    pub(crate) domain_id: Option<String>,
}

impl ConfiguredCredential for Metadata {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn issuer(&self, _parts: &Parts<'_>) -> Result<Box<dyn Issuer>, BuildError> {
        Ok(Box::new(MetadataIssuer {
            spec: self.clone(),
            exchange: Exchange::direct()?,
        }))
    }
}

/// Reads the place of the metadata service.
pub(super) fn read(section: &Reader<'_>) -> Option<CredentialSettings> {
    let url = match section.expanded("url") {
        Some(text) => base_url(&text)
            .inspect_err(|message| section.report("url", message))
            .ok(),
        None => Url::parse(METADATA_URL).ok(),
    };
    Some(CredentialSettings::of(Metadata {
        project_id: section.expanded("project_id"),
        domain_id: section.expanded("domain_id"),
        url: url?,
    }))
}

pub(super) struct MetadataIssuer {
    pub(super) spec: Metadata,
    pub(super) exchange: Exchange,
}

#[async_trait]
impl Issuer for MetadataIssuer {
    fn gives(&self) -> &'static [&'static str] {
        match (&self.spec.project_id, &self.spec.domain_id) {
            (Some(_), Some(_)) => &["project_id", "tenant_id", "domain_id"],
            (Some(_), None) => &["project_id", "tenant_id"],
            (None, Some(_)) => &["domain_id"],
            (None, None) => &[],
        }
    }

    async fn issue(&self, now: Timestamp) -> Result<Grant, IssueError> {
        let session = self.session(now).await?;
        let url = below(&self.spec.url, "/openstack/latest/securitykey");
        let attempt = format!("get this server's key from {url}");
        let mut request = reqwest::Request::new(Method::GET, url);
        if let Some(session) = session {
            request.headers_mut().insert(SESSION, session);
        }
        let sent = self
            .exchange
            .send(request, Redaction::default(), &attempt, now);
        let reply = sent.await?;
        if !reply.status.is_success() {
            return Err(reply.failure(&attempt, "has this server an agency? assign one to it"));
        }
        let scope = Scope {
            project_id: self.spec.project_id.clone(),
            domain_id: self.spec.domain_id.clone(),
            ..Scope::default()
        };
        temporary(&reply, &attempt, scope, now)
    }
}

impl MetadataIssuer {
    /// Returns a session token; `None` if the metadata service has no sessions.
    async fn session(&self, now: Timestamp) -> Result<Option<HeaderValue>, IssueError> {
        let url = below(&self.spec.url, "/meta-data/latest/api/token");
        let attempt = format!("begin a session at {url}");
        let mut request = reqwest::Request::new(Method::PUT, url);
        request.headers_mut().insert(SESSION_LIFETIME, SESSION_S);
        let sent = self
            .exchange
            .send(request, Redaction::default(), &attempt, now);
        let reply = sent.await?;
        match reply.status {
            status if status.is_success() => {
                let session = HeaderValue::from_str(reply.text().trim());
                let mut session =
                    session.map_err(|_| reply.unreadable(&attempt, "session token"))?;
                session.set_sensitive(true);
                Ok(Some(session))
            }
            // As the official SDK does.
            StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::SERVICE_UNAVAILABLE => Ok(None),
            _ => Err(reply.failure(&attempt, "is this the metadata service?")),
        }
    }
}

/// The temporary key of an answer (`{"credential":{access,secret,securitytoken,expires_at}}`).
pub(super) fn temporary(
    reply: &Reply,
    attempt: &str,
    scope: Scope,
    now: Timestamp,
) -> Result<Grant, IssueError> {
    let body = reply.json();
    let credential = &body["credential"];
    let secret = |key: &str| match credential[key].as_str() {
        Some(text) if !text.is_empty() => Ok(SecretString::from(text)),
        _ => Err(reply.unreadable(attempt, &format!("credential.{key}"))),
    };
    let key = SigningKey {
        access_key: secret("access")?,
        secret_key: secret("secret")?,
        security_token: Some(secret("securitytoken")?),
        project_id: scope.project_id.clone(),
        domain_id: scope.domain_id.clone(),
    };
    let ahead = clock_ahead_s(&reply.headers, now);
    Ok(Grant {
        auth: RequestAuth::Key(key),
        lifetime: lifetime_of(credential, ahead, now),
        scope,
        clock_ahead_s: ahead,
    })
}

/// Returns the rest of the lifetime, by the clock of the service that answered.
fn lifetime_of(credential: &Value, ahead_s: Option<i64>, now: Timestamp) -> Option<Duration> {
    let expires_at: Timestamp = credential["expires_at"].as_str()?.parse().ok()?;
    let ahead = jiff::SignedDuration::from_secs(ahead_s.unwrap_or_default());
    let theirs = now.saturating_add(ahead).unwrap_or(now);
    Some(until(theirs, expires_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_measured_by_the_issuers_clock() {
        let body = include_str!("../../../tests/it/credentials/iam/temporary_credential.json");
        let body: Value = serde_json::from_str(body).unwrap();
        let now: Timestamp = "2017-04-17T06:55:18Z".parse().unwrap();
        let lifetime = |ahead| lifetime_of(&body["credential"], ahead, now).unwrap();
        assert_eq!(lifetime(None).as_secs(), 3600);
        assert_eq!(lifetime(Some(1800)).as_secs(), 1800);
        assert_eq!(lifetime(Some(7200)), Duration::ZERO);
    }
}
