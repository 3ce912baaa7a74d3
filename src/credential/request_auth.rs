//! The part of a request that authenticates it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use crate::credential::signing::SigningKey;
use crate::outbound::redaction::Redaction;

/// The header of a token (Identity and Access Management API reference, "Token
/// authentication").
pub const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-auth-token");

/// The header or the signature that authenticates a request.
#[derive(Clone)]
pub enum RequestAuth {
    None,
    /// The value is marked as sensitive.
    Header(HeaderName, HeaderValue),
    /// Several headers, each with its own secret.
    Headers(Vec<(HeaderName, HeaderValue)>),
    /// The request is signed with this key.
    Key(SigningKey),
}

impl RequestAuth {
    /// True if it is the same auth, so that a refusal of one is a refusal of the other.
    pub fn is(&self, other: &Self) -> bool {
        let same = |a: &SecretString, b: &SecretString| a.expose_secret() == b.expose_secret();
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Header(name, value), Self::Header(other_name, other_value)) => {
                name == other_name && value == other_value
            }
            (Self::Headers(headers), Self::Headers(others)) => headers == others,
            (Self::Key(key), Self::Key(other)) => {
                let tokens = (&key.security_token, &other.security_token);
                same(&key.access_key, &other.access_key)
                    && same(&key.secret_key, &other.secret_key)
                    && match tokens {
                        (Some(token), Some(other)) => same(token, other),
                        (None, None) => true,
                        _ => false,
                    }
            }
            _ => false,
        }
    }

    /// Returns the texts that must be kept out of messages.
    pub fn redaction(&self) -> Redaction {
        match self {
            Self::None => Redaction::default(),
            Self::Header(_, value) => redaction_of(value),
            Self::Headers(headers) => headers
                .iter()
                .fold(Redaction::default(), |all, (_, value)| {
                    all.and(&redaction_of(value))
                }),
            Self::Key(key) => {
                let secrets = [
                    Some(&key.access_key),
                    Some(&key.secret_key),
                    key.security_token.as_ref(),
                ];
                Redaction::of(
                    secrets
                        .into_iter()
                        .flatten()
                        .map(ExposeSecret::expose_secret),
                )
            }
        }
    }
}

/// Returns a header's value that carries `secret`, marked as sensitive.
///
/// # Errors
/// The secret has characters that no header may have. The message does not show it.
pub(super) fn secret_value(secret: &SecretString) -> Result<HeaderValue, &'static str> {
    let mut value = HeaderValue::from_str(secret.expose_secret())
        .map_err(|_| "has characters that no header may have")?;
    value.set_sensitive(true);
    Ok(value)
}

fn redaction_of(value: &HeaderValue) -> Redaction {
    // Other letters than those of ASCII are allowed, too.
    let text = std::str::from_utf8(value.as_bytes()).unwrap_or_default();
    // For `Bearer SECRET` also the secret alone, and for Basic the password.
    let last = text.rsplit(' ').next().unwrap_or_default();
    let pair = BASE64_STANDARD.decode(last).unwrap_or_default();
    let pair = String::from_utf8(pair).unwrap_or_default();
    let password = pair.split_once(':').map_or("", |(_, password)| password);
    Redaction::of([text, last, password])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_of_several_headers_is_redacted() {
        let value = |text: &str| secret_value(&SecretString::from(text.to_owned())).unwrap();
        let auth = RequestAuth::Headers(vec![
            (TOKEN_HEADER, value("first-canary")),
            (http::header::AUTHORIZATION, value("Key sëcond-canary")),
        ]);
        assert_eq!(
            auth.redaction().text("first-canary, sëcond-canary"),
            "[REDACTED], [REDACTED]"
        );
    }
}
