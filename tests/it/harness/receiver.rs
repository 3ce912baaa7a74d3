//! A webhook receiver on a real socket that records its requests and answers as the test says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use rustls::ServerConfig;
use secrecy::SecretString;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio_util::task::TaskTracker;

use jobwatch::sink::signature::Signer;

use crate::harness::{WEBHOOK_SECRET, serve, tls};

/// How the receiver answers one request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reply {
    /// With this status.
    Status(u16),
    /// With this status and this body.
    Body(u16, &'static [u8]),
    /// With a redirect to this URL.
    Elsewhere(&'static str),
    /// With 503 and this many seconds in `Retry-After`.
    BusyFor(u32),
    /// Without any answer.
    Never,
}

/// One request, as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    pub(crate) body: Value,
}

#[derive(Default)]
struct Inside {
    received: Vec<Received>,
    script: VecDeque<Reply>,
    usual: Option<Reply>,
}

/// The receiver, seen from the test.
#[derive(Clone)]
pub(crate) struct Receiver {
    url: String,
    inside: Arc<Mutex<Inside>>,
    arrived: Arc<Notify>,
}

impl Receiver {
    pub(crate) async fn start(tracker: &TaskTracker) -> Self {
        let mut receiver = Self::nowhere();
        receiver.url = format!("{}/hook", serve(receiver.router(), tracker).await);
        receiver
    }

    /// A receiver at `https://localhost` with these certificates.
    pub(crate) async fn start_tls(tracker: &TaskTracker, config: ServerConfig) -> Self {
        let mut receiver = Self::nowhere();
        let port = tls::serve(receiver.router(), config, tracker).await;
        receiver.url = format!("https://localhost:{port}/hook");
        receiver
    }

    fn nowhere() -> Self {
        Self {
            url: String::new(),
            inside: Arc::default(),
            arrived: Arc::default(),
        }
    }

    fn router(&self) -> Router {
        Router::new().fallback(receive).with_state(self.clone())
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Sets the answers to the next requests, one each.
    pub(crate) fn answers(&self, replies: impl IntoIterator<Item = Reply>) {
        self.inside.lock().unwrap().script.extend(replies);
    }

    /// Sets the answer to all requests that have none of their own.
    pub(crate) fn always_answers(&self, reply: Reply) {
        self.inside.lock().unwrap().usual = Some(reply);
    }

    /// All requests, in order.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.inside.lock().unwrap().received.clone()
    }

    /// Waits for the next request.
    pub(crate) fn news(&self) -> Notified<'_> {
        self.arrived.notified()
    }

    /// Waits for the first request; returns at once if there was one.
    pub(crate) async fn first(&self) -> Received {
        loop {
            let arrived = self.news();
            if let Some(first) = self.received().into_iter().next() {
                return first;
            }
            arrived.await;
        }
    }
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// The id of the event in the headers.
    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// The type of the event, without the common prefix.
    pub(crate) fn kind(&self) -> &str {
        let kind = self.body["type"].as_str().unwrap();
        kind.trim_start_matches("dev.jobwatch.")
    }

    /// True if it was signed with the secret of the sink.
    pub(crate) fn is_genuine(&self) -> bool {
        let signer = Signer::new(&[SecretString::from(WEBHOOK_SECRET)]).unwrap();
        let timestamp = self.header("webhook-timestamp");
        let signature = self.header("webhook-signature");
        signer.verifies(self.id(), timestamp, &self.bytes, signature)
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, bytes: Bytes) -> Response {
    let reply = {
        let mut inside = receiver.inside.lock().unwrap();
        inside.received.push(Received {
            headers,
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
            bytes,
        });
        let usual = inside.usual.unwrap_or(Reply::Status(204));
        inside.script.pop_front().unwrap_or(usual)
    };
    receiver.arrived.notify_waiters();
    match reply {
        Reply::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Reply::Body(status, body) => (
            StatusCode::from_u16(status).unwrap(),
            Bytes::from_static(body),
        )
            .into_response(),
        Reply::Elsewhere(url) => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, url)]).into_response()
        }
        Reply::BusyFor(secs) => {
            let retry_after = [(header::RETRY_AFTER, secs.to_string())];
            (StatusCode::SERVICE_UNAVAILABLE, retry_after).into_response()
        }
        Reply::Never => std::future::pending().await,
    }
}
