//! Serves the API over HTTP/1.
//!
//! With hyper's own connection builder and a timer: `axum::serve` never times a slow
//! header out, so that a handful of silent clients could hold every connection.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a client may take to send its headers, or be silent between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Out of file descriptors, accepting fails at once, again and again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `stop`; requests under way end in `tracker`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    connections: usize,
    tracker: TaskTracker,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(connections));
    let accepting = async {
        loop {
            let slot = Arc::clone(&slots)
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            match listener.accept().await {
                Ok((socket, _)) => {
                    tracker.spawn(connection(socket, router.clone(), stop.clone(), slot));
                }
                Err(error) => {
                    tracing::warn!(%error, "the API cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    stop.run_until_cancelled(accepting).await;
}

async fn connection(
    socket: TcpStream,
    router: Router,
    stop: CancellationToken,
    _slot: OwnedSemaphorePermit,
) {
    // Without it the second half of a small answer may wait for the client's ACK.
    let _ = socket.set_nodelay(true);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    let mut serving = pin!(serving);
    if stop.run_until_cancelled(serving.as_mut()).await.is_none() {
        serving.as_mut().graceful_shutdown();
        // A client that went away is no news.
        let _ = serving.await;
    }
}
