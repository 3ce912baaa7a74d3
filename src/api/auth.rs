//! Who may do what: bearer tokens, and a check of the `Host` where there are none.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, Method, header};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::api::error::ApiError;

type Hash = [u8; 32];

/// Knows the tokens, as hashes: comparing hashes tells nothing about the tokens by its
/// timing.
#[derive(Clone, Default)]
pub struct Guard {
    read: Option<Hash>,
    write: Option<Hash>,
}

impl Guard {
    /// A guard for these tokens. Without any, everybody on this machine may do everything.
    pub fn new(read: Option<&SecretString>, write: Option<&SecretString>) -> Self {
        let hash = |token: &SecretString| Sha256::digest(token.expose_secret()).into();
        Self {
            read: read.map(hash),
            write: write.map(hash),
        }
    }

    fn is_open(&self) -> bool {
        self.read.is_none() && self.write.is_none()
    }

    fn judge(&self, method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
        if self.is_open() {
            check_origin(headers)?;
            return check_host(headers);
        }
        let Some(token) = bearer(headers) else {
            return Err(ApiError::unauthorized(
                "send `Authorization: Bearer TOKEN` with a token of this jobwatch",
            ));
        };
        let given: Option<Hash> = Some(Sha256::digest(token).into());
        let only_reads = matches!(*method, Method::GET | Method::HEAD);
        if given == self.write || (only_reads && given == self.read) {
            Ok(())
        } else if given == self.read {
            Err(ApiError::forbidden(
                "this token may only read; whatever changes something needs the write token",
            ))
        } else {
            Err(ApiError::unauthorized(
                "the token is not one of this jobwatch",
            ))
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Without tokens a web page in a browser on this machine could submit watches: browsers
/// say which page asks, and no page has business here.
fn check_origin(headers: &HeaderMap) -> Result<(), ApiError> {
    if headers.contains_key(header::ORIGIN) {
        return Err(ApiError::forbidden(
            "without tokens this API does not answer to web pages (the request has an `Origin`)",
        ));
    }
    Ok(())
}

/// Without tokens the address is the only protection, and a web page could reach it
/// through a name of its own that resolves to this machine: names are refused.
fn check_host(headers: &HeaderMap) -> Result<(), ApiError> {
    let host = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if name.is_empty() || name == "localhost" || bare.parse::<std::net::IpAddr>().is_ok() {
        return Ok(());
    }
    Err(ApiError::forbidden(format!(
        "without tokens this API answers to addresses and `localhost`, not to the name `{name}`"
    )))
}

/// Lets a request through, or answers it.
pub(super) async fn check(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    guard.judge(request.method(), request.headers())?;
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    fn guard() -> Guard {
        Guard::new(Some(&"reader".into()), Some(&"writer".into()))
    }

    #[test]
    fn a_reader_reads_and_a_writer_does_both() {
        let judge = |method, token: &str| {
            guard()
                .judge(&method, &headers(header::AUTHORIZATION, token))
                .is_ok()
        };
        assert!(judge(Method::GET, "Bearer reader"));
        assert!(judge(Method::GET, "bearer writer"));
        assert!(judge(Method::POST, "Bearer writer"));
        assert!(!judge(Method::POST, "Bearer reader"));
        assert!(!judge(Method::DELETE, "Bearer reader"));
        for wrong in ["Bearer nobody", "Bearer ", "Basic writer", "writer"] {
            assert!(!judge(Method::GET, wrong), "{wrong}");
        }
        assert!(guard().judge(&Method::GET, &HeaderMap::new()).is_err());
    }

    #[test]
    fn one_token_alone_gives_nobody_the_other_right() {
        let only_reader = Guard::new(Some(&"reader".into()), None);
        let sent = headers(header::AUTHORIZATION, "Bearer reader");
        assert!(only_reader.judge(&Method::POST, &sent).is_err());
        assert!(only_reader.judge(&Method::GET, &sent).is_ok());
    }

    #[test]
    fn without_tokens_a_web_page_is_refused() {
        let sent = headers(header::ORIGIN, "http://evil.example");
        assert!(Guard::default().judge(&Method::POST, &sent).is_err());
    }

    #[test]
    fn without_tokens_a_foreign_name_is_refused() {
        let open = Guard::default();
        for host in [
            "localhost:8620",
            "LOCALHOST.:8620",
            "127.0.0.1:8620",
            "[::1]:8620",
            "localhost",
        ] {
            assert!(
                open.judge(&Method::POST, &headers(header::HOST, host))
                    .is_ok(),
                "{host}"
            );
        }
        for host in [
            "evil.example:8620",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
        ] {
            assert!(
                open.judge(&Method::GET, &headers(header::HOST, host))
                    .is_err(),
                "{host}"
            );
        }
    }
}
