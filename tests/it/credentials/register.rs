//! The tokens and keys that the stand-ins accept, while they are valid.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jobwatch::clock::{Clock, SteppedClock, later};
use jobwatch::credential::signing::{SigningKey, sign};
use secrecy::SecretString;

use crate::credentials::stand::Asked;

/// The tokens and keys that the stand-ins accept.
pub(super) struct Register {
    clock: SteppedClock,
    known: Mutex<Known>,
}

struct Known {
    /// Token → its end.
    tokens: HashMap<String, Timestamp>,
    /// Access key → secret key, security token, and its end.
    keys: HashMap<String, (String, Option<String>, Timestamp)>,
    issued: u32,
    lifetime: Duration,
}

impl Register {
    pub(super) fn new(clock: &SteppedClock) -> Self {
        Self {
            clock: clock.clone(),
            known: Mutex::new(Known {
                tokens: HashMap::new(),
                keys: HashMap::new(),
                issued: 0,
                lifetime: Duration::from_hours(24),
            }),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    /// Sets the lifetime of everything issued from now on.
    pub(super) fn issue_for(&self, lifetime: Duration) {
        self.known().lifetime = lifetime;
    }

    pub(super) fn lifetime(&self) -> Duration {
        self.known().lifetime
    }

    /// A new token.
    pub(super) fn token(&self) -> String {
        let mut known = self.known();
        known.issued += 1;
        let token = format!("token-{}-of-the-stand-in", known.issued);
        let until = later(self.clock.now(), known.lifetime);
        known.tokens.insert(token.clone(), until);
        token
    }

    /// A new temporary key: access key, secret key, security token, and its end.
    pub(super) fn key(&self) -> (String, String, String, Timestamp) {
        let mut known = self.known();
        known.issued += 1;
        let part = |word: &str| format!("TEMPORARY{word}{}", known.issued);
        let (access, secret, token) = (part("ACCESS"), part("SECRET"), part("TOKEN"));
        let until = later(self.clock.now(), known.lifetime);
        let key = (secret.clone(), Some(token.clone()), until);
        known.keys.insert(access.clone(), key);
        (access, secret, token, until)
    }

    /// Accepts a token that was not issued here.
    pub(super) fn know_token(&self, token: &str) {
        self.known().tokens.insert(token.to_owned(), Timestamp::MAX);
    }

    /// Accepts a permanent key.
    pub(super) fn know_key(&self, access_key: &str, secret_key: &str, token: Option<&str>) {
        let key = (
            secret_key.to_owned(),
            token.map(str::to_owned),
            Timestamp::MAX,
        );
        self.known().keys.insert(access_key.to_owned(), key);
    }

    /// Revokes all tokens and keys.
    pub(super) fn revoke_all(&self) {
        let mut known = self.known();
        known.tokens.clear();
        known.keys.clear();
    }

    /// Checks the token or signature of a request.
    ///
    /// # Errors
    /// The refusal of the gateway.
    pub(super) fn judge(&self, asked: &Asked) -> Result<(), String> {
        let known = self.known();
        let now = self.clock.now();
        if let Some(token) = asked.header("x-auth-token") {
            let until = known.tokens.get(token);
            return match until {
                Some(until) if now < *until => Ok(()),
                _ => Err(format!("decrypt token fail: {token}")),
            };
        }
        let Some(authorization) = asked.header("authorization") else {
            return Err("x-auth-token not found".to_owned());
        };
        let Some((access_key, _)) = parts(authorization) else {
            return Err("no such authorization".to_owned());
        };
        let Some((secret_key, token, until)) = known.keys.get(access_key) else {
            return Err(format!("ak {access_key} not exist"));
        };
        let is_right = now < *until
            && asked.header("x-security-token") == token.as_deref()
            && signed_again(asked, secret_key) == authorization;
        is_right
            .then_some(())
            .ok_or_else(|| "verify aksk signature fail".to_owned())
    }
}

/// The access key, and the names of the signed headers.
pub(super) fn parts(authorization: &str) -> Option<(&str, &str)> {
    let rest = authorization.strip_prefix("SDK-HMAC-SHA256 Access=")?;
    let (access_key, rest) = rest.split_once(", SignedHeaders=")?;
    Some((access_key, rest.split_once(", Signature=")?.0))
}

/// The time of the signature in the request.
pub(super) fn signed_at(asked: &Asked) -> Timestamp {
    let text = asked.header("x-sdk-date").unwrap();
    let time = DateTime::strptime("%Y%m%dT%H%M%SZ", text).unwrap();
    time.to_zoned(TimeZone::UTC).unwrap().timestamp()
}

/// The `Authorization` computed again from the request as it arrived.
fn signed_again(asked: &Asked, secret_key: &str) -> String {
    let (access_key, names) = parts(asked.header("authorization").unwrap()).unwrap();
    let host = asked.header("host").unwrap();
    let url = format!("http://{host}{}", asked.path);
    let mut request = reqwest::Request::new(asked.method.clone(), url.parse().unwrap());
    for name in names.split(';').filter(|name| *name != "host") {
        let value = asked.headers.get(name).unwrap().clone();
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value);
    }
    *request.body_mut() = Some(asked.body.clone().into());
    let own = |name: &str| asked.header(name).map(str::to_owned);
    let key = SigningKey {
        access_key: SecretString::from(access_key),
        secret_key: SecretString::from(secret_key),
        security_token: own("x-security-token").map(SecretString::from),
        project_id: own("x-project-id"),
        domain_id: own("x-domain-id"),
    };
    sign(&mut request, &key, signed_at(asked)).unwrap();
    let authorization = &request.headers()["authorization"];
    authorization.to_str().unwrap().to_owned()
}
