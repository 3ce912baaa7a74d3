//! The demo's webhook receiver: what any receiver of Standard Webhooks should do.
//!
//! It checks the signature and the age of a message before it believes a word of it, and
//! knows by `webhook-id` what it has had already. For the first event it is down, so that
//! a retry is seen.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api;
use crate::clock::SharedClock;
use crate::sink::signature::{Signer, timestamp_of};

/// How far the timestamp of a message may be from now, in seconds (Standard Webhooks
/// leaves the number to the receiver; its libraries take five minutes).
const AGE_SECONDS_MAX: i64 = 5 * 60;
/// Connections at a time.
const CONNECTIONS: usize = 16;

/// A receiver that is running.
pub(super) struct Receiver {
    /// Where events go.
    pub(super) url: String,
    desk: Arc<Desk>,
}

/// What one request works with.
struct Desk {
    clock: SharedClock,
    signer: Signer,
    inbox: Mutex<Inbox>,
}

/// Everything that came.
#[derive(Debug, Clone, Default)]
pub(super) struct Inbox {
    /// Events whose signature holds, each once, in the order they came.
    pub(super) events: Vec<Event>,
    /// The watch of the event that met a closed door, and the event's id.
    pub(super) turned_away: Option<(String, String)>,
    /// Events that came again although they had been received.
    pub(super) repeated: usize,
    /// Messages that were not believed, with the reason.
    pub(super) refused: Vec<&'static str>,
}

/// An event that was believed.
#[derive(Debug, Clone)]
pub(super) struct Event {
    /// `webhook-id`, which is the event's id.
    pub(super) id: String,
    /// The watch it is about.
    pub(super) watch_id: String,
    /// The `CloudEvent`, as it came.
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
        let desk = Arc::new(Desk {
            clock,
            signer,
            inbox: Mutex::default(),
        });
        let router = Router::new()
            .route("/events", post(receive))
            .with_state(Arc::clone(&desk));
        tracker.spawn(api::server::serve(
            listener,
            router,
            CONNECTIONS,
            tracker.clone(),
            stop,
        ));
        Ok(Self { url, desk })
    }

    /// What came so far.
    pub(super) fn inbox(&self) -> Inbox {
        self.desk
            .inbox
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

async fn receive(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let now = timestamp_of(desk.clock.now());
    let mut inbox = desk.inbox.lock().unwrap_or_else(PoisonError::into_inner);
    inbox.take(&desk.signer, &headers, &body, now)
}

impl Inbox {
    /// How often an event came that was turned away before.
    pub(super) fn retried(&self) -> usize {
        let Some((_, id)) = &self.turned_away else {
            return 0;
        };
        self.events.iter().filter(|event| event.id == *id).count()
    }

    /// Takes one message that came at `now`, in seconds since 1970; says what to answer.
    fn take(&mut self, signer: &Signer, headers: &HeaderMap, body: &[u8], now: i64) -> StatusCode {
        let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
        let watch_id = parsed["data"]["watch_id"].as_str().unwrap_or_default();
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let id = text("webhook-id").unwrap_or_default();
        if self.turned_away.is_none() {
            self.turned_away = Some((watch_id.to_owned(), id.to_owned()));
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        if let Err(reason) = believable(signer, &text, body, now) {
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

fn believable<'a>(
    signer: &Signer,
    text: &impl Fn(&str) -> Option<&'a str>,
    body: &[u8],
    now: i64,
) -> Result<(), &'static str> {
    let header = |name| text(name).ok_or("a header of Standard Webhooks is missing");
    let (id, at) = (header("webhook-id")?, header("webhook-timestamp")?);
    let signatures = header("webhook-signature")?;
    let sent: i64 = at.parse().map_err(|_| "the timestamp is no number")?;
    if now.abs_diff(sent) > AGE_SECONDS_MAX.unsigned_abs() {
        return Err("the timestamp is too far from now");
    }
    if !signer.verifies(id, at, body, signatures) {
        return Err("the signature does not hold");
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
    fn the_first_event_meets_a_closed_door_and_is_received_when_it_comes_again() {
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
    fn what_is_not_signed_with_the_secret_or_is_old_is_not_believed() {
        let mut inbox = Inbox {
            turned_away: Some(Default::default()),
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
