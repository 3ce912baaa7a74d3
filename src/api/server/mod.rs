//! Serves the API over HTTP/1, on TCP, on TLS and on a Unix socket.
//!
//! Uses hyper's connection builder with a timer: `axum::serve` has no time limit for the
//! headers of a request, so a few silent clients could occupy every connection. A client that
//! stops reading its answer is cut off, too.

mod listener;
mod socket;
#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutWriter;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::auth::ThroughSocket;
use crate::api::error::ApiError;
use crate::api::server::listener::Accepted;
use crate::certificate::Certificate;

pub use crate::api::server::listener::Listener;

/// The time limit for the headers of a request, and for the silence between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The time limit for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may read nothing of its answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest head of a request, in bytes: a query with a thousand ids fits.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The pause after a failed accept: without file descriptors, each try fails at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The connections that the system keeps until they are accepted.
const BACKLOG: u32 = 4096;
/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;

/// The parts that all listeners of one server share.
#[derive(Clone)]
pub(crate) struct Server {
    router: Router,
    slots: Arc<Semaphore>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Server {
    /// Makes a server with at most `connections` at a time, on all listeners together. Requests
    /// in progress at the stop are completed in `tracker`.
    pub(crate) fn new(
        router: Router,
        connections: usize,
        tracker: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self {
            router,
            slots: Arc::new(Semaphore::new(connections)),
            tracker,
            stop,
        }
    }

    /// Serves on `listener` until the stop.
    pub(crate) async fn serve(mut self, listener: Listener) {
        if listener.is_unix() {
            self.router = self.router.layer(Extension(ThroughSocket));
        }
        let stop = self.stop.clone();
        stop.run_until_cancelled(self.accept_all(&listener)).await;
    }

    async fn accept_all(&self, listener: &Listener) {
        loop {
            let slot = Arc::clone(&self.slots)
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            match listener.accept().await {
                Ok(accepted) => self.spawn(accepted, slot),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection to the API; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn spawn(&self, accepted: Accepted, slot: OwnedSemaphorePermit) {
        let (router, stop) = (self.router.clone(), self.stop.clone());
        match accepted {
            Accepted::Tcp(stream) => {
                drop(self.tracker.spawn(connection(stream, router, stop, slot)));
            }
            Accepted::Unix(stream) => {
                drop(self.tracker.spawn(connection(stream, router, stop, slot)));
            }
            Accepted::Tls(stream, certificate) => drop(self.tracker.spawn(async move {
                let secured = secure(stream, &certificate);
                let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, secured);
                // A client that fails the handshake learns why by TLS itself.
                if let Some(Ok(Ok(stream))) = stop.run_until_cancelled(handshake).await {
                    connection(stream, router, stop, slot).await;
                }
            })),
        }
    }
}

type Secured = Box<tokio_rustls::server::TlsStream<TcpStream>>;

async fn secure(mut stream: TcpStream, certificate: &Certificate) -> std::io::Result<Secured> {
    let mut first = [0];
    let speaks_plain = stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE;
    if speaks_plain {
        stream.write_all(tls_only().as_bytes()).await?;
        stream.shutdown().await?;
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let acceptor = TlsAcceptor::from(certificate.config());
    acceptor.accept(stream).await.map(Box::new)
}

/// Returns the answer to a client that speaks plain HTTP where TLS is spoken.
fn tls_only() -> String {
    let problem = serde_json::to_string(&ApiError::tls_only()).expect("string keys only");
    format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n\
         connection: close\r\n\r\n{problem}\n"
    )
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    router: Router,
    stop: CancellationToken,
    _slot: OwnedSemaphorePermit,
) {
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(WRITE_TIMEOUT));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(
            TokioIo::new(Box::pin(stream)),
            TowerToHyperService::new(router),
        );
    let mut serving = pin!(serving);
    if stop.run_until_cancelled(serving.as_mut()).await.is_none() {
        serving.as_mut().graceful_shutdown();
        // An error here means only that the client has closed the connection.
        let _ = serving.await;
    }
}
