//! The demo's webhook receiver, which does all that a receiver of Standard Webhooks should do.
//!
//! It checks the signature and the age of a message before it uses it, and recognises a
//! repeated event by `webhook-id`. It rejects the first event, as if it were down, so that the
//! demo shows a retry.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::server::Server;
use crate::clock::SharedClock;
use crate::sink::signature::{Signer, timestamp_of};

/// The largest distance of a message's timestamp from now, in seconds (Standard Webhooks
/// leaves the number to the receiver; its libraries take five minutes).
const AGE_SECONDS_MAX: i64 = 5 * 60;
const CONNECTIONS: usize = 16;

pub(super) struct Receiver {
    pub(super) url: String,
    shared: Arc<Shared>,
}

/// The state that all requests share.
struct Shared {
    clock: SharedClock,
    signer: Signer,
    inbox: Mutex<Inbox>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Inbox {
    /// Events with a valid signature, each once, in the order of arrival.
    pub(super) events: Vec<Event>,
    /// The watch and the id of the event that was rejected with 503.
    pub(super) rejected: Option<(String, String)>,
    /// The number of events that came again after they had been received.
    pub(super) repeated: usize,
    /// The reasons of the messages that were refused.
    pub(super) refused: Vec<&'static str>,
}

/// An event with a valid signature.
#[derive(Debug, Clone)]
pub(super) struct Event {
    /// The `webhook-id`, which is the event's id.
    pub(super) id: String,
    /// The id of its watch.
    pub(super) watch_id: String,
    /// The `CloudEvent` as it was sent.
    pub(super) body: String,
}

impl Receiver {
    /// Listens on any free port of this machine and serves in `tracker` until `stop`.
    pub(super) async fn start(
        signer: Signer,
        clock: SharedClock,
        tracker: &TaskTracker,
        stop: CancellationToken,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}/events", listener.local_addr()?);
        let shared = Arc::new(Shared {
            clock,
            signer,
            inbox: Mutex::default(),
        });
        let router = Router::new()
            .route("/events", post(receive))
            .with_state(Arc::clone(&shared));
        let server = Server::new(router, CONNECTIONS, tracker.clone(), stop);
        tracker.spawn(server.serve(listener.into()));
        Ok(Self { url, shared })
    }

    /// Returns everything it got so far.
    pub(super) fn inbox(&self) -> Inbox {
        self.shared.inbox.lock().clone()
    }
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let now = timestamp_of(shared.clock.now());
    let mut inbox = shared.inbox.lock();
    inbox.take(&shared.signer, &headers, &body, now)
}

impl Inbox {
    /// Returns how often the rejected event was received later.
    pub(super) fn retried(&self) -> usize {
        let Some((_, id)) = &self.rejected else {
            return 0;
        };
        self.events.iter().filter(|event| event.id == *id).count()
    }

    /// Takes one message at `now`, in seconds since 1970; returns the status of the answer.
    fn take(&mut self, signer: &Signer, headers: &HeaderMap, body: &[u8], now: i64) -> StatusCode {
        let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
        let watch_id = parsed["data"]["watch_id"].as_str().unwrap_or_default();
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let id = text("webhook-id").unwrap_or_default();
        if self.rejected.is_none() {
            self.rejected = Some((watch_id.to_owned(), id.to_owned()));
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        if let Err(reason) = verify(signer, &text, body, now) {
            self.refused.push(reason);
            return StatusCode::UNAUTHORIZED;
        }
        if self.events.iter().any(|event| event.id == id) {
            self.repeated += 1;
            return StatusCode::OK;
        }
        self.events.push(Event {
            id: id.to_owned(),
            watch_id: watch_id.to_owned(),
            body: String::from_utf8_lossy(body).into_owned(),
        });
        StatusCode::NO_CONTENT
    }
}

fn verify<'a>(
    signer: &Signer,
    text: &impl Fn(&str) -> Option<&'a str>,
    body: &[u8],
    now: i64,
) -> Result<(), &'static str> {
    let header = |name| text(name).ok_or("a header of Standard Webhooks is missing");
    let (id, at) = (header("webhook-id")?, header("webhook-timestamp")?);
    let signatures = header("webhook-signature")?;
    let sent: i64 = at.parse().map_err(|_| "the timestamp is not a number")?;
    if now.abs_diff(sent) > AGE_SECONDS_MAX.unsigned_abs() {
        return Err("the timestamp is too far from now");
    }
    if !signer.verifies(id, at, body, signatures) {
        return Err("the signature is invalid");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use secrecy::SecretString;
    use uuid::Uuid;

    use super::*;

    const NOW: i64 = 1_700_000_000;
    const BODY: &[u8] = br#"{"data":{"watch_id":"w1"}}"#;

    fn signer(letter: char) -> Signer {
        let secret = format!("whsec_{}", letter.to_string().repeat(32));
        Signer::new(&[SecretString::from(secret)]).unwrap()
    }

    fn message(id: u128, at: i64) -> HeaderMap {
        let id = Uuid::from_u128(id);
        let signature = signer('a').sign(id, at, BODY);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("webhook-id", id.to_string()),
            ("webhook-timestamp", at.to_string()),
            ("webhook-signature", signature),
        ] {
            headers.insert(name, HeaderValue::from_str(&value).unwrap());
        }
        headers
    }

    #[test]
    fn the_first_event_is_rejected_and_received_when_it_is_retried() {
        let mut inbox = Inbox::default();
        let mut take = |id| {
            inbox
                .take(&signer('a'), &message(id, NOW), BODY, NOW)
                .as_u16()
        };
        assert_eq!([take(1), take(2), take(1), take(1)], [503, 204, 204, 200]);
        assert_eq!(
            (inbox.events.len(), inbox.retried(), inbox.repeated),
            (2, 1, 1)
        );
        assert_eq!(inbox.events[0].watch_id, "w1");
    }

    #[test]
    fn messages_with_a_wrong_signature_or_an_old_time_are_refused() {
        let mut inbox = Inbox {
            rejected: Some(Default::default()),
            ..Inbox::default()
        };
        let old = message(1, NOW - 301);
        let bare = HeaderMap::new();
        let cases = [
            ('b', message(1, NOW), "signature"),
            ('a', old, "too far"),
            ('a', bare, "missing"),
        ];
        for (letter, headers, reason) in cases {
            let status = inbox.take(&signer(letter), &headers, BODY, NOW);
            assert_eq!(status, StatusCode::UNAUTHORIZED);
            assert!(inbox.refused.last().unwrap().contains(reason));
        }
        assert!(inbox.events.is_empty());
    }
}
