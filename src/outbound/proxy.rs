//! The way of requests to a service: through the proxy of the environment, through a proxy
//! of the service's own, or through none.
//!
//! A refusal of a proxy is never taken for an answer of the service. The user and the
//! password in a proxy's URL are never shown.

use std::fmt::{Debug, Display, Formatter, Result as Formatted};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, StatusCode};
use percent_encoding::percent_decode_str;
use reqwest::{ClientBuilder, Url};

use crate::outbound::redaction::Redaction;
use crate::outbound::{causes, client, in_words, innermost, names_this_machine};

/// The form of the setting.
const ALLOWED: &str = "must be the URL of a proxy, as http://proxy.example.com:3128, https://, socks5:// (names are resolved here) or socks5h:// (by the proxy), or \"none\"";
const SCHEMES: [&str; 4] = ["http", "https", "socks5", "socks5h"];
/// The longest user or password of SOCKS, in bytes (RFC 1929).
const SOCKS_TEXT_MAX: usize = 255;
/// The header by which Squid marks the errors that it makes itself.
const SQUID_ERROR: &str = "x-squid-error";
/// The longest text of that header that is repeated.
const SQUID_ERROR_CHARS_MAX: usize = 60;
const ASKS_FOR_USER: &str = "asks for a user and a password (HTTP 407); give them in its URL, as http://USER:PASSWORD@HOST, with other characters than letters and digits as %XX";

/// The way of requests to a service, with its proxy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    /// Through the proxy that the environment names, if it names one.
    Environment,
    /// To the service itself, without any proxy.
    Direct,
    /// All through this proxy, also those to this machine.
    Proxy(Proxy),
}

/// A proxy; its `Display` and `Debug` leave out the user and the password.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proxy(Url);

impl Route {
    /// Reads the setting `proxy`.
    ///
    /// # Errors
    /// Says which forms are allowed. The text is not repeated, because it may contain a
    /// password.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::Direct);
        }
        Proxy::read(text).map(Self::Proxy)
    }

    /// Makes the builder of a client whose requests take this way.
    ///
    /// # Errors
    /// The proxy cannot be used.
    pub fn client(&self) -> Result<ClientBuilder, reqwest::Error> {
        Ok(match self {
            Self::Environment => client(),
            Self::Direct => client().no_proxy(),
            Self::Proxy(proxy) => client().proxy(reqwest::Proxy::all(proxy.0.clone())?),
        })
    }

    /// Describes a failed exchange, as [`in_words`] does; names the proxy if it took part.
    pub fn in_words(&self, error: &reqwest::Error) -> String {
        let (words, proxy) = (in_words(error), self.name());
        if causes(error).any(|cause| is_of_proxy(&cause.to_string())) {
            return match innermost(error).as_str() {
                "tunnel error: proxy authorization required" => {
                    format!("{proxy} {ASKS_FOR_USER}")
                }
                "tunnel error: unsuccessful" => format!(
                    "{proxy} refused the connection to {} (CONNECT); does it allow this host and port?",
                    error.url().map_or_else(|| "the service".to_owned(), origin)
                ),
                _ => format!("{proxy}: {words}"),
            };
        }
        let Self::Proxy(own) = self else {
            return words;
        };
        // Without TLS, the only connection is the one to the proxy.
        let is_plain = error.url().is_some_and(|url| url.scheme() == "http");
        if error.is_connect() && is_plain && !own.is_socks() {
            format!("{proxy}: {words}")
        } else {
            format!("{words} (through the {proxy})")
        }
    }

    /// Describes the refusal if the proxy itself has answered, in place of the service. A
    /// proxy can do that only for a request without TLS.
    pub fn refusal(&self, scheme: &str, status: StatusCode, headers: &HeaderMap) -> Option<String> {
        let is_forwarded = match self {
            Self::Environment => true,
            Self::Direct => false,
            Self::Proxy(proxy) => !proxy.is_socks(),
        };
        if !is_forwarded || scheme != "http" {
            return None;
        }
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Some(format!("{} {ASKS_FOR_USER}", self.name()));
        }
        let code = headers.get(SQUID_ERROR)?.to_str().ok()?;
        let code: String = code.chars().take(SQUID_ERROR_CHARS_MAX).collect();
        let (proxy, status) = (self.name(), status.as_u16());
        Some(format!(
            "{proxy} refused the request: HTTP {status} ({code})"
        ))
    }

    /// Returns the secrets that every request through the proxy carries: a
    /// proxy may show them in an error page, or pass them on to a service that repeats them.
    pub fn redaction(&self) -> Redaction {
        let Self::Proxy(Proxy(url)) = self else {
            return Redaction::default();
        };
        let Some(password) = url.password() else {
            return Redaction::default();
        };
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let plain = decoded(password);
        let pair = BASE64_STANDARD.encode(format!("{}:{plain}", decoded(url.username())));
        Redaction::of([password, &plain, &pair])
    }

    /// Returns the name of the proxy in messages.
    fn name(&self) -> String {
        match self {
            Self::Environment | Self::Direct => "proxy of the environment".to_owned(),
            Self::Proxy(proxy) => format!("proxy {proxy}"),
        }
    }
}

/// The words of reqwest's connectors for a failure before the proxy has connected us.
fn is_of_proxy(cause: &str) -> bool {
    ["tunnel error", "SOCKS error"]
        .iter()
        .any(|words| cause.starts_with(words))
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

impl Display for Route {
    fn fmt(&self, f: &mut Formatter<'_>) -> Formatted {
        match self {
            Self::Environment => f.write_str("environment"),
            Self::Direct => f.write_str("none"),
            Self::Proxy(proxy) => Display::fmt(proxy, f),
        }
    }
}

impl Proxy {
    fn read(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("{ALLOWED} ({error})"))?;
        let has_host = url.host_str().is_some_and(|host| !host.is_empty());
        if !SCHEMES.contains(&url.scheme()) || !has_host {
            return Err(ALLOWED.to_owned());
        }
        let is_bare = matches!(url.path(), "" | "/");
        if !is_bare || url.query().is_some() || url.fragment().is_some() {
            return Err("must have only a host and a port, and no path".to_owned());
        }
        // The client would ignore a proxy that it cannot read, and connect directly.
        let is_understood = url.as_str().parse::<http::Uri>();
        if is_understood.map_or(true, |uri| uri.authority().is_none()) {
            return Err(ALLOWED.to_owned());
        }
        let proxy = Self(url);
        let texts = [proxy.0.username(), proxy.0.password().unwrap_or_default()];
        if proxy.is_socks() && texts.iter().any(|text| text.len() > SOCKS_TEXT_MAX) {
            return Err(format!(
                "must have a user and a password of at most {SOCKS_TEXT_MAX} bytes each"
            ));
        }
        Ok(proxy)
    }

    /// True if the URL has a password.
    pub(crate) fn has_password(&self) -> bool {
        self.0.password().is_some()
    }

    /// True if the proxy runs on this machine.
    pub(crate) fn is_local(&self) -> bool {
        names_this_machine(&self.0)
    }

    fn is_socks(&self) -> bool {
        self.0.scheme().starts_with("socks")
    }
}

impl Display for Proxy {
    fn fmt(&self, f: &mut Formatter<'_>) -> Formatted {
        let host = self.0.host_str().unwrap_or_default();
        write!(f, "{}://{host}", self.0.scheme())?;
        self.0
            .port()
            .iter()
            .try_for_each(|port| write!(f, ":{port}"))
    }
}

impl Debug for Proxy {
    fn fmt(&self, f: &mut Formatter<'_>) -> Formatted {
        write!(f, "Proxy({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_proxy_is_read_and_shown() {
        for (text, shown) in [
            (
                "http://proxy.example.com:3128",
                "http://proxy.example.com:3128",
            ),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("https://proxy.example.com", "https://proxy.example.com"),
            ("socks5://[::1]:1080", "socks5://[::1]:1080"),
            ("socks5h://proxy.example.com", "socks5h://proxy.example.com"),
            ("none", "none"),
        ] {
            assert_eq!(Route::read(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn an_unusable_proxy_is_refused_but_not_shown() {
        let long = format!("socks5://user:{}hunter2@p", "x".repeat(SOCKS_TEXT_MAX));
        for text in [
            "proxy.example.com:3128",
            "hunter2",
            "",
            "ftp://user:hunter2@p",
            "http://user:hunter2@",
            "socks4://user:hunter2@p",
            "socks5:user:hunter2@p",
            "socks5:///hunter2",
            "http://p/hunter2",
            "http://p?key=hunter2",
            &long,
        ] {
            let message = Route::read(text).unwrap_err();
            assert!(message.starts_with("must "), "{text}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn user_and_password_of_a_proxy_are_not_shown() {
        let route = Route::read("http://watcher:canary%20x@p:3128").unwrap();
        let echo = "canary%20x, canary x, Basic d2F0Y2hlcjpjYW5hcnkgeA==";
        assert_eq!(
            route.redaction().text(echo),
            "[REDACTED], [REDACTED], Basic [REDACTED]"
        );
        let client = route.client().unwrap();
        for shown in [
            route.to_string(),
            format!("{route:?}"),
            format!("{client:?}"),
            format!("{:?}", client.build().unwrap()),
        ] {
            assert!(!shown.contains("canary"), "{shown}");
            assert!(!shown.contains("watcher"), "{shown}");
            assert!(!shown.contains("d2F0Y2hlcjpjYW5hcnkgeA"), "{shown}");
        }
    }
}
