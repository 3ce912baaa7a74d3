//! The signature of requests with an access key ("AK/SK"), as the gateway of Huawei Cloud
//! and Open Telekom Cloud checks it: `SDK-HMAC-SHA256`.
//!
//! The signature covers a canonical form of the request, which the gateway rebuilds from
//! the request that arrives. The request itself keeps its form and gets more headers. The
//! form is that of `huaweicloudsdkcore` 3.1.219 for Python (`signer/signer.py`); where the
//! SDK leaves a question open, a comment gives our decision.

use std::collections::BTreeSet;

use hmac::{Hmac, KeyInit, Mac};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

const ALGORITHM: &str = "SDK-HMAC-SHA256";
/// The format of `X-Sdk-Date`, in UTC.
const DATE_FORMAT: &str = "%Y%m%dT%H%M%SZ";

const DATE: HeaderName = HeaderName::from_static("x-sdk-date");
const PROJECT_ID: HeaderName = HeaderName::from_static("x-project-id");
const DOMAIN_ID: HeaderName = HeaderName::from_static("x-domain-id");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-security-token");
/// The header that stands for the hash of the body, if the request has it.
const CONTENT_HASH: HeaderName = HeaderName::from_static("x-sdk-content-sha256");

/// Always signed, because it is always sent.
const HOST: &str = "host";
/// The value of [`CONTENT_HASH`] for a body that is not signed.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// The beginning of the content type of a signed body.
const SIGNED_TYPES: [&str; 2] = ["application/json", "application/bson"];

/// The largest body that the gateway takes, in bytes (Scalable File Service API reference,
/// "AK/SK authentication": 12 MB).
pub const BODY_BYTES_MAX: usize = 12 * 1024 * 1024;

/// Everything except the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// The same set for a path, where slashes are kept.
const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

#[derive(Debug, Clone)]
pub struct SigningKey {
    /// Names the owner of the key (AK).
    pub access_key: SecretString,
    /// Signs the request (SK); it is never sent.
    pub secret_key: SecretString,
    /// Given for a temporary key only, which is not accepted without it.
    pub security_token: Option<SecretString>,
    /// The project of the request, for services of a region.
    pub project_id: Option<String>,
    /// The domain of the request, for services of all regions; not sent beside a project.
    pub domain_id: Option<String>,
}

/// A request that cannot be signed. Never shows a part of the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// This part of the key has no characters.
    #[error("the {0} is empty")]
    Empty(&'static str),
    /// This part of the key cannot be sent.
    #[error(
        "the {0} has blanks, control characters or characters outside ASCII, which are not allowed"
    )]
    Unfit(&'static str),
    /// The body is not in memory, so it cannot be hashed.
    #[error("the body of the request is a stream, which cannot be signed")]
    Streamed,
    /// The gateway would refuse the body.
    #[error("the body of the request has {0} bytes; the gateway takes 12 MB at most")]
    TooLarge(usize),
    /// The request has no host to send it to.
    #[error("the URL of the request has no host")]
    Hostless,
}

/// Signs `request` as of `now`, from which the gateway's clock may differ by 15 minutes.
///
/// Adds `X-Sdk-Date`, `X-Project-Id` or `X-Domain-Id`, `X-Security-Token` and
/// `Authorization`, and replaces those of an earlier attempt. Adds `X-Sdk-Content-Sha256`
/// to a body that is neither JSON nor BSON; such a body is not signed. Headers that are
/// added later are not signed. Returns the signature, in hex, so that it can be kept out of
/// messages.
///
/// # Errors
/// A part of the key or the body cannot be sent, or the body cannot be hashed; the request
/// must not be sent.
pub fn sign(
    request: &mut reqwest::Request,
    key: &SigningKey,
    now: Timestamp,
) -> Result<String, SigningError> {
    let access_key = key.access_key.expose_secret();
    header_value("access key", access_key)?;
    let date = now.strftime(DATE_FORMAT).to_string();
    add_headers(request, key, &date)?;
    let canonical = canonical_request(request)?;
    let signature = signature(&key.secret_key, &string_to_sign(&date, &canonical))?;
    let signed = signed_headers(request.headers());
    let authorization =
        format!("{ALGORITHM} Access={access_key}, SignedHeaders={signed}, Signature={signature}");
    let mut authorization =
        HeaderValue::from_str(&authorization).map_err(|_| SigningError::Unfit("access key"))?;
    authorization.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, authorization);
    Ok(signature)
}

/// Returns the canonical request: method, path, query, headers, the names of the headers,
/// and the hash of the body. It contains the security token.
///
/// # Errors
/// The URL has no host, or the body cannot be hashed.
pub fn canonical_request(request: &reqwest::Request) -> Result<Vec<u8>, SigningError> {
    let (url, headers) = (request.url(), request.headers());
    let path = canonical_path(url.path());
    let query = canonical_query(url.query().unwrap_or_default());
    let head = format!("{}\n{path}\n{query}\n", request.method());
    let names = format!("\n{}\n", signed_headers(headers));
    Ok([
        head.as_bytes(),
        &canonical_headers(headers, &host(request)?),
        names.as_bytes(),
        &body_hash(request)?,
    ]
    .concat())
}

/// Returns the path, percent-decoded once and encoded again, always with a slash at the
/// end.
///
/// It is decoded before it is split, so that `%2F` is a slash; bytes that are not UTF-8
/// become U+FFFD. The SDK does both.
pub fn canonical_path(path: &str) -> String {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let mut canonical = utf8_percent_encode(&decoded, RESERVED_IN_PATH).to_string();
    if !canonical.ends_with('/') {
        canonical.push('/');
    }
    canonical
}

/// Returns the pairs of the query, decoded, sorted by name and value, and encoded.
///
/// `+` is a blank, as in a form. The SDK leaves that open: its input is pairs, and it sends
/// their canonical form.
pub fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    // The order is that of the decoded texts: encoded, `é` would come before `~`.
    pairs.sort();
    let encoded = |text| utf8_percent_encode(text, RESERVED);
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect();
    pairs.join("&")
}

/// Returns a line for each value of the signed headers, sorted; `host` is signed unless the
/// headers have their own. It contains the security token.
pub fn canonical_headers(headers: &HeaderMap, host: &str) -> Vec<u8> {
    let mut lines = Vec::new();
    for name in signed_names(headers) {
        let values = headers.get_all(name);
        let mut values: Vec<&[u8]> = values.iter().map(trimmed).collect();
        if values.is_empty() {
            values.push(host.as_bytes());
        }
        // The SDK for Python has one value a name; several are as in the SDK for Go.
        values.sort_unstable();
        for value in values {
            lines.extend([name.as_bytes(), b":", value, b"\n"].concat());
        }
    }
    lines
}

/// Returns the names of the signed headers, as in `Authorization`.
pub fn signed_headers(headers: &HeaderMap) -> String {
    Vec::from_iter(signed_names(headers)).join(";")
}

/// Returns the text that is signed: the algorithm, `date` as in `X-Sdk-Date`, and the hash
/// of the canonical request.
pub fn string_to_sign(date: &str, canonical_request: &[u8]) -> String {
    let hash = hex(&Sha256::digest(canonical_request));
    format!("{ALGORITHM}\n{date}\n{hash}")
}

/// Returns the names of all headers, except those with `_`, which proxies drop, and the
/// signature itself.
fn signed_names(headers: &HeaderMap) -> BTreeSet<&str> {
    headers
        .keys()
        .filter(|&name| name != AUTHORIZATION)
        .map(HeaderName::as_str)
        .filter(|name| !name.contains('_'))
        .chain([HOST])
        .collect()
}

fn add_headers(
    request: &mut reqwest::Request,
    key: &SigningKey,
    date: &str,
) -> Result<(), SigningError> {
    // For a missing body the SDK also sends this value, and then signs the hash of an empty
    // body.
    let is_unsigned = !body(request)?.is_empty() && !has_signed_type(request.headers());
    let headers = request.headers_mut();
    if is_unsigned {
        headers.insert(CONTENT_HASH, HeaderValue::from_static(UNSIGNED));
    }
    headers.insert(DATE, header_value("date", date)?);
    if let Some(id) = &key.project_id {
        headers.insert(PROJECT_ID, header_value("project id", id)?);
    } else if let Some(id) = &key.domain_id {
        headers.insert(DOMAIN_ID, header_value("domain id", id)?);
    }
    match &key.security_token {
        Some(token) => {
            let token = secret_value("security token", token.expose_secret())?;
            headers.insert(SECURITY_TOKEN, token);
        }
        // The token of an earlier attempt belongs to another key.
        None => {
            headers.remove(SECURITY_TOKEN);
        }
    }
    Ok(())
}

fn has_signed_type(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_none_or(|value| {
        let begins = |kind: &str| value.as_bytes().starts_with(kind.as_bytes());
        SIGNED_TYPES.into_iter().any(begins)
    })
}

/// Returns the host as the client will send it. It is signed without being added: HTTP/1.1
/// and HTTP/2 send it each in their own way, and both take it from the URL.
fn host(request: &reqwest::Request) -> Result<String, SigningError> {
    let url = request.url();
    let host = url.host_str().ok_or(SigningError::Hostless)?;
    // `Url` drops the port if it is the scheme's default.
    let port = url.port().map(|port| format!(":{port}"));
    Ok(format!("{host}{}", port.unwrap_or_default()))
}

fn body(request: &reqwest::Request) -> Result<&[u8], SigningError> {
    let Some(body) = request.body() else {
        return Ok(&[]);
    };
    let bytes = body.as_bytes().ok_or(SigningError::Streamed)?;
    if bytes.len() > BODY_BYTES_MAX {
        return Err(SigningError::TooLarge(bytes.len()));
    }
    Ok(bytes)
}

fn body_hash(request: &reqwest::Request) -> Result<Vec<u8>, SigningError> {
    let body = body(request)?;
    Ok(match request.headers().get(CONTENT_HASH) {
        Some(stated) => trimmed(stated).to_vec(),
        None => hex(&Sha256::digest(body)).into_bytes(),
    })
}

fn signature(secret_key: &SecretString, text: &str) -> Result<String, SigningError> {
    let secret = secret_key.expose_secret();
    if secret.is_empty() {
        return Err(SigningError::Empty("secret key"));
    }
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .expect("HMAC takes a key of any length")
        .chain_update(text);
    Ok(hex(&mac.finalize().into_bytes()))
}

fn header_value(part: &'static str, text: &str) -> Result<HeaderValue, SigningError> {
    if text.is_empty() {
        return Err(SigningError::Empty(part));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(SigningError::Unfit(part));
    }
    HeaderValue::from_str(text).map_err(|_| SigningError::Unfit(part))
}

fn secret_value(part: &'static str, text: &str) -> Result<HeaderValue, SigningError> {
    let mut value = header_value(part, text)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Returns a value without the blanks around it, which do not belong to it (RFC 9110,
/// section 5.5).
fn trimmed(value: &HeaderValue) -> &[u8] {
    value.as_bytes().trim_ascii()
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).expect("half a byte is one digit");
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::outbound;

    /// Made with the SDK; each file says how.
    const VECTORS: [&str; 2] = [
        include_str!("../../tests/it/credentials/aksk_vectors.json"),
        include_str!("../../tests/it/credentials/aksk_vectors_more.json"),
    ];

    #[derive(Deserialize)]
    struct Vectors {
        date: String,
        vectors: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        access_key: String,
        secret_key: String,
        project_id: Option<String>,
        domain_id: Option<String>,
        security_token: Option<String>,
        input: Input,
        /// URLs with the same meaning; if there are none, the one of the input.
        #[serde(default)]
        spellings: Vec<String>,
        canonical_request: String,
        string_to_sign: String,
        authorization: String,
    }

    #[derive(Deserialize)]
    struct Input {
        method: String,
        host: String,
        path: String,
        query: Vec<(String, String)>,
        headers: BTreeMap<String, String>,
        body: Option<String>,
    }

    impl Vector {
        fn key(&self) -> SigningKey {
            SigningKey {
                access_key: self.access_key.as_str().into(),
                secret_key: self.secret_key.as_str().into(),
                security_token: self.security_token.as_deref().map(SecretString::from),
                project_id: self.project_id.clone(),
                domain_id: self.domain_id.clone(),
            }
        }

        fn urls(&self) -> Vec<reqwest::Url> {
            if !self.spellings.is_empty() {
                return self
                    .spellings
                    .iter()
                    .map(|url| url.parse().unwrap())
                    .collect();
            }
            let url = format!("https://{}{}", self.input.host, self.input.path);
            let query = &self.input.query;
            vec![if query.is_empty() {
                reqwest::Url::parse(&url).unwrap()
            } else {
                reqwest::Url::parse_with_params(&url, query).unwrap()
            }]
        }

        fn request(&self, url: reqwest::Url) -> reqwest::Request {
            let mut request = reqwest::Request::new(self.input.method.parse().unwrap(), url);
            *request.body_mut() = self.input.body.clone().map(reqwest::Body::from);
            for (name, value) in &self.input.headers {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                request.headers_mut().insert(name, value);
            }
            request
        }
    }

    fn time(date: &str) -> Timestamp {
        let utc = jiff::civil::DateTime::strptime(DATE_FORMAT, date).unwrap();
        utc.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp()
    }

    fn key() -> SigningKey {
        SigningKey {
            access_key: "CANARYAK".into(),
            secret_key: "canary-sk".into(),
            security_token: Some("canary-token".into()),
            project_id: Some("project".to_owned()),
            domain_id: Some("domain".to_owned()),
        }
    }

    fn request(url: &str) -> reqwest::Request {
        reqwest::Request::new(http::Method::POST, url.parse().unwrap())
    }

    #[test]
    fn signatures_equal_those_of_the_sdk() {
        for file in VECTORS {
            let file: Vectors = serde_json::from_str(file).unwrap();
            for vector in &file.vectors {
                for url in vector.urls() {
                    let mut request = vector.request(url.clone());
                    let signature = sign(&mut request, &vector.key(), time(&file.date)).unwrap();
                    let canonical = canonical_request(&request).unwrap();
                    let shown = String::from_utf8(canonical.clone()).unwrap();
                    let case = format!("{} as {url}", vector.name);
                    assert_eq!(shown, vector.canonical_request, "{case}");
                    let signed = string_to_sign(&file.date, &canonical);
                    assert_eq!(signed, vector.string_to_sign, "{case}");
                    let authorization = request.headers()[AUTHORIZATION].to_str().unwrap();
                    assert_eq!(authorization, vector.authorization, "{case}");
                    assert!(authorization.ends_with(&signature), "{case}");
                    assert_eq!(request.url(), &url, "what is sent keeps its form");
                }
            }
        }
    }

    #[test]
    fn a_second_attempt_replaces_the_first() {
        let mut twice = request("https://gateway.example/v1/jobs?id=1");
        sign(&mut twice, &key(), time("20260101T000000Z")).unwrap();
        let permanent = SigningKey {
            security_token: None,
            ..key()
        };
        let mut once = request("https://gateway.example/v1/jobs?id=1");
        for request in [&mut twice, &mut once] {
            sign(request, &permanent, time("20260101T000500Z")).unwrap();
        }
        assert_eq!(twice.headers(), once.headers());
    }

    #[test]
    fn a_project_goes_before_a_domain() {
        let mut request = request("https://gateway.example/");
        sign(&mut request, &key(), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(request.headers()[PROJECT_ID], "project");
        assert!(!request.headers().contains_key(DOMAIN_ID));
    }

    #[test]
    fn a_missing_body_is_signed_with_any_content_type() {
        let mut request = request("https://gateway.example/");
        let text = HeaderValue::from_static("text/plain");
        request.headers_mut().insert(CONTENT_TYPE, text);
        sign(&mut request, &key(), Timestamp::UNIX_EPOCH).unwrap();
        assert!(!request.headers().contains_key(CONTENT_HASH));
    }

    #[test]
    fn each_value_of_a_header_has_its_own_line() {
        let mut headers = HeaderMap::new();
        for value in [" b", "a ", "B"] {
            headers.append("x-tag", HeaderValue::from_static(value));
        }
        let lines = canonical_headers(&headers, "gateway.example");
        assert_eq!(lines, b"host:gateway.example\nx-tag:B\nx-tag:a\nx-tag:b\n");
        assert_eq!(signed_headers(&headers), "host;x-tag");
    }

    #[test]
    fn a_signed_request_does_not_print_its_signature() {
        let mut request = request("https://gateway.example/");
        let signature = sign(&mut request, &key(), Timestamp::UNIX_EPOCH).unwrap();
        let shown = format!("{request:?} {:?}", request.headers());
        for secret in ["CANARYAK", "canary", &signature] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn unsignable_requests_are_refused() {
        let text = |text: &str| SecretString::from(text);
        let refused = |key: &SigningKey, body: Option<reqwest::Body>, url: &str| {
            let mut request = request(url);
            *request.body_mut() = body;
            sign(&mut request, key, Timestamp::UNIX_EPOCH).unwrap_err()
        };
        let https = "https://gateway.example/";
        for (access, secret, token, project, expected) in [
            ("", "s", "t", "p", SigningError::Empty("access key")),
            ("a", "", "t", "p", SigningError::Empty("secret key")),
            ("a", "s", "", "p", SigningError::Empty("security token")),
            ("a", "s", "t", "", SigningError::Empty("project id")),
            ("a b", "s", "t", "p", SigningError::Unfit("access key")),
            (
                "a",
                "s",
                "t\r\nx: y",
                "p",
                SigningError::Unfit("security token"),
            ),
            ("a", "s", "t", "\u{e9}", SigningError::Unfit("project id")),
        ] {
            let key = SigningKey {
                access_key: text(access),
                secret_key: text(secret),
                security_token: Some(text(token)),
                project_id: Some(project.to_owned()),
                domain_id: None,
            };
            assert_eq!(refused(&key, None, https), expected);
        }
        let stream = reqwest::Body::wrap(http_body_util::Full::new(bytes::Bytes::from("{}")));
        assert_eq!(refused(&key(), Some(stream), https), SigningError::Streamed);
        let large = reqwest::Body::from(vec![b' '; BODY_BYTES_MAX + 1]);
        let too_large = SigningError::TooLarge(BODY_BYTES_MAX + 1);
        assert_eq!(refused(&key(), Some(large), https), too_large);
        assert_eq!(refused(&key(), None, "data:,x"), SigningError::Hostless);
    }

    /// Returns the canonical request that a gateway would build from the request that
    /// arrived.
    fn arrived(request: &wiremock::Request) -> (String, String) {
        let authorization = request.headers[AUTHORIZATION].to_str().unwrap();
        let (head, signature) = authorization.rsplit_once(", Signature=").unwrap();
        let (_, names) = head.split_once("SignedHeaders=").unwrap();
        let mut url = request.url.clone();
        url.set_host(Some("elsewhere.example")).unwrap();
        let mut again = reqwest::Request::new(request.method.clone(), url);
        *again.body_mut() = Some(request.body.clone().into());
        for name in names.split(';') {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            let value = request.headers[&name].clone();
            again.headers_mut().insert(name, value);
        }
        let canonical = canonical_request(&again).unwrap();
        let date = again.headers()[DATE].to_str().unwrap();
        let text = string_to_sign(date, &canonical);
        let ours = super::signature(&key().secret_key, &text).unwrap();
        (ours, signature.to_owned())
    }

    #[tokio::test]
    async fn the_signed_request_is_sent_unchanged() {
        let server = wiremock::MockServer::start().await;
        let url = format!("{}/v1/j%C3%B6bs/a%20b?name=two+words&id=%2F", server.uri());
        let client = outbound::client().no_proxy().build().unwrap();
        for (content_type, body) in [("application/json", "{}"), ("text/plain", "text")] {
            let mut request = request(&url);
            let headers = request.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            headers.insert("x-note", HeaderValue::from_static(" two  words "));
            *request.body_mut() = Some(body.into());
            sign(&mut request, &key(), Timestamp::UNIX_EPOCH).unwrap();
            client.execute(request).await.unwrap();
        }
        let received = server.received_requests().await.unwrap();
        assert_eq!(received.len(), 2);
        for request in &received {
            let (ours, sent) = arrived(request);
            assert_eq!(ours, sent, "{:?}", request.headers);
        }
    }
}
