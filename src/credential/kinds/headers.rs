//! Several secret headers at once, for APIs that ask for an application's key beside a
//! user's.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::credential::configured::{BuildError, ConfiguredCredential, CredentialSettings, Parts};
use crate::credential::kinds::header::{Header, HeaderForm, header_name, prefix};
use crate::credential::request_auth::RequestAuth;
use crate::credential::{Grant, IssueError, IssuedSecret, Issuer, Verified};
use crate::outbound::secret::Stamp;
use crate::tree::reader::Reader;

/// The word for this kind in the configuration.
pub(super) const KIND: &str = "headers";
/// The most headers of one credential.
const HEADERS_MAX: usize = 16;

/// Several headers, each with its own secret.
#[derive(Debug, Clone)]
struct Headers(Vec<Header>);

#[async_trait]
impl Issuer for Headers {
    fn stamps(&self) -> Vec<Option<Stamp>> {
        self.0.iter().map(|header| header.secret.stamp()).collect()
    }

    async fn verify(
        &self,
        _issued: &IssuedSecret,
        _now: Timestamp,
    ) -> Result<Verified, IssueError> {
        Ok(Verified::ReadOnly)
    }

    async fn issue(&self, _now: Timestamp) -> Result<Grant, IssueError> {
        let with_value = |header: &Header| Ok((header.name.clone(), header.value()?));
        let headers: Result<_, IssueError> = self.0.iter().map(with_value).collect();
        Ok(Grant::of(RequestAuth::Headers(headers?)))
    }
}

impl ConfiguredCredential for Headers {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn in_words(&self) -> Option<String> {
        let names: Vec<&str> = self.0.iter().map(|header| header.name.as_str()).collect();
        Some(names.join(", "))
    }

    fn issuer(&self, _parts: &Parts<'_>) -> Result<Box<dyn Issuer>, BuildError> {
        Ok(Box::new(self.clone()))
    }
}

/// Reads the table of headers.
pub(super) fn read(section: &Reader<'_>) -> Option<CredentialSettings> {
    let table = section.section(KIND);
    let names = section.names(KIND);
    if names.is_empty() {
        if !section.has_error(KIND) {
            section.report(
                KIND,
                "must name at least one header, as { X-Api-Key = { file = \"…\" } }",
            );
        }
        return None;
    }
    if names.len() > HEADERS_MAX {
        section.report(KIND, format!("must have at most {HEADERS_MAX} headers"));
        return None;
    }
    let headers: Vec<Option<Header>> = names.iter().map(|name| header(&table, name)).collect();
    let headers: Vec<Header> = headers.into_iter().collect::<Option<_>>()?;
    for (n, header) in headers.iter().enumerate() {
        if headers[..n].iter().any(|other| other.name == header.name) {
            let name = &header.name;
            section.report(KIND, format!("has `{name}` twice; keep one of them"));
            return None;
        }
    }
    Some(CredentialSettings::of(Headers(headers)))
}

/// Reads one header: `NAME = { file = "…", prefix = "…" }`, or `NAME = "${VARIABLE}"`.
fn header(table: &Reader<'_>, key: &str) -> Option<Header> {
    let name = header_name(table, key, key);
    let (secret, prefix) = if table.written(key).is_some() {
        (table.inline_source(key), String::new())
    } else {
        let entry = table.section(key);
        let secret = entry.secret_at("file", "value");
        let prefix = prefix(&entry);
        entry.finish();
        if secret.is_none() && !entry.has_any(&["file", "value"]) && !entry.has_error("") {
            table.report(key, "needs `file`, or `value = \"${VARIABLE}\"`");
        }
        (secret, prefix)
    };
    let header = Header {
        kind: KIND,
        name: name?,
        form: HeaderForm::Prefixed(prefix),
        secret: secret?,
    };
    if !header.secret.is_elsewhere()
        && let Err(error) = header.value()
    {
        table.report(key, error);
        return None;
    }
    Some(header)
}
