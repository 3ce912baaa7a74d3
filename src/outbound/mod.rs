//! What every outgoing HTTP exchange shares, whether it asks a job API or tells a
//! webhook: how a client is built, where a [`secret`] comes from and how it is kept out of
//! what is told ([`redaction`]), how a server's retry_after to wait is read ([`retry_after`]), where
//! a URL given from outside may lead ([`egress`]), and how a failure is put into words.

pub mod egress;
pub mod redaction;
pub mod retry_after;
pub mod secret;
pub(crate) mod url;

use std::error::Error;

/// How rustls says that nobody who is trusted vouches for a certificate.
const UNKNOWN_ISSUER: &str = "UnknownIssuer";
/// What helps then.
const TRUST_HINT: &str =
    "; if its authority is one of yours, name it in SSL_CERT_FILE or, for a webhook, in ca_file";

/// What to do when TLS cannot be set up; the cause alone does not say.
pub(crate) const NO_TLS: &str = "cannot set up TLS: are there CA certificates? install the package ca-certificates, or name a bundle in SSL_CERT_FILE";

/// A client builder with our manners: no redirects and no silent retries.
///
/// Redirects are never followed: reqwest strips `Authorization` across hosts but would
/// forward `X-Auth-Token` (invariant 8). A silent retry would be a request that no budget
/// counted.
pub fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("jobwatch/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
}

/// A failed exchange in words: what failed and the innermost cause. The URL is left out,
/// since its path may carry a secret.
pub fn in_words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it timed out".to_owned();
    }
    let what = if error.is_connect() {
        "cannot connect"
    } else if error.is_body() || error.is_decode() {
        "the answer broke off"
    } else {
        "the request failed"
    };
    match causes(error).last().map(ToString::to_string) {
        Some(innermost) => {
            let is_unknown = innermost.contains(UNKNOWN_ISSUER);
            let hint = if is_unknown { TRUST_HINT } else { "" };
            format!("{what}: {innermost}{hint}")
        }
        None => what.to_owned(),
    }
}

/// The innermost cause of a failure, in words.
pub fn innermost(error: &reqwest::Error) -> String {
    causes(error)
        .last()
        .map_or_else(|| "no cause is known".to_owned(), ToString::to_string)
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// Whether `url` names this machine, as that of a simulator does.
pub fn is_local(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| names_this_machine(&url))
}

/// As [`is_local`].
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
