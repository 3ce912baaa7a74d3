//! Deliveries and sinks as the API shows them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::delivery::{StoredAttempt, StoredDelivery};

/// A delivery. Absent values are `null`; times are RFC 3339, UTC.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeliveryView {
    /// Names this delivery.
    pub id: String,
    /// The event; the same in every attempt.
    pub event_id: String,
    /// The watch the event tells of.
    pub watch_id: Option<String>,
    /// The event's `CloudEvents` type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// To whom.
    pub sink: String,
    /// `pending`, `delivered` or `dead`.
    pub state: String,
    /// Attempts made, over all schedules.
    pub attempts: u32,
    /// When the next attempt is due, while it is pending.
    pub due_at: Option<Timestamp>,
    /// The HTTP status of the last attempt.
    pub last_status: Option<u16>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was delivered or given up.
    pub settled_at: Option<Timestamp>,
    /// Since when the receiver of its sink is gone (410): nothing is sent until a restart.
    /// Absent while it is not, and in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_since: Option<Timestamp>,
    /// The latest attempts, oldest first; only when one delivery is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<Vec<AttemptView>>,
}

/// One attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttemptView {
    /// From 1, over all schedules.
    pub number: u32,
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The HTTP status, if there was an answer.
    pub http_status: Option<u16>,
    /// Why it failed.
    pub error: Option<String>,
    /// How the answer begins.
    pub answer: Option<String>,
}

/// A page of deliveries, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeliveryPageView {
    /// The deliveries.
    pub deliveries: Vec<DeliveryView>,
    /// The `cursor` of the next page, if there is one.
    pub next: Option<String>,
}

/// What driving dead letters again came to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RedriveView {
    /// How many are owed again.
    pub redriven: u64,
    /// How many of each sink.
    pub by_sink: BTreeMap<String, u64>,
    /// Sinks among these whose receiver is gone (410): they wait until a restart.
    pub gone: Vec<String>,
    /// Sinks with dead letters that are not configured: these stay as they are.
    pub unconfigured: Vec<String>,
}

/// A sink.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SinkView {
    /// Its name.
    pub name: String,
    /// Its kind; `null` for one that is not configured and is still owed something.
    pub kind: Option<String>,
    /// `open`; `gone`: its receiver answered 410 and nothing is sent until a restart;
    /// `unconfigured`: nobody delivers.
    pub state: String,
    /// Since when its receiver is gone.
    pub gone_since: Option<Timestamp>,
    /// Deliveries that are owed.
    pub pending: u64,
    /// Dead letters.
    pub dead: u64,
}

/// All sinks, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SinksView {
    /// The sinks.
    pub sinks: Vec<SinkView>,
}

impl From<StoredDelivery> for DeliveryView {
    fn from(delivery: StoredDelivery) -> Self {
        Self {
            id: delivery.id.to_string(),
            event_id: delivery.event_id.to_string(),
            watch_id: delivery.watch_id.map(|id| id.to_string()),
            type_name: delivery.type_name,
            sink: delivery.sink,
            state: delivery.state.as_str().to_owned(),
            attempts: delivery.attempts_total,
            due_at: delivery.due_at,
            last_status: delivery.last_status,
            last_error: delivery.last_error,
            settled_at: delivery.settled_at,
            gone_since: None,
            history: None,
        }
    }
}

impl From<StoredAttempt> for AttemptView {
    fn from(attempt: StoredAttempt) -> Self {
        Self {
            number: attempt.number,
            at: attempt.at,
            took_ms: u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
            http_status: attempt.http_status,
            error: attempt.error,
            answer: attempt.answer,
        }
    }
}
