//! A client for requests that no proxy takes, on hyper's client itself.
//!
//! reqwest has a layer for each of its features (redirects, proxies, cookies, timers), and polls
//! are so many that those layers cost a noticeable part of the CPU. This client has the parts that
//! a poll needs, with the same limits, the same headers and the same words for failures.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Builder, Client};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tower::{Service, ServiceExt};
use tower_http::decompression::{Decompression, DecompressionBody};

use crate::outbound::{USER_AGENT, causes_of, failure_in_words};

/// How often a request is sent again that the server has certainly not processed.
const RETRIES_MAX: u32 = 2;
/// The probes that find a dead connection, as reqwest sets them.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_RETRIES: u32 = 3;
/// The longest time that sent bytes may stay without an acknowledgement, as reqwest sets it.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// The limits of the connections of a client.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// The longest time of connecting, TLS included.
    pub connect: Duration,
    /// How long an idle connection is kept.
    pub idle: Duration,
    /// How often a connection of HTTP/2 is asked whether it is alive.
    pub http2_ping: Duration,
    /// How long the answer to that question may take.
    pub http2_pong: Duration,
}

impl ConnectionLimits {
    /// Sets the limits for a client of reqwest.
    pub fn set(self, client: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
        client
            .connect_timeout(self.connect)
            .pool_idle_timeout(self.idle)
            .http2_keep_alive_interval(self.http2_ping)
            .http2_keep_alive_timeout(self.http2_pong)
            .http2_keep_alive_while_idle(true)
    }

    fn builder(self) -> Builder {
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(self.idle)
            .http2_keep_alive_interval(self.http2_ping)
            .http2_keep_alive_timeout(self.http2_pong)
            .http2_keep_alive_while_idle(true);
        builder
    }
}

/// A client without proxies; clones share one connection pool.
///
/// It follows no redirect, and sends a request again as [`client`](crate::outbound::client) does.
#[derive(Debug, Clone)]
pub struct DirectClient(Client<Connector, Full<Bytes>>);

/// The body of an answer, decompressed.
pub type DirectBody = DecompressionBody<Incoming>;

impl DirectClient {
    /// Makes a client with this configuration of TLS.
    pub fn new(tls: ClientConfig, limits: ConnectionLimits) -> Self {
        Self(limits.builder().build(Connector::new(tls, limits.connect)))
    }

    /// Makes a client that speaks HTTP/2 also without TLS, where it is not negotiated.
    #[cfg(test)]
    pub(crate) fn of_http2(tls: ClientConfig, limits: ConnectionLimits) -> Self {
        let mut builder = limits.builder();
        builder.http2_only(true);
        Self(builder.build(Connector::new(tls, limits.connect)))
    }

    /// Sends `request` to `uri`, which is its URL, and returns the answer as soon as its head is
    /// there. The limit of time is the caller's.
    ///
    /// # Errors
    /// Describes the failure as [`in_words`](crate::outbound::in_words) does.
    pub async fn send(
        &self,
        uri: Uri,
        request: reqwest::Request,
    ) -> Result<Response<DirectBody>, String> {
        let request = completed(uri, request)?;
        for _ in 0..RETRIES_MAX {
            match self.try_to_send(request.clone()).await {
                Err(error) if is_unprocessed(&error) => {}
                sent => return sent.map_err(|error| in_words(&error)),
            }
        }
        let sent = self.try_to_send(request).await;
        sent.map_err(|error| in_words(&error))
    }

    async fn try_to_send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<DirectBody>, legacy::Error> {
        Decompression::new(&self.0).oneshot(request).await
    }
}

/// Returns the address of a request in the form that it is sent with.
///
/// # Errors
/// Describes the failure as [`in_words`](crate::outbound::in_words) does.
pub fn uri_of(request: &reqwest::Request) -> Result<Uri, String> {
    let uri = request.url().as_str().parse();
    uri.map_err(|_| "the request failed: Parsed Url is not a valid Uri".to_owned())
}

/// Returns the configuration of TLS that reqwest has by default: the certificates of the system
/// (or of `SSL_CERT_FILE`), TLS 1.2 and 1.3, and HTTP/2 where the server speaks it.
///
/// # Errors
/// The system has no certificates.
pub fn tls() -> Result<ClientConfig, rustls::Error> {
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| aws_lc_rs::default_provider().into());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    config.alpn_protocols = vec!["h2".into(), "http/1.1".into()];
    Ok(config)
}

/// Adds the headers of every request.
fn completed(uri: Uri, mut request: reqwest::Request) -> Result<Request<Full<Bytes>>, String> {
    let body = match request.body().map(reqwest::Body::as_bytes) {
        None => Bytes::new(),
        Some(Some(body)) => Bytes::copy_from_slice(body),
        Some(None) => return Err("the request failed: its body is not in memory".to_owned()),
    };
    let mut headers = std::mem::take(request.headers_mut());
    let constant = HeaderValue::from_static;
    headers
        .entry(header::ACCEPT)
        .or_insert_with(|| constant("*/*"));
    headers
        .entry(header::USER_AGENT)
        .or_insert_with(|| constant(USER_AGENT));
    let mut completed = Request::new(Full::new(body));
    *completed.method_mut() = request.method().clone();
    *completed.uri_mut() = uri;
    *completed.headers_mut() = headers;
    Ok(completed)
}

/// True if the server has certainly not processed the request (RFC 9113, section 8.7).
fn is_unprocessed(error: &legacy::Error) -> bool {
    let mut causes = causes_of(error);
    let of_http2 = causes.find_map(|cause| cause.downcast_ref::<h2::Error>());
    of_http2.is_some_and(|error| {
        let is_shutdown = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
        let is_refusal = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        error.is_remote() && (is_shutdown || is_refusal)
    })
}

fn in_words(error: &legacy::Error) -> String {
    let step = if error.is_connect() {
        "cannot connect"
    } else {
        "the request failed"
    };
    failure_in_words(step, error)
}

/// Connects within a limit of time. Each connection resolves the name of its host again.
#[derive(Debug, Clone)]
struct Connector {
    https: HttpsConnector<HttpConnector>,
    limit: Duration,
}

type BoxError = Box<dyn Error + Send + Sync>;
type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

impl Connector {
    fn new(tls: ClientConfig, limit: Duration) -> Self {
        let mut http = HttpConnector::new();
        // The layer of TLS has the other schemes.
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(limit));
        http.set_keepalive(Some(KEEP_ALIVE));
        http.set_keepalive_interval(Some(KEEP_ALIVE));
        http.set_keepalive_retries(Some(KEEP_ALIVE_RETRIES));
        http.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX));
        Self {
            https: HttpsConnector::from((http, tls)),
            limit,
        }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.limit, self.https.call(uri));
        Box::pin(async move {
            let connected = connecting.await;
            connected.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
        })
    }
}
