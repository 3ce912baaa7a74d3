//! One HTTP exchange with an identity, token or metadata service: bounded in time and size,
//! without redirects, and described in messages without the secrets that were sent.

use std::time::Duration;

use bytes::BytesMut;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::Value;

use crate::credential::IssueError;
use crate::credential::lease::Failing;
use crate::credential::refusal::clock_ahead_s;
use crate::outbound;
use crate::outbound::redaction::Redaction;
use crate::outbound::{html, retry_after};

/// The longest time to make a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time for an exchange.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The largest answer, in bytes: a catalog has some hundred entries of some hundred bytes.
const BODY_MAX: usize = 4 * 1024 * 1024;
/// The longest message of another service that is repeated.
const MESSAGE_BYTES_MAX: usize = 300;
/// The longest `retry_after` that is granted.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(10);

/// Sends requests; clones share one connection pool.
#[derive(Clone)]
pub(super) struct Exchange {
    client: reqwest::Client,
}

pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: bytes::Bytes,
    redaction: Redaction,
    now: Timestamp,
}

impl Exchange {
    /// Returns a client for remote services, through the proxy of the environment.
    pub(super) fn new() -> Result<Self, reqwest::Error> {
        Self::from(outbound::client())
    }

    /// Returns a client for services on this machine or beside it, which a proxy cannot
    /// reach.
    pub(super) fn direct() -> Result<Self, reqwest::Error> {
        Self::from(outbound::client().no_proxy())
    }

    /// Returns a client for the service at `url`. A service on this machine is asked
    /// without the proxy, which would search for it on its own machine.
    pub(super) fn with(url: &reqwest::Url) -> Result<Self, reqwest::Error> {
        if outbound::is_local(url.as_str()) {
            Self::direct()
        } else {
            Self::new()
        }
    }

    fn from(client: reqwest::ClientBuilder) -> Result<Self, reqwest::Error> {
        let client = client
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            // Requests are so rare that a kept connection would be dead by the next one.
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self { client })
    }

    /// Sends `request` and reads the whole answer. `redaction` knows the secrets in it;
    /// `attempt` names it in messages, as in "cannot log in at …".
    pub(super) async fn send(
        &self,
        request: reqwest::Request,
        redaction: Redaction,
        attempt: &str,
        now: Timestamp,
    ) -> Result<Reply, IssueError> {
        let failed = |error: &reqwest::Error| {
            let cause = redaction.text(&outbound::in_words(error));
            IssueError::new(Failing::Unreachable, format!("cannot {attempt}: {cause}"))
        };
        let mut response = self
            .client
            .execute(request)
            .await
            .map_err(|error| failed(&error))?;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
            if body.len() + chunk.len() > BODY_MAX {
                return Err(IssueError::passing(format!(
                    "cannot {attempt}: the answer is larger than {BODY_MAX} bytes"
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body: body.freeze(),
            redaction,
            now,
        })
    }
}

impl Reply {
    /// Returns the body as JSON; null if it is not JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the body as it came.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// Describes a failure: the attempt, the answer, and `advice` for a refusal.
    pub(super) fn failure(&self, attempt: &str, advice: &str) -> IssueError {
        IssueError {
            clock_ahead_s: clock_ahead_s(&self.headers, self.now),
            ..self.failure_in_words(attempt, advice)
        }
    }

    fn failure_in_words(&self, attempt: &str, advice: &str) -> IssueError {
        let status = self.status.as_u16();
        let said = self.said();
        if self.status.is_redirection() {
            return IssueError::refused(format!(
                "cannot {attempt}: HTTP {status}, a redirect, is not followed: give the URL it leads to"
            ));
        }
        let failing = match self.status {
            StatusCode::TOO_MANY_REQUESTS => Some(Failing::Throttled),
            StatusCode::REQUEST_TIMEOUT => Some(Failing::ServerError),
            status => status.is_server_error().then_some(Failing::ServerError),
        };
        if let Some(failing) = failing {
            let retry_after = retry_after::read(&self.headers, self.now);
            return IssueError {
                retry_after: retry_after.map(|retry_after| retry_after.min(RETRY_AFTER_MAX)),
                ..IssueError::new(failing, format!("cannot {attempt}: HTTP {status}{said}"))
            };
        }
        IssueError::refused(format!("cannot {attempt}: HTTP {status}{said}; {advice}"))
    }

    /// Describes an answer that lacks a required part.
    pub(super) fn unreadable(&self, attempt: &str, missing: &str) -> IssueError {
        let status = self.status.as_u16();
        IssueError::passing(format!(
            "cannot {attempt}: the answer (HTTP {status}) has no {missing}; is it the right URL?"
        ))
    }

    /// Returns the service's own words, or those of a gateway's page, without secrets: "
    /// (CODE MESSAGE)".
    fn said(&self) -> String {
        let body = self.json();
        let text = |paths: [&Value; 4]| {
            paths.into_iter().find_map(|value| match value {
                Value::String(text) if !text.is_empty() => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            })
        };
        let error = &body["error"];
        // OAuth 2.0 has the code in `error` itself (RFC 6749, section 5.2).
        let code = text([&body["error_code"], &error["code"], &body["code"], error]);
        let message = text([
            &body["error_msg"],
            &error["message"],
            &body["message"],
            &body["error_description"],
        ]);
        let words: Vec<String> = code
            .filter(|code| *code != self.status.as_str())
            .into_iter()
            .chain(message.or_else(|| html::words(&self.body)))
            .collect();
        let mut said = self.redaction.text(&words.join(" "));
        said.retain(|c| !c.is_control());
        said.truncate(said.floor_char_boundary(MESSAGE_BYTES_MAX));
        if said.is_empty() {
            String::new()
        } else {
            format!(" ({said})")
        }
    }
}
