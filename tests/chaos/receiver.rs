//! The receiver of webhooks: it keeps each event that came, and how often.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use jobwatch::clock::SharedClock;
use parking_lot::Mutex;

/// What came under one id.
pub(crate) struct Received {
    pub(crate) first_at: Duration,
    pub(crate) body: Bytes,
    pub(crate) times: usize,
    /// True if another body came under the same id.
    pub(crate) differs: bool,
}

/// The receiver. Clones share the record.
#[derive(Clone)]
pub(crate) struct Receiver {
    clock: SharedClock,
    pub(crate) events: Arc<Mutex<HashMap<String, Received>>>,
}

impl Receiver {
    pub(crate) fn new(clock: &SharedClock) -> Self {
        Self {
            clock: Arc::clone(clock),
            events: Arc::default(),
        }
    }

    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/hook", post(receive))
            .with_state(self.clone())
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let id = headers.get("webhook-id").and_then(|it| it.to_str().ok());
    let Some(id) = id else {
        return StatusCode::BAD_REQUEST;
    };
    let first_at = receiver.clock.uptime();
    let mut events = receiver.events.lock();
    let event = events.entry(id.to_owned()).or_insert_with(|| Received {
        first_at,
        body: body.clone(),
        times: 0,
        differs: false,
    });
    event.times += 1;
    event.differs |= event.body != body;
    StatusCode::NO_CONTENT
}
