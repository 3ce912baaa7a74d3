//! Accepts connections and answers requests.
//!
//! It uses hyper's HTTP/1 connections directly, because torn bodies and ten thousand open
//! connections need no more.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::Answer;
use super::gateway::{Credential, Request as PollRequest};
use super::payload::Payload;
use super::registry::Registry;
use super::resource::Target;
use super::service::polled_job;
use super::{control, gateway};

/// The most connections at a time; further clients wait.
const MAX_CONNECTIONS: usize = 10_000;

/// The longest that a stop waits for answers under way.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// The pause after a failed accept, which fails again at once when file descriptors are
/// short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop`, and then until the last connection is closed.
pub(super) async fn serve(listener: TcpListener, registry: Arc<Registry>, stop: CancellationToken) {
    let connections = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let accepting = accept(&listener, &registry, &connections, &slots, &stop);
    stop.run_until_cancelled(accepting).await;
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &TcpListener,
    registry: &Arc<Registry>,
    connections: &TaskTracker,
    slots: &Arc<Semaphore>,
    stop: &CancellationToken,
) {
    loop {
        let slot = Arc::clone(slots).acquire_owned().await;
        let slot = slot.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((socket, _)) => {
                let registry = Arc::clone(registry);
                connections.spawn(connection(socket, registry, stop.clone(), slot));
            }
            Err(error) => {
                tracing::warn!(%error, "the simulator cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    socket: TcpStream,
    registry: Arc<Registry>,
    stop: CancellationToken,
    _slot: OwnedSemaphorePermit,
) {
    // Without it the second half of a small answer may wait for the client's ACK.
    let _ = socket.set_nodelay(true);
    let respond = service_fn(move |request| {
        let registry = Arc::clone(&registry);
        async move { Ok::<_, Infallible>(respond(&registry, request).await) }
    });
    // No timer: the client decides how long a connection stays idle.
    let serving = http1::Builder::new().serve_connection(TokioIo::new(socket), respond);
    let mut serving = pin!(serving);
    if stop.run_until_cancelled(serving.as_mut()).await.is_none() {
        serving.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(STOP_GRACE, serving).await;
    }
}

async fn respond(registry: &Registry, request: Request<Incoming>) -> Response<Payload> {
    let request_id = registry.next_request_id();
    let answer = if request.uri().path().starts_with(control::PREFIX) {
        control_answer(registry, request).await
    } else {
        api_answer(registry, &request, &request_id)
    };
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    response(answer, &request_id, registry)
}

fn api_answer(registry: &Registry, request: &Request<Incoming>, request_id: &str) -> Answer {
    let path = request.uri().path();
    let is_get = request.method() == Method::GET;
    if let Some(target) = Target::of(path).filter(|_| is_get) {
        return registry.resources.poll(&target, registry.now());
    }
    let Some((service, job_id)) = polled_job(path).filter(|_| is_get) else {
        return gateway::no_such_api(request_id);
    };
    let headers = request.headers();
    let token = headers
        .get("x-auth-token")
        .map(header::HeaderValue::as_bytes);
    let facts = PollRequest {
        credential: Credential::Missing,
        has_content_type: headers.contains_key(header::CONTENT_TYPE),
        id: request_id,
    };
    registry.poll(service, &job_id, token, facts)
}

async fn control_answer(registry: &Registry, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    match Limited::new(body, control::MAX_BODY).collect().await {
        Ok(body) => {
            let body = body.to_bytes();
            control::answer(registry, head.method.as_str(), head.uri.path(), &body)
        }
        Err(error) if error.is::<LengthLimitError>() => control::too_large(),
        Err(_) => control::unreadable(),
    }
}

fn response(answer: Answer, request_id: &str, registry: &Registry) -> Response<Payload> {
    let mut response = Response::builder()
        .status(answer.status)
        .header(header::CONTENT_TYPE, answer.content_type)
        .header("x-request-id", request_id)
        // The simulator's own time, which a test may have stepped.
        .header(header::DATE, gateway::http_date(registry.now()));
    if let Some(retry_after) = answer.retry_after {
        response = response.header(header::RETRY_AFTER, retry_after);
    }
    if let Some(location) = answer.location {
        response = response.header(header::LOCATION, location);
    }
    if answer.is_torn {
        response = response.header(header::CONTENT_LENGTH, answer.body.len());
    }
    let payload = Payload::new(answer.body, answer.is_torn);
    response
        .body(payload)
        .expect("statuses are listed and header values are plain text")
}
