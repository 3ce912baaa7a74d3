//! The parts that all outgoing HTTP exchanges share, polls, logins and webhooks alike.
//!
//! [`client`] builds a client; a [`secret`] is read from its file and removed from answers
//! by [`redaction`]; [`retry_after`] reads the pause that a server asks for; [`html`]
//! quotes the page of a gateway; [`egress`] restricts the URLs that callers give; [`proxy`]
//! is the way through a company's network, and [`direct`] the client for polls without one.

pub mod direct;
pub mod egress;
pub mod html;
pub mod proxy;
pub mod redaction;
pub mod retry_after;
pub mod secret;
pub mod url;

use std::error::Error;
use std::io;

/// The name of rustls for a certificate whose authority is not trusted.
const UNKNOWN_ISSUER: &str = "UnknownIssuer";
/// The advice that follows it in a message.
const TRUST_ADVICE: &str =
    "; if its authority is one of yours, name it in SSL_CERT_FILE or, for a webhook, in ca_file";

/// The remedy when TLS cannot be set up, which the cause alone does not name.
pub(crate) const NO_TLS: &str = "cannot set up TLS: are there CA certificates? install the package ca-certificates, or name a bundle in SSL_CERT_FILE";

/// The header `User-Agent` of every request.
pub(crate) const USER_AGENT: &str = concat!("jobwatch/", env!("CARGO_PKG_VERSION"));

/// The words for an exchange that took too long.
pub(crate) const TIMED_OUT: &str = "it timed out";
/// The words for an answer that ended too early.
const BROKE_OFF: &str = "the answer broke off";

/// Makes the builder of every client: it follows no redirect, and sends a request again only
/// if the server has certainly not processed it.
///
/// The client follows none: reqwest strips `Authorization` across hosts but would forward
/// `X-Auth-Token` (invariant 8). A service follows those on its own origin itself.
///
/// reqwest's default policy stays: a stream refused with `REFUSED_STREAM`, or above the last
/// stream of a graceful GOAWAY, is sent again at once, at most twice and within the timeout
/// of the request. RFC 9113 (section 8.7) guarantees that neither was processed, so even a
/// POST is safe. No budget counts the second try, because the server did not serve the first.
pub fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
}

/// Describes a failed exchange: the step that failed and the innermost cause. The URL is left
/// out, since its path may hold a secret.
pub fn in_words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return TIMED_OUT.to_owned();
    }
    let step = if error.is_connect() {
        "cannot connect"
    } else if error.is_body() || error.is_decode() {
        BROKE_OFF
    } else {
        "the request failed"
    };
    causes(error)
        .last()
        .map_or_else(|| step.to_owned(), |innermost| because(step, innermost))
}

/// Describes a failure that is not one of reqwest, as [`in_words`] does: `step` has failed.
fn failure_in_words(step: &str, error: &(dyn Error + 'static)) -> String {
    if causes_of(error).any(is_timeout) {
        return TIMED_OUT.to_owned();
    }
    because(step, causes_of(error).last().unwrap_or(error))
}

/// Describes an answer that ended too early, or could not be decompressed.
pub(crate) fn broke_off(error: &(dyn Error + 'static)) -> String {
    failure_in_words(BROKE_OFF, error)
}

fn because(step: &str, innermost: &dyn Error) -> String {
    let innermost = innermost.to_string();
    let is_unknown = innermost.contains(UNKNOWN_ISSUER);
    let advice = if is_unknown { TRUST_ADVICE } else { "" };
    format!("{step}: {innermost}{advice}")
}

fn is_timeout(cause: &(dyn Error + 'static)) -> bool {
    let of_hyper = cause.downcast_ref::<hyper::Error>();
    let of_system = cause.downcast_ref::<io::Error>();
    of_hyper.is_some_and(hyper::Error::is_timeout)
        || of_system.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

/// Describes the innermost cause of a failure.
pub fn innermost(error: &reqwest::Error) -> String {
    causes(error)
        .last()
        .map_or_else(|| "no cause is known".to_owned(), ToString::to_string)
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    error.source().into_iter().flat_map(causes_of)
}

/// Returns an error and the causes of it, the innermost last.
fn causes_of<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&cause| cause.source())
}

/// True if `url` names this machine, as the URL of a simulator does.
pub fn is_local(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| names_this_machine(&url))
}

/// True if the host of `url` is `localhost` or its address.
pub fn names_this_machine(url: &reqwest::Url) -> bool {
    matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_local() {
        for url in [
            "http://127.0.0.1:8630",
            "http://localhost",
            "https://[::1]:1/x",
        ] {
            assert!(is_local(url), "{url}");
        }
        for url in ["https://127.0.0.1.example.com", "http://10.0.0.1", "no URL"] {
            assert!(!is_local(url), "{url}");
        }
    }
}
