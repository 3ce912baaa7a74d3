//! One exchange with a job API: the contract, and its implementation over HTTP, which limits
//! time and size and follows no redirect. The service itself follows those on its own origin.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

use crate::clock::show_duration;
use crate::definition::reading::Answer;
use crate::outbound;
use crate::outbound::proxy::Route;
use crate::outbound::redaction::Redaction;
use crate::watch::observation::{Problem, ProblemKind};

/// The time limit of connecting, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest gap between two pieces of a body. The head of an answer may take as long as
/// the whole request: some services compute it first.
const READ_IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept. Load balancers usually close one after 60 s, and
/// must not do it while a request is on its way.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// A transport that several services share.
pub type SharedTransport = Arc<dyn Transport>;

/// Carries requests to a service.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends `request` and reads the answer, at most `max_body` bytes of its body.
    ///
    /// # Errors
    /// `unreachable` if the answer was not complete.
    async fn send(&self, request: reqwest::Request, max_body: usize) -> Result<Received, Problem>;
}

/// Carries requests over HTTP; clones share one connection pool.
#[derive(Debug, Clone)]
pub struct HttpTransport {
    client: reqwest::Client,
    /// The proxies that the client uses.
    route: Route,
    /// The secrets for the proxy, which are removed from answers.
    secrets: Redaction,
}

/// Uses the proxy of the environment for other machines only: for a proxy, `localhost`
/// would be its own machine. Decides for each request, because the URL may come from a
/// catalog.
pub struct LocalBypass {
    /// Serves URLs of this machine, without a proxy.
    pub near: HttpTransport,
    /// Serves all other URLs, through the proxy of the environment if one is set.
    pub far: HttpTransport,
}

/// An answer that was read to its end, or to the limit of its size.
#[derive(Debug)]
pub struct Received {
    pub http_status: StatusCode,
    pub headers: HeaderMap,
    /// The decompressed body, at most `max_body` bytes.
    pub body: Bytes,
    /// True if the body was larger than `max_body`, so that only its beginning was read.
    pub is_cut: bool,
}

impl Received {
    /// Returns the parts that a definition reads.
    pub fn answer(&self) -> Answer<'_> {
        Answer {
            http_status: self.http_status.as_u16(),
            headers: &self.headers,
            body: &self.body,
            is_cut: self.is_cut,
        }
    }
}

impl HttpTransport {
    /// Makes a transport that uses the proxy of the environment.
    ///
    /// # Errors
    /// TLS cannot be set up, most often because the system has no CA certificates.
    pub fn new() -> Result<Self, reqwest::Error> {
        Self::by(Route::Environment)
    }

    /// Makes a transport that ignores the proxy of the environment.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn direct() -> Result<Self, reqwest::Error> {
        Self::by(Route::Direct)
    }

    /// Makes a transport whose requests all take this route.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn by(route: Route) -> Result<Self, reqwest::Error> {
        Self::from(route.client()?, route)
    }

    fn from(client: reqwest::ClientBuilder, route: Route) -> Result<Self, reqwest::Error> {
        let client = client
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .http2_keep_alive_while_idle(true)
            .build()?;
        Ok(Self {
            client,
            secrets: route.redaction(),
            route,
        })
    }
}

/// Reads the body up to the limit; true if there was more. The decompressed bytes are counted as
/// they come, because the length of a compressed body says nothing about its size.
async fn read_body(
    response: &mut reqwest::Response,
    max_body: usize,
) -> Result<(Bytes, bool), Problem> {
    let mut body = BytesMut::new();
    loop {
        let Some(chunk) = next_chunk(response).await? else {
            return Ok((body.freeze(), false));
        };
        if body.len() + chunk.len() > max_body {
            let left = max_body - body.len();
            body.extend_from_slice(&chunk[..left]);
            return Ok((body.freeze(), true));
        }
        if body.is_empty() {
            body.reserve(chunk.len());
        }
        body.extend_from_slice(&chunk);
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: reqwest::Request, max_body: usize) -> Result<Received, Problem> {
        let mut response =
            self.client.execute(request).await.map_err(|error| {
                Problem::new(ProblemKind::Unreachable, self.route.in_words(&error))
            })?;
        // An answer of the proxy says nothing about the job.
        if let Some(refusal) = self.route.refusal(&response) {
            return Err(Problem::new(ProblemKind::Unreachable, refusal));
        }
        let http_status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let read = read_body(&mut response, max_body).await;
        let (body, is_cut) = read.map_err(|problem| Problem {
            http_status: Some(http_status.as_u16()),
            ..problem
        })?;
        Ok(Received {
            http_status,
            headers,
            body: self.secrets.body(body),
            is_cut,
        })
    }
}

#[async_trait]
impl Transport for LocalBypass {
    async fn send(&self, request: reqwest::Request, max_body: usize) -> Result<Received, Problem> {
        if outbound::names_this_machine(request.url()) {
            self.near.send(request, max_body).await
        } else {
            self.far.send(request, max_body).await
        }
    }
}

/// Returns the next piece of a body; `None` at its end.
async fn next_chunk(response: &mut reqwest::Response) -> Result<Option<Bytes>, Problem> {
    // Not reqwest's `read_timeout`: that one also runs while the head is waited for.
    match tokio::time::timeout(READ_IDLE_TIMEOUT, response.chunk()).await {
        Ok(chunk) => chunk.map_err(|error| unreachable(&error)),
        Err(_) => Err(Problem::new(
            ProblemKind::Unreachable,
            format!(
                "the answer broke off: no data for {}",
                show_duration(READ_IDLE_TIMEOUT)
            ),
        )),
    }
}

fn unreachable(error: &reqwest::Error) -> Problem {
    Problem::new(ProblemKind::Unreachable, outbound::in_words(error))
}

#[cfg(test)]
mod tests;
