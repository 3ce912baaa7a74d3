//! Checks URLs in settings, and makes those of requests. Messages of the checks never quote the
//! URL: it may contain a password, and the URL of a webhook may itself be a secret.

use reqwest::Url;

/// Reads an absolute http or https URL without user name and password.
pub(crate) fn http_url(text: &str) -> Result<Url, String> {
    let allowed = "must be an absolute URL that begins with https:// or http://";
    let url = Url::parse(text).map_err(|error| format!("{allowed} ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(allowed.to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not have a user name or password".to_owned());
    }
    Ok(url)
}

/// Reads a URL as [`http_url`] does; paths can be appended to it.
///
/// # Errors
/// Says which form is required, without the URL.
pub(crate) fn base_url(text: &str) -> Result<Url, String> {
    http_url(text).and_then(without_query)
}

/// Returns the URL if a path can be appended to it.
///
/// # Errors
/// It has a query or a fragment.
pub(crate) fn without_query(url: Url) -> Result<Url, String> {
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must have no `?` and no `#`".to_owned());
    }
    Ok(url)
}

/// The beginning of many URLs: scheme, host, port and perhaps a path prefix, without a final `/`.
///
/// The host is read once and not again for each path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    text: String,
    prepared: Option<Prepared>,
}

/// A base URL that paths are appended to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Prepared {
    /// The URL of the service without any path.
    origin: Url,
    /// The path of the base as it is written; it may be empty.
    prefix: String,
}

impl BaseUrl {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns scheme, host and port; or the text, if it is not a URL.
    pub fn origin(&self) -> String {
        Url::parse(&self.text).map_or_else(
            |_| self.text.clone(),
            |url| url.origin().ascii_serialization(),
        )
    }

    /// Returns the URL of the base followed by `path_and_query`.
    ///
    /// # Errors
    /// The two together are not a URL; the message shows them.
    pub fn with(&self, path_and_query: &str) -> Result<Url, String> {
        let prepared = self.prepared.as_ref();
        if let Some(url) = prepared.and_then(|it| it.with(path_and_query)) {
            return Ok(url);
        }
        let text = format!("{}{path_and_query}", self.text);
        Url::parse(&text).map_err(|error| format!("invalid URL {text}: {error}"))
    }
}

impl From<String> for BaseUrl {
    fn from(text: String) -> Self {
        Self {
            prepared: Prepared::of(&text),
            text,
        }
    }
}

impl From<&str> for BaseUrl {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl std::fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Prepared {
    /// Returns `None` for a text in which the host does not simply end at the first `/`.
    fn of(text: &str) -> Option<Self> {
        let is_odd = |c: char| c <= ' ' || matches!(c, '\\' | '?' | '#');
        let (_, rest) = text.split_once("://")?;
        let host_end = rest.find('/').unwrap_or(rest.len());
        if host_end == 0 || text.contains(is_odd) {
            return None;
        }
        let (before, prefix) = text.split_at(text.len() - rest.len() + host_end);
        Some(Self {
            origin: http_url(before).ok()?,
            prefix: prefix.to_owned(),
        })
    }

    /// Returns `None` for a path that would be read as a host.
    fn with(&self, path_and_query: &str) -> Option<Url> {
        let joined;
        let reference = if self.prefix.is_empty() {
            path_and_query
        } else {
            joined = format!("{}{path_and_query}", self.prefix);
            &joined
        };
        let after_slash = reference.strip_prefix('/')?;
        if after_slash.starts_with(|c: char| c <= ' ' || matches!(c, '/' | '\\')) {
            return None;
        }
        self.origin.join(reference).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plainly(base: &str, path_and_query: &str) -> Result<Url, String> {
        let text = format!("{base}{path_and_query}");
        Url::parse(&text).map_err(|error| format!("invalid URL {text}: {error}"))
    }

    proptest! {
        #[test]
        fn prepared_base_gives_the_url_of_the_whole_text(
            scheme in "(https?|HTTP|ftp|file)",
            slashes in "(://|:/|:///)",
            host in "(api\\.example|API.Example:8443|x\\.example:443|127\\.1|\\[::1\\]:80|münchen\\.example|u@h|)",
            prefix in "(/[a-zA-Z0-9./?#%\\\\ \t|ü]{0,8}){0,3}",
            path_and_query in "/?[a-z0-9./?#%&=+:;@'\"<>{}|^`~\\\\ \t\nüß\u{0}]{0,24}",
        ) {
            let base = format!("{scheme}{slashes}{host}{prefix}");
            prop_assert_eq!(
                BaseUrl::from(base.as_str()).with(&path_and_query),
                plainly(&base, &path_and_query)
            );
        }
    }

    #[test]
    fn usual_base_is_prepared() {
        for base in [
            "https://api.example",
            "http://127.0.0.1:8080",
            "https://API.example:8443/volume/v3",
            "https://münchen.example",
        ] {
            let prepared = Prepared::of(base).unwrap();
            for path in ["/v1/p/jobs/1%2F2?x=a,b&y=%20", "/", "/a/../b/./c", "/?x"] {
                let found = prepared.with(path).map(Ok);
                assert_eq!(found, Some(plainly(base, path)), "{base} {path}");
            }
        }
    }

    #[test]
    fn odd_base_or_path_is_read_as_a_whole() {
        for (base, path, whole) in [
            ("http://h", "//evil.example/x", "http://h//evil.example/x"),
            ("http://h", "/\\evil.example", "http://h//evil.example"),
            ("http://h", "/\t/evil.example", "http://h//evil.example"),
            ("http://h/", "/x", "http://h//x"),
            ("http:///h", "/x", "http://h/x"),
            ("http://h", ".evil.example/", "http://h.evil.example/"),
        ] {
            let url = BaseUrl::from(base).with(path).unwrap();
            assert_eq!(url.as_str(), whole, "{base} {path}");
        }
    }
}
