//! The one HTTP client with which commands call the daemon's API.
//!
//! [`DaemonArgs`] gives a [`Client`]. [`Client::ask`] prints its errors. [`Client::try_ask`] and
//! [`Client::stream`] return them as [`CallError`], for commands that connect again.

mod address;
mod args;
mod call;
mod error;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use reqwest::{Certificate, ClientBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use crate::cli::client::address::Address;
use crate::cli::client::args::TOKEN_WAYS;
use crate::cli::complaint::{Problem, complain_of_usage};
use crate::cli::exit::Exit;
use crate::outbound;

pub(super) use crate::cli::client::args::DaemonArgs;
pub(super) use crate::cli::client::call::{BodySender, Call};
pub(super) use crate::cli::client::error::{CallError, Refusal};

/// The time limit of one call: 5 s more than the daemon takes at most.
const TIMEOUT: Duration = Duration::from_secs(35);
/// The time limit for a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Less than the daemon keeps an idle connection.
const IDLE_MAX: Duration = Duration::from_secs(8);
/// The most bytes of an answer that is not a stream.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The exit code of a call that failed; its error is printed already.
pub(super) type Refused = Exit;

pub(super) struct Answer<T> {
    pub(super) status: StatusCode,
    pub(super) body: T,
}

/// The authorities that a client trusts for https.
enum Trust {
    System,
    /// Those in this file instead.
    Only(PathBuf),
    /// Those in this file as well, if it can be read.
    Also(PathBuf),
}

/// A client of one daemon.
pub(super) struct Client {
    http: reqwest::Client,
    address: Address,
    token: Option<SecretString>,
}

impl Client {
    /// Makes a client for a URL, without a token.
    pub(super) fn new(url: &str) -> Result<Self, Refused> {
        let address = Address::parse(url);
        let address = address.map_err(|reason| complain_of_usage(&format!("the URL {reason}")))?;
        Self::connecting(address, &Trust::System, None)
    }

    /// Makes a client for a URL, with a token.
    pub(super) fn with_token(url: &str, token: SecretString) -> Result<Self, Refused> {
        let client = Self::new(url)?;
        Ok(Self {
            token: Some(token),
            ..client
        })
    }

    fn connecting(
        address: Address,
        trust: &Trust,
        token: Option<SecretString>,
    ) -> Result<Self, Refused> {
        let usage = |message: String| complain_of_usage(&message);
        let mut client = outbound::client()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_MAX)
            // The daemon is usually on this machine, and no proxy may see its token.
            .no_proxy();
        client = if address.base.starts_with("https:") {
            trusting(client, trust).map_err(usage)?
        } else {
            // Without TLS, a machine needs no certificates.
            client.tls_certs_only([])
        };
        if let Some(path) = &address.socket {
            client = client.unix_socket(path.clone());
        }
        let http = client.build().map_err(|error| {
            let cause = outbound::innermost(&error);
            usage(format!("{}: {cause}", outbound::NO_TLS))
        })?;
        Ok(Self {
            http,
            address,
            token,
        })
    }

    /// Returns the address of the daemon, for messages.
    pub(super) fn shown(&self) -> &str {
        &self.address.shown
    }

    /// Calls the API. An error is printed to standard error; its exit code is returned.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Answer<T>, Refused> {
        let call = Call::new(method, path);
        let call = match body {
            Some(body) => call.json(body),
            None => call,
        };
        let answer = self.try_ask(call).await;
        answer.map_err(|error| error.complain())
    }

    /// Calls the API and reads the JSON of its answer.
    ///
    /// # Errors
    /// The daemon does not answer in time, or refuses, or sends something else.
    pub(super) async fn try_ask<T: DeserializeOwned>(
        &self,
        call: Call,
    ) -> Result<Answer<T>, CallError> {
        let limit = call.within.unwrap_or(TIMEOUT);
        let whole = async {
            let response = self.send(call).await?;
            let status = response.status();
            let bytes = self.read(response).await?;
            let body = serde_json::from_slice(&bytes).map_err(|error| CallError::Foreign {
                status: None,
                text: format!(
                    "cannot read the answer of {}: {error}; is it a jobwatch of the same version?",
                    self.shown()
                ),
            })?;
            Ok(Answer { status, body })
        };
        let answered = tokio::time::timeout(limit, whole).await;
        answered.unwrap_or_else(|_| Err(self.silent(limit)))
    }

    /// Calls the API and returns the body of its answer as a stream, once its head is there.
    ///
    /// # Errors
    /// As [`try_ask`](Self::try_ask).
    pub(super) async fn stream(&self, call: Call) -> Result<Stream<'_>, CallError> {
        let limit = call.within.unwrap_or(TIMEOUT);
        let sent = tokio::time::timeout(limit, self.send(call)).await;
        let response = sent.unwrap_or_else(|_| Err(self.silent(limit)))?;
        Ok(Stream {
            client: self,
            response,
        })
    }

    /// Sends a call; returns an answer of success with its body still to come.
    async fn send(&self, call: Call) -> Result<Response, CallError> {
        let url = format!("{}{}", self.address.base, call.path);
        let mut request = self.http.request(call.method, url).headers(call.headers);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        if let Some(body) = call.body {
            request = request.body(body);
        }
        let response = request.send().await;
        let response = response.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.refused(response).await?)
        }
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, CallError> {
        let mut bytes = Vec::new();
        loop {
            let part = response.chunk().await;
            let Some(part) = part.map_err(|error| self.unreachable(&error))? else {
                return Ok(bytes);
            };
            if bytes.len() + part.len() > ANSWER_BYTES_MAX {
                return Err(CallError::Foreign {
                    status: None,
                    text: format!(
                        "the answer of {} is too large; is it a jobwatch daemon?",
                        self.shown()
                    ),
                });
            }
            bytes.extend_from_slice(&part);
        }
    }

    async fn refused(&self, response: Response) -> Result<CallError, CallError> {
        let status = response.status();
        // The daemon gives seconds; a date, as a proxy may give, only means the usual pause.
        let retry_after = response.headers().get(http::header::RETRY_AFTER);
        let seconds = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = seconds.map(Duration::from_secs);
        let body = self.read(response).await?;
        if let Ok(mut problem) = serde_json::from_slice::<Problem>(&body)
            && !problem.title.is_empty()
        {
            let is_about_token = status == StatusCode::UNAUTHORIZED
                || (status == StatusCode::FORBIDDEN && self.token.is_some());
            if is_about_token {
                problem.detail = format!("{} ({TOKEN_WAYS})", problem.detail);
            }
            return Ok(CallError::Refused(Box::new(Refusal {
                status,
                retry_after,
                problem,
            })));
        }
        Ok(CallError::Foreign {
            status: Some(status),
            text: format!(
                "{} answered HTTP {status} without a reason; is it a jobwatch daemon? (--url, JOBWATCH_URL)",
                self.shown()
            ),
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> CallError {
        let cause = outbound::innermost(error);
        let (words, advice) = if cause.contains("UnknownIssuer") || cause.contains("BadSignature") {
            let words = "its certificate is signed by an unknown authority".to_owned();
            let advice = "if you trust it, name the certificate of the authority in --ca-file or JOBWATCH_CA_FILE";
            (words, advice)
        } else if cause.contains("CaUsedAsEndEntity") {
            let words = "its certificate is one of an authority, and not of a server".to_owned();
            let advice = "make it with CA:FALSE (`openssl req -x509 … -addext basicConstraints=critical,CA:FALSE`)";
            (words, advice)
        } else if cause.contains("InvalidContentType") {
            let words = "it does not speak TLS".to_owned();
            (words, "use http:// in place of https://")
        } else if cause.contains("certificate") {
            (outbound::in_words(error), "check the name in --url")
        } else {
            let advice = "start it with `jobwatch run`, or set --url or JOBWATCH_URL";
            (outbound::in_words(error), advice)
        };
        self.unreachable_because(&words, advice)
    }

    fn silent(&self, limit: Duration) -> CallError {
        let words = format!("no answer within {limit:?}");
        self.unreachable_because(&words, "is it busy? try again, or check --url")
    }

    fn unreachable_because(&self, words: &str, advice: &str) -> CallError {
        CallError::Unreachable {
            text: format!("cannot reach the daemon at {}: {words}", self.shown()),
            advice: advice.to_owned(),
        }
    }
}

/// The body of an answer that goes on, such as events or lines.
pub(super) struct Stream<'a> {
    client: &'a Client,
    response: Response,
}

impl Stream<'_> {
    /// Waits at most `silence` for the next part; `None` at the end.
    ///
    /// # Errors
    /// The stream broke off, or was silent for so long.
    pub(super) async fn next(&mut self, silence: Duration) -> Result<Option<Bytes>, CallError> {
        match tokio::time::timeout(silence, self.response.chunk()).await {
            Ok(part) => part.map_err(|error| self.client.unreachable(&error)),
            Err(_) => Err(self.client.silent(silence)),
        }
    }
}

fn trusting(client: ClientBuilder, trust: &Trust) -> Result<ClientBuilder, String> {
    match trust {
        Trust::System => Ok(client),
        Trust::Only(file) => {
            let authorities = certificates(file)
                .map_err(|reason| format!("cannot use {} (--ca-file): {reason}", file.display()))?;
            Ok(client.tls_certs_only(authorities))
        }
        Trust::Also(file) => match certificates(file) {
            Ok(authorities) => Ok(client.tls_certs_merge(authorities)),
            Err(_) => Ok(client),
        },
    }
}

fn certificates(file: &Path) -> Result<Vec<Certificate>, String> {
    let pem = std::fs::read(file).map_err(|error| error.to_string())?;
    let found = Certificate::from_pem_bundle(&pem).ok();
    found
        .filter(|found| !found.is_empty())
        .ok_or_else(|| "it holds no certificate in PEM".to_owned())
}
