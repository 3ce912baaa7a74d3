//! An access key that signs (AK/SK), kept in files that another program may replace.
//!
//! If the project is given by name, the identity service is asked for its id: `GET
//! /v3/projects?name=…` (gophertelekomcloud does the same). The URLs of services come from
//! `GET /v3/auth/catalog`.

use async_trait::async_trait;
use http::{Method, StatusCode};
use jiff::Timestamp;
use reqwest::Url;
use serde_json::Value;

use crate::credential::configured::{BuildError, ConfiguredCredential, CredentialSettings, Parts};
use crate::credential::exchange::{Exchange, Reply};
use crate::credential::identity::auth_url;
use crate::credential::kinds::keystone::{below, catalog_in};
use crate::credential::refusal::{clock_ahead_s, time_to_sign};
use crate::credential::request_auth::RequestAuth;
use crate::credential::scope::{Endpoint, Scope};
use crate::credential::signing::SigningKey;
use crate::credential::{Grant, IssueError, IssuedSecret, Issuer, Verified, signing};
use crate::outbound::redaction::Redaction;
use crate::outbound::secret::{Secret, Stamp};
use crate::tree::reader::Reader;

/// The word for this kind in the configuration.
pub(super) const KIND: &str = "aksk";
const ADVICE: &str = "check `access_key` and `secret_key`";

/// An access key that signs requests.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) access_key: Secret,
    pub(crate) secret_key: Secret,
    /// Given for a temporary key only, which is not accepted without it.
    pub(crate) security_token: Option<Secret>,
    /// The project, if it is known by id.
    pub(crate) project_id: Option<String>,
    /// The domain, if it is known by id.
    pub(crate) domain_id: Option<String>,
    /// The project's name, if the identity service is to be asked for its id.
    pub(crate) project: Option<String>,
    /// The identity service, up to and including `/v3`. It is asked for the project's id
    /// and for the catalog.
    pub(crate) auth_url: Option<Url>,
}

impl ConfiguredCredential for Keys {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn auth_url(&self) -> Option<&Url> {
        self.auth_url.as_ref()
    }

    fn project_name(&self) -> Option<&str> {
        self.project.as_deref()
    }

    fn issuer(&self, parts: &Parts<'_>) -> Result<Box<dyn Issuer>, BuildError> {
        Ok(Box::new(KeyIssuer {
            exchange: self.auth_url.as_ref().map(Exchange::with).transpose()?,
            spec: self.clone(),
            wants_catalog: parts.wants_catalog,
        }))
    }
}

pub(super) fn read(section: &Reader<'_>) -> Option<CredentialSettings> {
    let access_key = section.required_secret("access_key");
    let secret_key = section.required_secret("secret_key");
    let security_token = section.secret_source("security_token");
    let auth_url = section.has("auth_url").then(|| auth_url(section));
    let project = section.expanded("project");
    let project_id = section.expanded("project_id");
    if project.is_some() && !section.has_any(&["project_id", "auth_url"]) {
        section.report(
            "project",
            "needs `auth_url`, where its id is asked for; or give `project_id`",
        );
    }
    Some(CredentialSettings::of(Keys {
        access_key: access_key?,
        secret_key: secret_key?,
        security_token,
        project_id,
        domain_id: section.expanded("domain_id"),
        project,
        auth_url: match auth_url {
            Some(auth_url) => Some(auth_url?),
            None => None,
        },
    }))
}

/// Reads a key and asks the identity service for its scope.
pub(super) struct KeyIssuer {
    pub(super) spec: Keys,
    pub(super) exchange: Option<Exchange>,
    /// True if a service needs the URLs of services from the catalog.
    pub(super) wants_catalog: bool,
}

#[async_trait]
impl Issuer for KeyIssuer {
    fn gives(&self) -> &'static [&'static str] {
        let spec = &self.spec;
        let is_asked_for = spec.project.is_some() && spec.auth_url.is_some();
        match (
            spec.project_id.is_some() || is_asked_for,
            spec.domain_id.is_some() || is_asked_for,
        ) {
            (true, true) => &["project_id", "tenant_id", "domain_id"],
            (true, false) => &["project_id", "tenant_id"],
            (false, true) => &["domain_id"],
            (false, false) => &[],
        }
    }

    fn wants_catalog(&self) -> bool {
        self.wants_catalog
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        let spec = &self.spec;
        let secrets = [
            Some(&spec.access_key),
            Some(&spec.secret_key),
            spec.security_token.as_ref(),
        ];
        secrets.into_iter().flatten().map(Secret::stamp).collect()
    }

    async fn issue(&self, now: Timestamp) -> Result<Grant, IssueError> {
        let mut key = self.key()?;
        let mut scope = Scope {
            project_id: key.project_id.clone(),
            domain_id: key.domain_id.clone(),
            ..Scope::default()
        };
        let mut ahead = None;
        if let (Some(exchange), Some(auth_url)) = (&self.exchange, &self.spec.auth_url) {
            let identity = Signed {
                exchange,
                auth_url,
                now,
            };
            if let Some(name) = self
                .spec
                .project
                .as_ref()
                .filter(|_| key.project_id.is_none())
            {
                let (found, clock) = identity.project(name, &key).await?;
                key.project_id.clone_from(&found.project_id);
                (scope, ahead) = (found, clock);
            }
            if self.wants_catalog {
                scope.catalog = identity.catalog(&key).await?;
            }
        }
        Ok(Grant {
            scope,
            clock_ahead_s: ahead,
            ..Grant::of(RequestAuth::Key(key))
        })
    }

    async fn verify(&self, issued: &IssuedSecret, now: Timestamp) -> Result<Verified, IssueError> {
        let (Some(exchange), Some(auth_url), RequestAuth::Key(key)) =
            (&self.exchange, &self.spec.auth_url, &issued.auth)
        else {
            return Ok(Verified::ReadOnly);
        };
        let identity = Signed {
            exchange,
            auth_url,
            now,
        };
        let attempt = format!("list the projects at {auth_url}");
        let url = below(auth_url, "/auth/projects");
        let reply = identity.get(url, key, &attempt).await?;
        if !reply.status.is_success() {
            return Err(reply.failure(&attempt, ADVICE));
        }
        Ok(Verified::Accepted {
            clock_ahead_s: clock_ahead_s(&reply.headers, now),
        })
    }
}

impl KeyIssuer {
    fn key(&self) -> Result<SigningKey, IssueError> {
        let spec = &self.spec;
        Ok(SigningKey {
            access_key: spec.access_key.read()?,
            secret_key: spec.secret_key.read()?,
            security_token: spec.security_token.as_ref().map(Secret::read).transpose()?,
            project_id: spec.project_id.clone(),
            domain_id: spec.domain_id.clone(),
        })
    }
}

/// An identity service that is asked with a key.
pub(super) struct Signed<'a> {
    pub(super) exchange: &'a Exchange,
    pub(super) auth_url: &'a Url,
    pub(super) now: Timestamp,
}

impl Signed<'_> {
    /// Sends the request. If the answer shows that the refusal may be due to our clock,
    /// sends it once more, signed with the service's time.
    async fn get(&self, url: Url, key: &SigningKey, attempt: &str) -> Result<Reply, IssueError> {
        let reply = self.get_at(self.now, url.clone(), key, attempt).await?;
        let there = time_to_sign(self.now, clock_ahead_s(&reply.headers, self.now));
        if reply.status == StatusCode::UNAUTHORIZED && there != self.now {
            return self.get_at(there, url, key, attempt).await;
        }
        Ok(reply)
    }

    async fn get_at(
        &self,
        signed_at: Timestamp,
        url: Url,
        key: &SigningKey,
        attempt: &str,
    ) -> Result<Reply, IssueError> {
        let mut request = reqwest::Request::new(Method::GET, url);
        let signature = signing::sign(&mut request, key, signed_at)
            .map_err(|error| IssueError::refused(format!("cannot {attempt}: {error}")))?;
        let redaction = RequestAuth::Key(key.clone()).redaction();
        let redaction = redaction.and(&Redaction::of([signature.as_str()]));
        self.exchange
            .send(request, redaction, attempt, self.now)
            .await
    }

    /// Returns the scope of the project `name`, and how far the service's clock is ahead.
    pub(super) async fn project(
        &self,
        name: &str,
        key: &SigningKey,
    ) -> Result<(Scope, Option<i64>), IssueError> {
        let attempt = format!("ask {} for the id of the project `{name}`", self.auth_url);
        let mut url = below(self.auth_url, "/projects");
        url.query_pairs_mut().append_pair("name", name);
        let reply = self.get(url, key, &attempt).await?;
        if !reply.status.is_success() {
            return Err(reply.failure(&attempt, ADVICE));
        }
        let body = reply.json();
        let projects = body["projects"].as_array().map(Vec::as_slice);
        let is_it = |project: &&Value| project["name"] == name;
        let Some(found) = projects.unwrap_or_default().iter().find(is_it) else {
            return Err(IssueError::refused(format!(
                "cannot {attempt}: the key sees no such project; check `project`"
            )));
        };
        let text = |key: &str| found[key].as_str().map(str::to_owned);
        let scope = Scope {
            project_id: text("id"),
            project: text("name"),
            domain_id: text("domain_id"),
            ..Scope::default()
        };
        Ok((scope, clock_ahead_s(&reply.headers, self.now)))
    }

    /// Returns the public endpoints of the catalog.
    pub(super) async fn catalog(&self, key: &SigningKey) -> Result<Vec<Endpoint>, IssueError> {
        let attempt = format!("ask {} for the catalog", self.auth_url);
        let url = below(self.auth_url, "/auth/catalog");
        let reply = self.get(url, key, &attempt).await?;
        if !reply.status.is_success() {
            return Err(reply.failure(&attempt, ADVICE));
        }
        Ok(catalog_in(&reply.json()["catalog"], self.auth_url))
    }
}
