//! Where a URL that an answer names may lead. Credentials never go to another origin, unless the
//! operator has listed its host.

use reqwest::Url;

/// The most redirects of one poll that are followed.
pub(super) const REDIRECTS_MAX: usize = 3;

/// The longest URL that is followed, in bytes. It is stored with each transition of its watch.
const URL_BYTES_MAX: usize = 2048;

/// The hosts beside its own to which an answer may send the next poll of a service, or the next page of
/// a list, as `host` (with any port) or `host:port`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<String>);

impl AllowedHosts {
    /// Reads a list of hosts.
    ///
    /// # Errors
    /// Names the entry that cannot be a host.
    pub fn new(hosts: &[String]) -> Result<Self, String> {
        for host in hosts {
            let url = Url::parse(&format!("https://{host}/"));
            let is_host = url.is_ok_and(|url| url.path() == "/" && url.username().is_empty());
            if !is_host || host.contains(['/', '?', '#', '@', '*']) {
                return Err(format!("\"{host}\" must be a host, or a host and a port"));
            }
        }
        Ok(Self(
            hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
        ))
    }

    fn has(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else {
            return false;
        };
        let with_port = url
            .port_or_known_default()
            .map(|port| format!("{host}:{port}"));
        // An entry without a port means every port.
        let is_named = self.0.iter().any(|entry| entry == host);
        is_named || with_port.is_some_and(|host| self.0.contains(&host))
    }

    /// Returns the URL that `text` names in an answer from `from`.
    ///
    /// # Errors
    /// It leads to a place that is not allowed, or cannot be read; the text says so without its
    /// path, which may be a secret.
    pub fn resolve(&self, from: &Url, text: &str) -> Result<Url, String> {
        if text.len() > URL_BYTES_MAX {
            return Err(format!("the next URL has more than {URL_BYTES_MAX} bytes"));
        }
        let url = from
            .join(text.trim())
            .map_err(|error| format!("the next URL is invalid: {error}"))?;
        let is_downgrade = from.scheme() == "https" && url.scheme() != "https";
        let is_http = matches!(url.scheme(), "http" | "https");
        let is_plain = url.username().is_empty() && url.password().is_none();
        let is_allowed = is_http && !is_downgrade && self.has(&url);
        if is_plain && (is_same_origin(from, &url) || is_allowed) {
            return Ok(url);
        }
        Err(format!(
            "the next URL leads to {}, which is not followed; `allow_hosts` of the service lists the hosts that are",
            url.origin().ascii_serialization()
        ))
    }
}

/// True if two URLs have the same scheme, host and port.
pub(super) fn is_same_origin(one: &Url, other: &Url) -> bool {
    let origin = one.origin();
    origin.is_tuple() && origin == other.origin()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(hosts: &[&str]) -> AllowedHosts {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        AllowedHosts::new(&hosts).unwrap()
    }

    fn from(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn url_of_the_same_origin_is_followed() {
        let here = from("https://api.example/ops/1");
        let none = AllowedHosts::default();
        for (text, expected) in [
            ("/ops/2?t=9", "https://api.example/ops/2?t=9"),
            ("2", "https://api.example/ops/2"),
            ("https://api.example:443/x", "https://api.example/x"),
        ] {
            assert_eq!(none.resolve(&here, text).unwrap().as_str(), expected);
        }
        for text in [
            "https://api.example:8443/x",
            "http://api.example/x",
            "https://user@api.example/x",
            "//other.example/x",
            "file:///etc/passwd",
        ] {
            none.resolve(&here, text).unwrap_err();
        }
    }

    #[test]
    fn listed_host_is_followed_and_never_without_tls() {
        let here = from("https://api.example/ops/1");
        let hosts = allowed(&["west.example", "east.example:8443"]);
        for text in [
            "https://west.example/x",
            "https://west.example:8443/x",
            "https://east.example:8443/x",
        ] {
            assert!(hosts.resolve(&here, text).is_ok(), "{text}");
        }
        for text in [
            "http://west.example/x",
            "https://east.example/x",
            "https://west.example.evil/x",
        ] {
            let said = hosts.resolve(&here, text).unwrap_err();
            assert!(said.contains("allow_hosts"), "{said}");
            assert!(!said.contains("/x,"), "{said}");
        }
    }

    #[test]
    fn entry_that_is_no_host_is_refused() {
        for host in ["https://a.example", "a.example/x", "", "u@a.example", "*"] {
            AllowedHosts::new(&[host.to_owned()]).unwrap_err();
        }
    }
}
