//! The rights of an agency in another account, assumed by a credential of ours
//! (`assume_role`).
//!
//! A source with a token gets a token: `POST /v3/auth/tokens` (Identity and Access
//! Management API reference, "Obtaining a Token Through Agency"). A source that signs gets
//! a temporary key: `POST /v3.0/OS-CREDENTIAL/securitytokens` ("Obtaining a Temporary AK/SK
//! and Security Token Through an Agency").

use std::sync::Arc;

use async_trait::async_trait;
use http::StatusCode;
use jiff::Timestamp;
use reqwest::Url;
use serde_json::{Value, json};

use crate::credential::configured::{BuildError, ConfiguredCredential, CredentialSettings, Parts};
use crate::credential::exchange::{Exchange, Reply};
use crate::credential::identity::{DOMAIN_KEYS, Domain, Project, auth_url, domain, project};
use crate::credential::kinds::keys::Signed;
use crate::credential::kinds::keystone::{
    auth_body, below, granted, post, project_of, token_request,
};
use crate::credential::kinds::metadata::temporary;
use crate::credential::lease::Failing;
use crate::credential::request_auth::RequestAuth;
use crate::credential::scope::Scope;
use crate::credential::{
    Credential, CredentialError, Grant, IssueError, IssuedSecret, Issuer, Renewal,
    SharedCredential, refusal,
};
use crate::tree::reader::Reader;

/// The word for this kind in the configuration.
pub(super) const KIND: &str = "agency";
/// The keys for the agency's name in a request for a token: the documents' tables have the
/// second, their examples and python-otcextensions the first.
const TOKEN_KEYS: [&str; 2] = ["xrole_name", "agency_name"];
/// The key for the agency's name in a request for a temporary key, which takes only this
/// one.
const KEY_KEY: &str = "agency_name";
/// The lifetime to request for a temporary key, in seconds.
const DURATION_S: u32 = 3600;
const ADVICE: &str =
    "check `agency_name`, `domain` and `project`, and that `source` may assume the agency";

/// The rights of an agency, assumed by another credential.
#[derive(Debug, Clone)]
pub(crate) struct Agency {
    /// The credential that assumes the agency.
    pub(crate) source: AgencySource,
    /// The identity service, up to and including `/v3`.
    pub(crate) auth_url: Url,
    pub(crate) name: String,
    /// The account that made the agency.
    pub(crate) account: Domain,
    /// The project in that account.
    pub(crate) project: Option<Project>,
}

/// The credential that assumes an agency.
#[derive(Debug, Clone)]
pub(crate) enum AgencySource {
    /// The credential of this name in the configuration.
    Named(String),
    /// A credential that is not in the configuration by itself (see `discovery`).
    Own(Arc<dyn ConfiguredCredential>),
}

impl ConfiguredCredential for Agency {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn auth_url(&self) -> Option<&Url> {
        Some(&self.auth_url)
    }

    fn project_name(&self) -> Option<&str> {
        self.project.as_ref()?.name()
    }

    fn source(&self) -> Option<&str> {
        match &self.source {
            AgencySource::Named(source) => Some(source),
            AgencySource::Own(_) => None,
        }
    }

    fn issuer(&self, parts: &Parts<'_>) -> Result<Box<dyn Issuer>, BuildError> {
        Ok(Box::new(AgencyIssuer {
            source: self.source.built(parts)?,
            exchange: Exchange::with(&self.auth_url)?,
            spec: self.clone(),
            wants_catalog: parts.wants_catalog,
        }))
    }
}

impl AgencySource {
    fn built(&self, parts: &Parts<'_>) -> Result<SharedCredential, BuildError> {
        match self {
            Self::Named(source) => parts.source.clone().ok_or_else(|| BuildError::Source {
                credential: parts.name.to_owned(),
                source_name: source.clone(),
            }),
            Self::Own(own) => {
                let parts = Parts {
                    wants_catalog: false,
                    source: None,
                    ..*parts
                };
                let (issuer, clock) = (own.issuer(&parts)?, Arc::clone(parts.clock));
                let credential = Credential::new(parts.name, own.kind(), issuer, clock);
                Ok(Arc::new(credential))
            }
        }
    }
}

pub(super) fn read(section: &Reader<'_>) -> Option<CredentialSettings> {
    let source = section.required_text("source");
    let auth_url = auth_url(section);
    let name = section.expanded("agency_name");
    let name = section.missing("agency_name", name);
    let account = domain(section, "domain", "domain_id");
    if account.is_none() && !section.has_any(&DOMAIN_KEYS) {
        section.report(
            "",
            "needs `domain` or `domain_id`: the account that made the agency",
        );
    }
    let project = project(section, account.clone());
    Some(CredentialSettings::of(Agency {
        source: AgencySource::Named(source?),
        auth_url: auth_url?,
        name: name?,
        account: account?,
        project,
    }))
}

pub(super) struct AgencyIssuer {
    pub(super) spec: Agency,
    pub(super) source: SharedCredential,
    pub(super) exchange: Exchange,
    /// True if a service needs the URLs of services from the catalog.
    pub(super) wants_catalog: bool,
}

#[async_trait]
impl Issuer for AgencyIssuer {
    fn gives(&self) -> &'static [&'static str] {
        match (&self.spec.project, &self.spec.account) {
            // If a project is known by id alone, its domain is unknown.
            (Some(Project::Id(_)), Domain::Name(_)) => &["project_id", "tenant_id"],
            (Some(_), _) => &["project_id", "tenant_id", "domain_id"],
            (None, Domain::Id(_)) => &["domain_id"],
            (None, Domain::Name(_)) => &[],
        }
    }

    fn wants_catalog(&self) -> bool {
        self.wants_catalog
    }

    async fn issue(&self, now: Timestamp) -> Result<Grant, IssueError> {
        let issued = self.source_secret(now).await?;
        if issued.signs() {
            self.issue_key(&issued, now).await
        } else {
            self.issue_token(&issued, now).await
        }
    }
}

impl AgencyIssuer {
    async fn source_secret(&self, now: Timestamp) -> Result<Arc<IssuedSecret>, IssueError> {
        let issued = self.source.present(now).await;
        issued.map_err(|error| without_source(&error))
    }

    fn attempt(&self) -> String {
        let (Domain::Id(account) | Domain::Name(account)) = &self.spec.account;
        let (agency, url) = (&self.spec.name, &self.spec.auth_url);
        format!("assume the agency `{agency}` of the account `{account}` at {url}")
    }

    async fn issue_token(
        &self,
        issued: &IssuedSecret,
        now: Timestamp,
    ) -> Result<Grant, IssueError> {
        let attempt = self.attempt();
        let scope = match (&self.spec.project, &self.spec.account) {
            (Some(project), _) => json!({ "project": project_of(project) }),
            (None, Domain::Id(id)) => json!({ "domain": { "id": id } }),
            (None, Domain::Name(name)) => json!({ "domain": { "name": name } }),
        };
        let ask = |key: &'static str| {
            let body = auth_body(&self.identity(key, None), Some(&scope));
            move || token_request(&self.spec.auth_url, &body, self.wants_catalog)
        };
        let mut reply = self.send(issued, ask(TOKEN_KEYS[0]), &attempt, now).await?;
        if reply.status == StatusCode::BAD_REQUEST {
            reply = self.send(issued, ask(TOKEN_KEYS[1]), &attempt, now).await?;
        }
        granted(&reply, &self.spec.auth_url, &attempt, ADVICE, now)
    }

    async fn issue_key(&self, issued: &IssuedSecret, now: Timestamp) -> Result<Grant, IssueError> {
        let attempt = self.attempt();
        let body = json!({ "auth": { "identity": self.identity(KEY_KEY, Some(DURATION_S)) } });
        let url = self.security_tokens_url();
        let reply = self
            .send(issued, || post(&url, &body), &attempt, now)
            .await?;
        if !reply.status.is_success() {
            return Err(reply.failure(&attempt, ADVICE));
        }
        let domain_id = match &self.spec.account {
            Domain::Id(id) => Some(id.clone()),
            Domain::Name(_) => None,
        };
        let scope = Scope {
            domain_id,
            ..Scope::default()
        };
        let grant = temporary(&reply, &attempt, scope, now)?;
        self.with_project(grant, now).await
    }

    /// Returns the scope of the new key. The key itself asks for the project's id if only
    /// its name is known, and for the catalog if a service needs it.
    async fn with_project(&self, mut grant: Grant, now: Timestamp) -> Result<Grant, IssueError> {
        let RequestAuth::Key(key) = &mut grant.auth else {
            return Ok(grant);
        };
        let identity = Signed {
            exchange: &self.exchange,
            auth_url: &self.spec.auth_url,
            now,
        };
        match &self.spec.project {
            None => {}
            Some(Project::Id(id)) => grant.scope.project_id = Some(id.clone()),
            // Signed for the account, since the project is not known yet.
            Some(Project::Name(name, _)) => grant.scope = identity.project(name, key).await?.0,
        }
        key.project_id.clone_from(&grant.scope.project_id);
        if self.wants_catalog {
            grant.scope.catalog = identity.catalog(key).await?;
        }
        Ok(grant)
    }

    fn identity(&self, agency_key: &str, duration_s: Option<u32>) -> Value {
        let mut role = match &self.spec.account {
            Domain::Id(id) => json!({ "domain_id": id }),
            Domain::Name(name) => json!({ "domain_name": name }),
        };
        role[agency_key] = self.spec.name.as_str().into();
        if let Some(seconds) = duration_s {
            role["duration_seconds"] = seconds.into();
        }
        json!({ "methods": ["assume_role"], "assume_role": role })
    }

    /// Returns the URL for temporary keys: `https://iam.…/v3.0/OS-CREDENTIAL/securitytokens` for
    /// `https://iam.…/v3`.
    fn security_tokens_url(&self) -> reqwest::Url {
        let mut url = self.spec.auth_url.clone();
        let path = url.path().trim_end_matches('/');
        let path = path.strip_suffix("/v3").unwrap_or(path).to_owned();
        url.set_path(&path);
        below(&url, "/v3.0/OS-CREDENTIAL/securitytokens")
    }

    /// Sends the request that `make` builds with the source's auth. If it is refused,
    /// renews the source or corrects its time, and sends once more.
    async fn send(
        &self,
        issued: &IssuedSecret,
        make: impl Fn() -> reqwest::Request,
        attempt: &str,
        now: Timestamp,
    ) -> Result<Reply, IssueError> {
        let host = self.spec.auth_url.host_str().unwrap_or_default();
        let time = || self.source.time_at(host, now);
        let before = time();
        let reply = self.send_once(issued, make(), attempt, now).await?;
        if !refusal::is_refused(reply.status, reply.bytes()) {
            return Ok(reply);
        }
        match self.source.renew(issued.generation).await {
            Ok(Renewal::Renewed) => {
                let issued = self.source_secret(now).await?;
                self.send_once(&issued, make(), attempt, now).await
            }
            // The service refused because of our clock.
            Ok(Renewal::Same) if issued.signs() && time() != before => {
                self.send_once(issued, make(), attempt, now).await
            }
            _ => Ok(reply),
        }
    }

    async fn send_once(
        &self,
        issued: &IssuedSecret,
        mut request: reqwest::Request,
        attempt: &str,
        now: Timestamp,
    ) -> Result<Reply, IssueError> {
        let signature = self.source.authorise(issued, &mut request, now).await;
        let signature = signature.map_err(|error| without_source(&error))?;
        let redaction = issued.redaction.clone().and(&signature);
        let sent = self.exchange.send(request, redaction, attempt, now).await;
        match &sent {
            Ok(reply) => {
                let result = refusal::signature_result(reply.status, reply.bytes());
                let host = self.spec.auth_url.host_str().unwrap_or_default();
                self.source
                    .answered(issued, result, (host, &reply.headers), now);
            }
            Err(_) => self.source.unanswered(issued),
        }
        sent
    }
}

/// Returns the failure of an agency whose source failed: the same failure, except that a
/// refusal of the source is not a refusal of the agency. The source keeps its own pause.
fn without_source(error: &CredentialError) -> IssueError {
    let message = error.to_string();
    match error {
        CredentialError::NotIssued {
            error, again_in, ..
        } if error.failing != Failing::Refused => IssueError {
            retry_after: error.retry_after.map(|_| *again_in),
            ..IssueError::new(error.failing, message)
        },
        _ => IssueError::passing(message),
    }
}
