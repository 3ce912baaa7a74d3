//! Access to the API: bearer tokens, or a check of `Host` and `Origin` if there are none.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, Method, Uri, header};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::api::error::ApiError;

type Hash = [u8; 32];

/// Marks the requests that came through the Unix socket. Web pages cannot reach it, and the
/// permissions of its file say who can, so any `Host` will do.
#[derive(Clone, Copy)]
pub(super) struct ThroughSocket;

/// The tokens that are accepted. Only their hashes are kept and compared, so that the time
/// of a comparison reveals nothing about a token.
#[derive(Clone, Default)]
pub(crate) struct Guard {
    read: Option<Hash>,
    write: Option<Hash>,
}

impl Guard {
    /// Accepts these tokens. Without any, every process that reaches the address may read
    /// and change everything.
    pub(crate) fn new(read: Option<&SecretString>, write: Option<&SecretString>) -> Self {
        let hash = |token: &SecretString| Sha256::digest(token.expose_secret()).into();
        Self {
            read: read.map(hash),
            write: write.map(hash),
        }
    }

    /// True if there are no tokens.
    pub(super) fn is_open(&self) -> bool {
        self.read.is_none() && self.write.is_none()
    }

    fn authorize(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        through: Option<ThroughSocket>,
    ) -> Result<(), ApiError> {
        if self.is_open() {
            check_origin(headers)?;
            return through.map_or_else(|| check_host(uri, headers), |_| Ok(()));
        }
        let Some(token) = bearer(headers) else {
            return Err(ApiError::unauthorized(
                "send `Authorization: Bearer TOKEN` with the read or write token of this daemon",
            ));
        };
        let given: Option<Hash> = Some(Sha256::digest(token).into());
        let only_reads = matches!(*method, Method::GET | Method::HEAD);
        if given == self.write || (only_reads && given == self.read) {
            Ok(())
        } else if given == self.read {
            Err(ApiError::forbidden(
                "this token may only read; send the write token to change something",
            ))
        } else {
            Err(ApiError::unauthorized(
                "unknown token; send the read or write token of this daemon",
            ))
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Refuses web pages. Without tokens, a page in a browser on this machine could submit
/// watches; browsers name the page in `Origin`.
fn check_origin(headers: &HeaderMap) -> Result<(), ApiError> {
    if headers.contains_key(header::ORIGIN) {
        return Err(ApiError::forbidden(
            "requests of web pages (with an `Origin` header) are refused while no token is configured",
        ));
    }
    Ok(())
}

/// Refuses names. Without tokens the address is the only protection, and the owner of a web
/// page could reach it through a domain name that resolves to this machine.
fn check_host(uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().unwrap_or("?"),
        // HTTP/1.0 has none.
        (None, _) => "",
        (Some(_), Some(_)) => return Err(ApiError::forbidden("send one `Host` header")),
    };
    check_name(host)?;
    // A request for a whole URL is for the name in it, also if the header has another.
    uri.authority().map_or(Ok(()), |it| check_name(it.as_str()))
}

fn check_name(host: &str) -> Result<(), ApiError> {
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
        "while no token is configured the API answers only at an IP address or `localhost`, not at `{name}`"
    )))
}

/// Passes a permitted request on; answers any other with 401 or 403.
pub(super) async fn check(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let through = request.extensions().get().copied();
    guard.authorize(request.method(), request.uri(), request.headers(), through)?;
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
    fn the_read_token_reads_and_the_write_token_does_both() {
        let is_allowed = |method, token: &str| {
            guard()
                .authorize(
                    &method,
                    &Uri::default(),
                    &headers(header::AUTHORIZATION, token),
                    None,
                )
                .is_ok()
        };
        assert!(is_allowed(Method::GET, "Bearer reader"));
        assert!(is_allowed(Method::GET, "bearer writer"));
        assert!(is_allowed(Method::POST, "Bearer writer"));
        assert!(!is_allowed(Method::POST, "Bearer reader"));
        assert!(!is_allowed(Method::DELETE, "Bearer reader"));
        for wrong in ["Bearer other", "Bearer ", "Basic writer", "writer"] {
            assert!(!is_allowed(Method::GET, wrong), "{wrong}");
        }
        assert!(
            guard()
                .authorize(&Method::GET, &Uri::default(), &HeaderMap::new(), None)
                .is_err()
        );
    }

    #[test]
    fn a_read_token_alone_allows_no_change() {
        let only_reader = Guard::new(Some(&"reader".into()), None);
        let sent = headers(header::AUTHORIZATION, "Bearer reader");
        assert!(
            only_reader
                .authorize(&Method::POST, &Uri::default(), &sent, None)
                .is_err()
        );
        assert!(
            only_reader
                .authorize(&Method::GET, &Uri::default(), &sent, None)
                .is_ok()
        );
    }

    #[test]
    fn without_tokens_a_web_page_is_refused() {
        let sent = headers(header::ORIGIN, "http://evil.example");
        assert!(
            Guard::default()
                .authorize(&Method::POST, &Uri::default(), &sent, None)
                .is_err()
        );
    }

    #[test]
    fn a_url_with_a_foreign_name_or_two_hosts_are_refused() {
        let open = Guard::default();
        let local = headers(header::HOST, "127.0.0.1");
        let foreign: Uri = "http://evil.example/v1/services".parse().unwrap();
        assert!(
            open.authorize(&Method::GET, &foreign, &local, None)
                .is_err()
        );
        let uri: Uri = "http://localhost:8620/v1/services".parse().unwrap();
        assert!(open.authorize(&Method::GET, &uri, &local, None).is_ok());
        let mut two = local;
        two.append(header::HOST, "127.0.0.1".parse().unwrap());
        assert!(
            open.authorize(&Method::GET, &Uri::default(), &two, None)
                .is_err()
        );
    }

    #[test]
    fn through_the_socket_any_host_but_no_page_is_admitted() {
        let open = Guard::default();
        let through = Some(ThroughSocket);
        let host = headers(header::HOST, "jobwatch");
        assert!(
            open.authorize(&Method::POST, &Uri::default(), &host, through)
                .is_ok()
        );
        let page = headers(header::ORIGIN, "http://evil.example");
        assert!(
            open.authorize(&Method::POST, &Uri::default(), &page, through)
                .is_err()
        );
        assert!(
            guard()
                .authorize(&Method::GET, &Uri::default(), &host, through)
                .is_err()
        );
    }

    #[test]
    fn without_tokens_a_domain_name_is_refused() {
        let open = Guard::default();
        for host in [
            "localhost:8620",
            "LOCALHOST.:8620",
            "127.0.0.1:8620",
            "[::1]:8620",
            "localhost",
        ] {
            assert!(
                open.authorize(
                    &Method::POST,
                    &Uri::default(),
                    &headers(header::HOST, host),
                    None
                )
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
                open.authorize(
                    &Method::GET,
                    &Uri::default(),
                    &headers(header::HOST, host),
                    None
                )
                .is_err(),
                "{host}"
            );
        }
    }
}
