//! Serves the API over HTTP/1.
//!
//! Uses hyper's connection builder with a timer: `axum::serve` has no time limit for the
//! headers of a request, so a few silent clients could occupy every connection.

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

/// The time limit for the headers of a request, and for the silence between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a failed accept: without file descriptors, each try fails at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `stop`, with at most `connections` at a time.
/// Requests in progress at the stop are completed in `tracker`.
pub(crate) async fn serve(
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
                    tracing::warn!(%error, "cannot accept a connection to the API; trying again");
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
    // With Nagle's algorithm the second half of a small answer may wait for an ACK.
    let _ = socket.set_nodelay(true);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    let mut serving = pin!(serving);
    if stop.run_until_cancelled(serving.as_mut()).await.is_none() {
        serving.as_mut().graceful_shutdown();
        // An error here means only that the client has closed the connection.
        let _ = serving.await;
    }
}
