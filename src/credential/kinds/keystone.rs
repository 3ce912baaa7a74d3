//! A token of an identity service: `POST /v3/auth/tokens` (`OpenStack` Identity API v3,
//! "Password authentication"; Identity and Access Management API reference, "Obtaining a
//! User Token").
//!
//! The token is only in the header `X-Subject-Token`; the body gives its scope and its end.

use std::time::Duration;

use async_trait::async_trait;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use totp_rs::Builder;

use crate::clock::until;
use crate::credential::configured::{BuildError, ConfiguredCredential, CredentialSettings, Parts};
use crate::credential::exchange::{Exchange, Reply};
use crate::credential::identity::{
    DOMAIN_KEYS, Domain, PROJECT_KEYS, Project, ScopeWanted, User, auth_url, domain, project,
};
use crate::credential::refusal::clock_ahead_s;
use crate::credential::request_auth::{RequestAuth, TOKEN_HEADER};
use crate::credential::scope::{Endpoint, Scope, before_version};
use crate::credential::{Grant, IssueError, Issuer};
use crate::outbound::redaction::Redaction;
use crate::outbound::secret::{Secret, Stamp};
use crate::tree::reader::Reader;

/// The header with the token of an answer.
const SUBJECT_TOKEN: &str = "x-subject-token";

/// A token of an identity service: how to log in, and for which scope.
#[derive(Debug, Clone)]
pub(crate) struct Keystone {
    /// The identity service, up to and including `/v3`, without a final `/`.
    pub(crate) auth_url: Url,
    pub(crate) identity: Identity,
    /// The scope that the token is requested for.
    pub(crate) scope: ScopeWanted,
}

/// How to log in at the identity service.
#[derive(Debug, Clone)]
pub(crate) enum Identity {
    /// A user with a password, and perhaps a second factor.
    Password {
        user: User,
        password: Secret,
        /// The seed of the second factor (RFC 6238), in base32.
        totp: Option<Secret>,
    },
    /// A token, which is exchanged for another.
    Token { token: Secret },
    /// An application credential, which brings its own scope.
    Application { id: String, secret: Secret },
}

impl ConfiguredCredential for Keystone {
    fn kind(&self) -> &'static str {
        match self.identity {
            Identity::Token { .. } => "keystone-token",
            Identity::Password { .. } | Identity::Application { .. } => "keystone",
        }
    }

    fn auth_url(&self) -> Option<&Url> {
        Some(&self.auth_url)
    }

    fn project_name(&self) -> Option<&str> {
        match &self.scope {
            ScopeWanted::Project(project) => project.name(),
            ScopeWanted::Domain(_) | ScopeWanted::Default => None,
        }
    }

    fn issuer(&self, parts: &Parts<'_>) -> Result<Box<dyn Issuer>, BuildError> {
        Ok(Box::new(TokenIssuer {
            spec: self.clone(),
            exchange: Exchange::with(&self.auth_url)?,
            wants_catalog: parts.wants_catalog,
        }))
    }
}

pub(super) struct TokenIssuer {
    pub(super) spec: Keystone,
    pub(super) exchange: Exchange,
    /// True if a service needs the URLs of services from the catalog.
    pub(super) wants_catalog: bool,
}

#[async_trait]
impl Issuer for TokenIssuer {
    fn gives(&self) -> &'static [&'static str] {
        match (&self.spec.identity, &self.spec.scope) {
            // An application credential belongs to a project.
            (Identity::Application { .. }, _) | (_, ScopeWanted::Project(_)) => {
                &["project_id", "tenant_id", "domain_id"]
            }
            (_, ScopeWanted::Domain(_)) => &["domain_id"],
            (_, ScopeWanted::Default) => &[],
        }
    }

    fn wants_catalog(&self) -> bool {
        self.wants_catalog
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        let secrets = match &self.spec.identity {
            Identity::Password { password, totp, .. } => vec![Some(password), totp.as_ref()],
            Identity::Token { token } => vec![Some(token)],
            Identity::Application { secret, .. } => vec![Some(secret)],
        };
        secrets.into_iter().flatten().map(Secret::stamp).collect()
    }

    async fn issue(&self, now: Timestamp) -> Result<Grant, IssueError> {
        let (identity, secrets) = identity_of(&self.spec.identity, now)?;
        let redaction = Redaction::of(secrets.iter().map(ExposeSecret::expose_secret));
        let body = auth_body(&identity, scope_of(&self.spec.scope).as_ref());
        let request = token_request(&self.spec.auth_url, &body, self.wants_catalog);
        let attempt = self.attempt();
        let reply = self.exchange.send(request, redaction, &attempt, now);
        let reply = reply.await?;
        granted(&reply, &self.spec.auth_url, &attempt, &self.advice(), now)
    }
}

impl TokenIssuer {
    fn attempt(&self) -> String {
        let url = &self.spec.auth_url;
        match &self.spec.identity {
            Identity::Password { user, .. } => match user {
                User::Id(id) => format!("log in at {url} as the user with the id `{id}`"),
                User::Name(name, Domain::Id(domain) | Domain::Name(domain)) => {
                    format!("log in at {url} as `{name}` of the domain `{domain}`")
                }
            },
            Identity::Token { .. } => format!("exchange the token at {url}"),
            Identity::Application { id, .. } => {
                format!("log in at {url} with the application credential `{id}`")
            }
        }
    }

    fn advice(&self) -> String {
        let scope = match &self.spec.scope {
            ScopeWanted::Project(Project::Id(_)) => ", and `project_id`",
            ScopeWanted::Project(Project::Name(..)) => ", and `project`",
            ScopeWanted::Domain(_) | ScopeWanted::Default => "",
        };
        match &self.spec.identity {
            Identity::Password { password, totp, .. } => {
                let factor = if totp.is_some() {
                    ", the seed `totp`"
                } else {
                    ""
                };
                format!(
                    "check the user, the `password` in {}{factor}{scope}",
                    password.place()
                )
            }
            Identity::Token { token } => format!("check the `token` in {}{scope}", token.place()),
            Identity::Application { secret, .. } => {
                format!("check the id, and the `secret` in {}", secret.place())
            }
        }
    }
}

/// Returns the identity part of the request, and the secrets in it.
fn identity_of(
    identity: &Identity,
    now: Timestamp,
) -> Result<(Value, Vec<SecretString>), IssueError> {
    Ok(match identity {
        Identity::Password {
            user,
            password,
            totp,
        } => {
            let password = password.read()?;
            let mut who = user_of(user);
            who["password"] = password.expose_secret().into();
            let mut body = json!({ "methods": ["password"], "password": { "user": who } });
            let mut secrets = vec![password];
            if let Some(seed) = totp {
                let passcode = passcode(seed, now)?;
                let mut who = user_of(user);
                who["passcode"] = passcode.expose_secret().into();
                body["methods"] = json!(["password", "totp"]);
                body["totp"] = json!({ "user": who });
                secrets.push(passcode);
            }
            (body, secrets)
        }
        Identity::Token { token } => {
            let token = token.read()?;
            let id = token.expose_secret();
            let body = json!({ "methods": ["token"], "token": { "id": id } });
            (body, vec![token])
        }
        Identity::Application { id, secret } => {
            let secret = secret.read()?;
            let text = secret.expose_secret();
            let body = json!({
                "methods": ["application_credential"],
                "application_credential": { "id": id, "secret": text },
            });
            (body, vec![secret])
        }
    })
}

/// Returns the passcode of this half minute (RFC 6238 with its defaults).
fn passcode(seed: &Secret, now: Timestamp) -> Result<SecretString, IssueError> {
    let wrong = || {
        let place = seed.place();
        IssueError::refused(format!(
            "the seed `totp` in {place} is not base32 of at least 16 bytes: copy it from where the second factor was set up"
        ))
    };
    let text = seed.read()?;
    // People copy it in groups of four, in either case.
    let mut plain = text.expose_secret().replace([' ', '-'], "");
    plain.make_ascii_uppercase();
    let secret =
        totp_rs::Secret::try_from_base32(plain.trim_end_matches('=')).map_err(|_| wrong())?;
    let totp = Builder::new()
        .with_secret(secret)
        .build()
        .map_err(|_| wrong())?;
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    Ok(SecretString::from(totp.generate(seconds).to_string()))
}

fn user_of(user: &User) -> Value {
    match user {
        User::Id(id) => json!({ "id": id }),
        User::Name(name, domain) => json!({ "name": name, "domain": domain_of(domain) }),
    }
}

fn domain_of(domain: &Domain) -> Value {
    match domain {
        Domain::Id(id) => json!({ "id": id }),
        Domain::Name(name) => json!({ "name": name }),
    }
}

fn scope_of(wanted: &ScopeWanted) -> Option<Value> {
    match wanted {
        ScopeWanted::Project(project) => Some(json!({ "project": project_of(project) })),
        ScopeWanted::Domain(domain) => Some(json!({ "domain": domain_of(domain) })),
        ScopeWanted::Default => None,
    }
}

/// Returns a project as a scope names it.
pub(super) fn project_of(project: &Project) -> Value {
    match project {
        Project::Id(id) => json!({ "id": id }),
        Project::Name(name, None) => json!({ "name": name }),
        Project::Name(name, Some(domain)) => {
            json!({ "name": name, "domain": domain_of(domain) })
        }
    }
}

/// Returns the body of a request for a token.
pub(super) fn auth_body(identity: &Value, scope: Option<&Value>) -> Value {
    let mut auth = json!({ "identity": identity });
    if let Some(scope) = scope {
        auth["scope"] = scope.clone();
    }
    json!({ "auth": auth })
}

/// Returns a request for a token.
pub(super) fn token_request(auth_url: &Url, body: &Value, wants_catalog: bool) -> reqwest::Request {
    let query = if wants_catalog { "" } else { "?nocatalog=any" };
    post(&below(auth_url, &format!("/auth/tokens{query}")), body)
}

/// Returns the URL of `path` below the URL of an identity service.
pub(super) fn below(auth_url: &Url, path: &str) -> Url {
    let text = format!("{}{path}", auth_url.as_str().trim_end_matches('/'));
    Url::parse(&text).unwrap_or_else(|_| auth_url.clone())
}

/// Returns a POST request of JSON. The content type is the one in the documents.
pub(super) fn post(url: &Url, body: &Value) -> reqwest::Request {
    let mut request = reqwest::Request::new(Method::POST, url.clone());
    let json = HeaderValue::from_static("application/json;charset=utf8");
    request.headers_mut().insert(CONTENT_TYPE, json);
    *request.body_mut() = Some(body.to_string().into());
    request
}

/// Reads the token of an answer, with its scope and lifetime.
pub(super) fn granted(
    reply: &Reply,
    auth_url: &Url,
    attempt: &str,
    advice: &str,
    now: Timestamp,
) -> Result<Grant, IssueError> {
    if !reply.status.is_success() {
        // Keystone's answer is the same for an ended token and for a wrong URL.
        let is_lost = reply.status == StatusCode::NOT_FOUND;
        let also = if is_lost { ", and `auth_url`" } else { "" };
        return Err(reply.failure(attempt, &format!("{advice}{also}")));
    }
    // A token that is not text could not be kept out of messages.
    let is_token = |token: &&HeaderValue| token.to_str().is_ok_and(|text| !text.is_empty());
    let Some(token) = reply.headers.get(SUBJECT_TOKEN).filter(is_token) else {
        return Err(reply.unreadable(attempt, "token (X-Subject-Token)"));
    };
    let body = reply.json();
    let mut token = token.clone();
    token.set_sensitive(true);
    Ok(Grant {
        auth: RequestAuth::Header(TOKEN_HEADER, token),
        lifetime: lifetime_of(&body["token"], now),
        scope: scope_in(&body["token"], auth_url),
        clock_ahead_s: clock_ahead_s(&reply.headers, now),
    })
}

/// Returns the lifetime by the issuer's own clock, because ours may be wrong.
fn lifetime_of(token: &Value, now: Timestamp) -> Option<Duration> {
    let time = |key: &str| token[key].as_str()?.parse::<Timestamp>().ok();
    let issued_at = time("issued_at").unwrap_or(now);
    time("expires_at").map(|expires_at| until(issued_at, expires_at))
}

fn scope_in(token: &Value, auth_url: &Url) -> Scope {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let project = &token["project"];
    let domain = if project.is_object() {
        &project["domain"]
    } else {
        &token["domain"]
    };
    Scope {
        user: text(&token["user"]["name"]),
        project_id: text(&project["id"]),
        project: text(&project["name"]),
        domain_id: text(&domain["id"]),
        domain: text(&domain["name"]),
        scopes: None,
        catalog: catalog_in(&token["catalog"], auth_url),
    }
}

/// Returns the public endpoints of the catalog of the identity service at `auth_url`.
pub(super) fn catalog_in(catalog: &Value, auth_url: &Url) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for service in catalog.as_array().into_iter().flatten() {
        let of_service = service["endpoints"].as_array().into_iter().flatten();
        for endpoint in of_service.filter(|it| it["interface"] == "public") {
            let region = endpoint["region"].as_str();
            let region = region.or_else(|| endpoint["region_id"].as_str());
            let (Some(service_type), Some(url)) =
                (service["type"].as_str(), endpoint["url"].as_str())
            else {
                continue;
            };
            endpoints.push(Endpoint {
                service_type: service_type.to_owned(),
                region: region.unwrap_or("*").to_owned(),
                base: before_version(url),
                is_exposed: auth_url.scheme() == "https" && is_unencrypted(url),
            });
        }
    }
    endpoints
}

fn is_unencrypted(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.scheme() == "http")
}

/// Reads a user with a password, or an application credential.
pub(super) fn password(section: &Reader<'_>) -> Option<CredentialSettings> {
    let auth_url = auth_url(section);
    let application = section.has("application_id").then(|| {
        let id = section.expanded("application_id");
        let secret = section.required_secret("application_secret");
        Some((id?, secret?))
    });
    if let Some(application) = application {
        let (id, secret) = application?;
        return Some(CredentialSettings::of(Keystone {
            auth_url: auth_url?,
            identity: Identity::Application { id, secret },
            scope: ScopeWanted::Default,
        }));
    }
    let domain = domain(section, "domain", "domain_id");
    let user = user(section, domain.clone());
    let password = section.required_secret("password");
    let totp = section.secret_source("totp");
    let project = project(section, domain);
    if project.is_none() && !section.has_any(&PROJECT_KEYS) {
        section.warn("", "has no `project` and no `project_id`: services that ask for a project will refuse its token");
    }
    let identity = Identity::Password {
        user: user?,
        password: password?,
        totp,
    };
    Some(CredentialSettings::of(Keystone {
        auth_url: auth_url?,
        identity,
        scope: project.map_or(ScopeWanted::Default, ScopeWanted::Project),
    }))
}

/// Reads a token that is exchanged for one of a project.
pub(super) fn token(section: &Reader<'_>) -> Option<CredentialSettings> {
    let auth_url = auth_url(section);
    let token = section.required_secret("token");
    let domain = domain(section, "domain", "domain_id");
    let project = project(section, domain);
    if project.is_none() && !section.has_any(&PROJECT_KEYS) {
        section.report(
            "",
            "needs `project` or `project_id`: the token is exchanged for one of that project",
        );
    }
    Some(CredentialSettings::of(Keystone {
        auth_url: auth_url?,
        identity: Identity::Token { token: token? },
        scope: ScopeWanted::Project(project?),
    }))
}

fn user(section: &Reader<'_>, domain: Option<Domain>) -> Option<User> {
    let id = section.expanded("user_id");
    let name = section.expanded("username");
    match (id, name) {
        (Some(id), None) => Some(User::Id(id)),
        (None, Some(name)) => {
            if domain.is_none() && !section.has_any(&DOMAIN_KEYS) {
                section.report(
                    "username",
                    "needs `domain` or `domain_id`: names are unique only within a domain",
                );
            }
            Some(User::Name(name, domain?))
        }
        (Some(_), Some(_)) => {
            section.report("user_id", "is set beside `username`; keep one of them");
            None
        }
        (None, None) if section.has("user_id") => None,
        (None, None) => section.missing("username", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B: the seed is "12345678901234567890", the code has eight digits
    /// there and six here.
    #[test]
    fn passcodes_equal_the_vectors_of_rfc_6238() {
        let seed = |text: &str| Secret::Text(SecretString::from(text.to_owned()));
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        for text in [
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
            "gezd gnbv gy3t qojq gezd gnbv gy3t qojq",
        ] {
            let code = |seconds| passcode(&seed(text), at(seconds)).unwrap();
            assert_eq!(code(59).expose_secret(), "287082");
            assert_eq!(code(1_111_111_109).expose_secret(), "081804");
        }
        let error = passcode(&seed("not base32: 1890"), at(0)).unwrap_err();
        assert!(error.to_string().contains("`totp`"), "{error}");
        assert!(!error.to_string().contains("1890"), "{error}");
    }

    #[test]
    fn scope_and_lifetime_of_a_recorded_token_are_read() {
        let body = include_str!("../../../tests/it/credentials/iam/token_created.json");
        let body: Value = serde_json::from_str(body).unwrap();
        let auth_url = Url::parse("https://iam.example.com/v3").unwrap();
        let scope = scope_in(&body["token"], &auth_url);
        assert_eq!(scope.user.unwrap(), "user A");
        assert_eq!(scope.domain.unwrap(), "domain A");
        assert_eq!(scope.project_id, None);
        assert_eq!(scope.catalog[0].service_type, "identity");
        let lifetime = lifetime_of(&body["token"], Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(lifetime.as_secs(), 3599);
    }

    #[test]
    fn the_path_is_appended_to_the_identity_service_url() {
        for url in [
            "https://iam.example.com:443/v3",
            "https://iam.example.com/v3/",
        ] {
            let url = below(&Url::parse(url).unwrap(), "/auth/tokens");
            assert_eq!(url.as_str(), "https://iam.example.com/v3/auth/tokens");
        }
    }
}
