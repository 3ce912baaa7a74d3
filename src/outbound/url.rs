//! Checks URLs in settings. Messages never quote the URL: it may contain a password, and the URL
//! of a webhook may itself be a secret.

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
