//! One exchange with a job API: the contract, and its implementation over HTTP, which limits
//! time and size and follows no redirect. The service itself follows those on its own origin.

mod body;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, Uri};
use hyper::body::Body;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::time::Sleep;

use crate::definition::reading::Answer;
use crate::outbound;
use crate::outbound::direct::{ConnectionLimits, DirectClient, tls, uri_of};
use crate::outbound::proxy::Route;
use crate::outbound::redaction::Redaction;
use crate::watch::observation::{Problem, ProblemKind};

/// The limits of all connections. Load balancers usually close an idle one after 60 s, and must
/// not do it while a request is on its way.
const LIMITS: ConnectionLimits = ConnectionLimits {
    connect: Duration::from_secs(5),
    idle: Duration::from_secs(50),
    http2_ping: Duration::from_secs(20),
    http2_pong: Duration::from_secs(10),
};

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
    clients: Clients,
    /// The proxies that the clients use.
    route: Route,
    /// The secrets for the proxy, which are removed from answers.
    secrets: Redaction,
}

/// The clients for the requests that a proxy takes, and for the others.
#[derive(Debug, Clone)]
enum Clients {
    /// No proxy takes a request.
    Direct(DirectClient),
    /// The environment may name a proxy for some hosts.
    ByHost {
        direct: DirectClient,
        proxied: reqwest::Client,
        proxies: Arc<Matcher>,
    },
    /// One proxy takes all requests.
    Proxied(reqwest::Client),
}

/// TLS cannot be set up, most often because the system has no CA certificates.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The client for a proxy cannot be made.
    #[error(transparent)]
    Proxied(#[from] reqwest::Error),
    /// The system names no certificate to trust.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
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
    pub fn new() -> Result<Self, SetUpError> {
        Self::by(Route::Environment)
    }

    /// Makes a transport that ignores the proxy of the environment.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn direct() -> Result<Self, SetUpError> {
        Self::by(Route::Direct)
    }

    /// Makes a transport whose requests all take this route.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn by(route: Route) -> Result<Self, SetUpError> {
        let proxied = || route.client().map(|client| LIMITS.set(client));
        let clients = match &route {
            Route::Direct => Clients::Direct(DirectClient::new(tls()?, LIMITS)),
            Route::Environment => {
                let tls = tls()?;
                Clients::ByHost {
                    proxied: proxied()?.tls_backend_preconfigured(tls.clone()).build()?,
                    direct: DirectClient::new(tls, LIMITS),
                    proxies: Arc::new(Matcher::from_system()),
                }
            }
            Route::Proxy(_) => Clients::Proxied(proxied()?.build()?),
        };
        Ok(Self::of(clients, route))
    }

    fn of(clients: Clients, route: Route) -> Self {
        Self {
            clients,
            secrets: route.redaction(),
            route,
        }
    }

    /// Sends a request that no proxy takes.
    async fn send_directly(
        &self,
        client: &DirectClient,
        uri: Uri,
        request: reqwest::Request,
        max_body: usize,
    ) -> Result<Received, Problem> {
        let limit = request.timeout().copied().unwrap_or(Duration::MAX);
        let mut limit = pin!(tokio::time::sleep(limit));
        let sent = client.send(uri.clone(), request);
        let sent = within(limit.as_mut(), sent).await;
        let response = sent.ok_or_else(timed_out)?.map_err(unreachable)?;
        let http_status = Some(response.status().as_u16());
        let scheme = uri.scheme_str().unwrap_or_default();
        let received = self.receive(scheme, response, max_body, |error| {
            outbound::broke_off(error.as_ref())
        });
        let received = within(limit, received).await;
        received.unwrap_or_else(|| {
            Err(Problem {
                http_status,
                ..timed_out()
            })
        })
    }

    /// Sends a request that a proxy takes, or that the client itself sends directly.
    async fn send_by_proxy(
        &self,
        client: &reqwest::Client,
        request: reqwest::Request,
        max_body: usize,
    ) -> Result<Received, Problem> {
        let sent = client.execute(request).await;
        let response = sent.map_err(|error| unreachable(self.route.in_words(&error)))?;
        let url = response.url().clone();
        self.receive(url.scheme(), response.into(), max_body, |error| {
            outbound::in_words(&error)
        })
        .await
    }

    async fn receive<B>(
        &self,
        scheme: &str,
        response: Response<B>,
        max_body: usize,
        in_words: fn(B::Error) -> String,
    ) -> Result<Received, Problem>
    where
        B: Body<Data = Bytes>,
    {
        let (head, body) = response.into_parts();
        // An answer of the proxy says nothing about the job.
        if let Some(refusal) = self.route.refusal(scheme, head.status, &head.headers) {
            return Err(unreachable(refusal));
        }
        let read = body::read(body, max_body, in_words).await;
        let (body, is_cut) = read.map_err(|why| Problem {
            http_status: Some(head.status.as_u16()),
            ..unreachable(why)
        })?;
        Ok(Received {
            http_status: head.status,
            headers: head.headers,
            body: self.secrets.body(body),
            is_cut,
        })
    }
}

/// Returns the output of `future`, or `None` if `limit` ends before it.
async fn within<T>(mut limit: Pin<&mut Sleep>, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = &mut limit => None,
    }
}

fn unreachable(message: String) -> Problem {
    Problem::new(ProblemKind::Unreachable, message)
}

fn timed_out() -> Problem {
    unreachable(outbound::TIMED_OUT.to_owned())
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: reqwest::Request, max_body: usize) -> Result<Received, Problem> {
        match &self.clients {
            Clients::Direct(client) => {
                let uri = uri_of(&request).map_err(unreachable)?;
                self.send_directly(client, uri, request, max_body).await
            }
            Clients::Proxied(client) => self.send_by_proxy(client, request, max_body).await,
            Clients::ByHost {
                direct,
                proxied,
                proxies,
            } => {
                let uri = uri_of(&request).map_err(unreachable)?;
                if proxies.intercept(&uri).is_some() {
                    self.send_by_proxy(proxied, request, max_body).await
                } else {
                    self.send_directly(direct, uri, request, max_body).await
                }
            }
        }
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

#[cfg(test)]
mod tests;
