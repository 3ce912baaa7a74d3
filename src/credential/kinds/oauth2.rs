//! An access token of an OAuth 2.0 authorization server, for the client's own credentials
//! (RFC 6749, section 4.4): `POST` to the token endpoint, and the token as `Bearer`
//! (RFC 6750).

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use form_urlencoded::byte_serialize;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method};
use jiff::Timestamp;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::credential::configured::{BuildError, ConfiguredCredential, CredentialSettings, Parts};
use crate::credential::exchange::{Exchange, Reply};
use crate::credential::lease::Failing;
use crate::credential::refusal::clock_ahead_s;
use crate::credential::request_auth::{RequestAuth, secret_value};
use crate::credential::scope::Scope;
use crate::credential::{Grant, IssueError, Issuer};
use crate::outbound::names_this_machine;
use crate::outbound::redaction::Redaction;
use crate::outbound::secret::{Secret, Stamp};
use crate::outbound::url::http_url;
use crate::tree::reader::{Reader, expand};

/// The word for this kind in the configuration.
pub(super) const KIND: &str = "oauth2";
/// The lifetime of a token whose answer has no `expires_in`. If it ends before, the 401 of
/// the service renews it.
const LIFETIME_DEFAULT: Duration = Duration::from_hours(1);
/// The longest lifetime: servers write a huge number for "never".
const LIFETIME_MAX: Duration = Duration::from_hours(24 * 30);
/// The types of token that are sent as `Bearer`; Apigee has its own word for it.
const BEARER_TYPES: [&str; 2] = ["bearer", "bearertoken"];
/// The codes by which a server says that its own failure will pass; some send them with 400.
const PASSING_CODES: [&str; 2] = ["temporarily_unavailable", "server_error"];
/// The params of a token request that have their own keys, or that jobwatch sets itself.
const RESERVED: [&str; 5] = [
    "grant_type",
    "client_id",
    "client_secret",
    "scope",
    "audience",
];

/// The client of an authorization server, and the token that it asks for.
#[derive(Debug, Clone)]
struct Client {
    token_url: Url,
    id: String,
    secret: Secret,
    /// How the client proves itself at the token endpoint.
    proof: Proof,
    scope: Option<String>,
    audience: Option<String>,
    /// Further params that the server asks for. A value may come from a variable, and counts
    /// as a secret.
    extra: BTreeMap<String, SecretString>,
}

/// How a client proves itself (RFC 6749, section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// By HTTP Basic, with id and secret form-encoded.
    Basic,
    /// By params in the body.
    Body,
}

impl ConfiguredCredential for Client {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn in_words(&self) -> Option<String> {
        let scope = self.scope.iter().map(|scope| format!(", scope {scope}"));
        let client = format!("{}, client {}", self.shown_url(), self.id);
        Some(client + &scope.collect::<String>())
    }

    fn issuer(&self, _parts: &Parts<'_>) -> Result<Box<dyn Issuer>, BuildError> {
        Ok(Box::new(TokenIssuer {
            exchange: Exchange::with(&self.token_url)?,
            client: self.clone(),
        }))
    }
}

impl Client {
    /// Returns the token endpoint for messages: its query may have a key.
    fn shown_url(&self) -> Url {
        let mut url = self.token_url.clone();
        url.set_query(None);
        url
    }

    fn attempt(&self) -> String {
        format!(
            "get a token from {} for the client `{}`",
            self.shown_url(),
            self.id
        )
    }

    fn advice(&self) -> String {
        let scope = if self.scope.is_some() {
            ", and `scope`"
        } else {
            ""
        };
        format!(
            "check `client_id`, the `client_secret` in {}, `auth`{scope}",
            self.secret.place()
        )
    }

    /// Returns the token request, and the secrets in it.
    fn request(&self) -> Result<(reqwest::Request, Redaction), IssueError> {
        let secret = self.secret.read()?;
        let secret = secret.expose_secret();
        let mut request = reqwest::Request::new(Method::POST, self.token_url.clone());
        let headers = request.headers_mut();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let pair = BASE64_STANDARD.encode(format!("{}:{}", encoded(&self.id), encoded(secret)));
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("grant_type", "client_credentials");
        match self.proof {
            Proof::Basic => {
                let value = secret_value(&SecretString::from(format!("Basic {pair}")));
                headers.insert(AUTHORIZATION, value.map_err(IssueError::passing)?);
            }
            Proof::Body => {
                body.append_pair("client_id", &self.id);
                body.append_pair("client_secret", secret);
            }
        }
        for (name, value) in [("scope", &self.scope), ("audience", &self.audience)] {
            body.extend_pairs(value.iter().map(|value| (name, value)));
        }
        for (name, value) in &self.extra {
            body.append_pair(name, value.expose_secret());
        }
        *request.body_mut() = Some(body.finish().into());
        let extra = self.extra.values().map(ExposeSecret::expose_secret);
        let mut spellings = vec![secret.to_owned(), encoded(secret), pair];
        spellings.extend(extra.flat_map(|value| [value.to_owned(), encoded(value)]));
        let redaction = Redaction::of(spellings.iter().map(String::as_str));
        Ok((request, redaction))
    }

    fn granted(&self, reply: &Reply, attempt: &str, now: Timestamp) -> Result<Grant, IssueError> {
        let body = reply.json();
        let code = body["error"].as_str();
        // Some servers send an error with 200.
        if !reply.status.is_success() || code.is_some() && body["access_token"].is_null() {
            let mut error = reply.failure(attempt, &self.advice());
            if error.failing == Failing::Refused
                && code.is_some_and(|code| PASSING_CODES.contains(&code))
            {
                error.failing = Failing::ServerError;
            }
            return Err(error);
        }
        let token = body["access_token"].as_str().unwrap_or_default();
        // RFC 6750, section 2.1: a token has only visible characters.
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(reply.unreadable(attempt, "access_token"));
        }
        check_type(&body["token_type"], attempt)?;
        let value = secret_value(&SecretString::from(format!("Bearer {token}")));
        let scopes = body["scope"].as_str().map(str::to_owned);
        Ok(Grant {
            auth: RequestAuth::Header(AUTHORIZATION, value.map_err(IssueError::passing)?),
            lifetime: Some(lifetime_of(&body["expires_in"])),
            scope: Scope {
                scopes: scopes.or_else(|| self.scope.clone()),
                ..Scope::default()
            },
            clock_ahead_s: clock_ahead_s(&reply.headers, now),
        })
    }
}

struct TokenIssuer {
    client: Client,
    exchange: Exchange,
}

#[async_trait]
impl Issuer for TokenIssuer {
    fn stamps(&self) -> Vec<Option<Stamp>> {
        vec![self.client.secret.stamp()]
    }

    async fn issue(&self, now: Timestamp) -> Result<Grant, IssueError> {
        let (request, redaction) = self.client.request()?;
        let attempt = self.client.attempt();
        let reply = self.exchange.send(request, redaction, &attempt, now);
        self.client.granted(&reply.await?, &attempt, now)
    }
}

/// RFC 6749, section 7.1: a token of a type that the client does not know must not be used.
fn check_type(token_type: &Value, attempt: &str) -> Result<(), IssueError> {
    let Some(word) = token_type.as_str().filter(|word| !word.is_empty()) else {
        return Ok(());
    };
    if BEARER_TYPES
        .iter()
        .any(|known| known.eq_ignore_ascii_case(word))
    {
        return Ok(());
    }
    let shown: String = word
        .chars()
        .filter(char::is_ascii_graphic)
        .take(40)
        .collect();
    Err(IssueError::refused(format!(
        "cannot {attempt}: the token is of the type `{shown}`; jobwatch sends tokens of the type Bearer only"
    )))
}

/// Returns the lifetime in seconds; some servers write the number as a text, or with a
/// fraction.
fn lifetime_of(expires_in: &Value) -> Duration {
    let number = match expires_in {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    let Some(seconds) = number.filter(|seconds| seconds.is_finite()) else {
        return LIFETIME_DEFAULT;
    };
    Duration::try_from_secs_f64(seconds.max(0.0)).map_or(LIFETIME_MAX, |it| it.min(LIFETIME_MAX))
}

/// Reads a client and the token that it asks for.
pub(super) fn read(section: &Reader<'_>) -> Option<CredentialSettings> {
    optional_choice(section, "grant", &[("client-credentials", ())]);
    let proofs = [("basic", Proof::Basic), ("body", Proof::Body)];
    let proof = optional_choice(section, "auth", &proofs);
    let token_url = token_url(section);
    let id = section.expanded("client_id");
    let id = section.missing("client_id", id);
    let secret = section.required_secret("client_secret");
    let scope = section.expanded("scope");
    let audience = section.expanded("audience");
    let extra = extra(section);
    Some(CredentialSettings::of(Client {
        token_url: token_url?,
        id: id?,
        secret: secret?,
        proof: proof.unwrap_or(Proof::Basic),
        scope,
        audience,
        extra,
    }))
}

fn optional_choice<T: Copy>(section: &Reader<'_>, key: &str, choices: &[(&str, T)]) -> Option<T> {
    section.ask(key)?;
    section.choice(key, choices)
}

/// The secret and the token must not cross a network in plain text (RFC 6749, section 3.2).
fn token_url(section: &Reader<'_>) -> Option<Url> {
    let text = section.expanded("token_url");
    let url = http_url(&section.missing("token_url", text)?);
    let url = url.and_then(|url| {
        if url.fragment().is_some() {
            Err("must have no `#`".to_owned())
        } else if url.scheme() == "http" && !names_this_machine(&url) {
            Err("must begin with https://, because the secret is sent to it; http:// is for this machine only".to_owned())
        } else {
            Ok(url)
        }
    });
    url.map_err(|message| section.report("token_url", message))
        .ok()
}

fn extra(section: &Reader<'_>) -> BTreeMap<String, SecretString> {
    let mut extra = BTreeMap::new();
    section.hide("extra");
    for (name, text) in section.texts("extra") {
        if RESERVED.contains(&name.as_str()) {
            section.report("extra", format!("`{name}` must not be set here"));
            continue;
        }
        match expand(&text, section.environment()) {
            Ok(value) => drop(extra.insert(name, SecretString::from(value))),
            Err(message) => section.report("extra", format!("`{name}` {message}")),
        }
    }
    extra
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lifetime_is_read_in_every_spelling() {
        for (expires_in, seconds) in [
            (json!(3600), 3600),
            (json!("7200"), 7200),
            (json!(59.9), 59),
            (json!(0), 0),
            (json!(-1), 0),
            (json!(9_223_372_036_854_775_807_i64), 30 * 24 * 3600),
            (json!("soon"), 3600),
            (Value::Null, 3600),
        ] {
            assert_eq!(lifetime_of(&expires_in).as_secs(), seconds, "{expires_in}");
        }
    }

    #[test]
    fn only_bearer_tokens_are_used() {
        for good in [
            json!("Bearer"),
            json!("bearer"),
            json!("BearerToken"),
            Value::Null,
        ] {
            assert!(check_type(&good, "x").is_ok(), "{good}");
        }
        let error = check_type(&json!("mac"), "get a token").unwrap_err();
        assert!(error.message.contains("`mac`"), "{error}");
        assert_eq!(error.failing, Failing::Refused);
    }

    /// Id and secret are form-encoded before base64, so that a `:` in the id does not end it.
    #[test]
    fn the_basic_pair_is_form_encoded() {
        let client = Client {
            token_url: Url::parse("https://sso.example.com/token?key=canary").unwrap(),
            id: "a:b c".to_owned(),
            secret: Secret::Text(SecretString::from("p/w+d%")),
            proof: Proof::Basic,
            scope: None,
            audience: None,
            extra: BTreeMap::new(),
        };
        let (request, redaction) = client.request().unwrap();
        let sent = request.headers()[AUTHORIZATION].to_str().unwrap();
        let pair = BASE64_STANDARD.decode(sent.trim_start_matches("Basic "));
        assert_eq!(pair.unwrap(), b"a%3Ab+c:p%2Fw%2Bd%25");
        assert!(request.headers()[AUTHORIZATION].is_sensitive());
        let echo = format!("{sent} p/w+d% p%2Fw%2Bd%25");
        assert_eq!(
            redaction.text(&echo),
            "Basic [REDACTED] [REDACTED] [REDACTED]"
        );
        assert!(!client.attempt().contains("canary"));
    }
}
