//! The JSON forms of deliveries and sinks, shared by the API and the commands.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::schema;
use crate::store::delivery::{StoredAttempt, StoredDelivery};

/// A delivery. Absent values are `null`; times are RFC 3339, UTC.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Delivery)]
pub(crate) struct DeliveryView {
    /// The number of this delivery; a string, so that JavaScript keeps it exact.
    pub(crate) id: String,
    /// The event's id, the same in every attempt: receivers use it to drop repetitions.
    pub(crate) event_id: String,
    /// The watch that the event is about.
    pub(crate) watch_id: Option<String>,
    /// The event's `CloudEvents` type, such as `dev.jobwatch.job.failed`.
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    pub(crate) sink: String,
    /// The state of the delivery: `pending`, `delivered` or `dead`.
    #[schema(value_type = schema::DeliveryState)]
    pub(crate) state: String,
    /// The number of attempts, those before a redrive included.
    pub(crate) attempts: u32,
    /// The time of the next attempt; absent unless it is pending.
    pub(crate) due_at: Option<Timestamp>,
    /// The HTTP status of the last attempt, if an answer came.
    pub(crate) last_status: Option<u16>,
    /// The reason of the last failure, in words.
    pub(crate) last_error: Option<String>,
    /// The time at which it was delivered or became a dead letter.
    pub(crate) settled_at: Option<Timestamp>,
    /// The time at which the receiver of its sink answered 410: nothing is sent until a
    /// restart. Absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gone_since: Option<Timestamp>,
    /// The latest attempts, oldest first; absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) history: Option<Vec<AttemptView>>,
}

/// One attempt of a delivery. Of an answer only the beginning is kept, and none of a success at
/// the first attempt.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Attempt)]
pub(crate) struct AttemptView {
    /// Counts from 1, over all schedules: a redrive goes on counting.
    pub(crate) number: u32,
    pub(crate) at: Timestamp,
    pub(crate) took_ms: u64,
    pub(crate) http_status: Option<u16>,
    pub(crate) error: Option<String>,
    pub(crate) answer: Option<String>,
}

/// A page of deliveries, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Deliveries)]
pub(crate) struct DeliveryPageView {
    pub(crate) deliveries: Vec<DeliveryView>,
    /// The `cursor` of the next page; absent on the last.
    pub(crate) next: Option<String>,
}

/// The result of redriving the dead letters of several sinks.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = Redriven)]
pub(crate) struct RedriveView {
    /// The number of deliveries that are pending again.
    pub(crate) redriven: u64,
    /// The same number for each sink.
    pub(crate) by_sink: BTreeMap<String, u64>,
    /// Sinks among these whose receiver is gone (410): they wait until a restart.
    pub(crate) gone: Vec<String>,
    /// Sinks with dead letters that are not configured: these stay as they are.
    pub(crate) unconfigured: Vec<String>,
}

/// A sink and the number of its deliveries.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Sink)]
pub(crate) struct SinkView {
    pub(crate) name: String,
    /// Its kind; `null` if it is not configured.
    pub(crate) kind: Option<String>,
    /// `open`; `gone`: its receiver answered 410, and nothing is sent until a restart;
    /// `unconfigured`: its deliveries are kept, but not sent.
    pub(crate) state: String,
    /// The time at which its receiver answered 410.
    pub(crate) gone_since: Option<Timestamp>,
    pub(crate) pending: u64,
    pub(crate) dead: u64,
}

/// The configured sinks, and any other that still has deliveries; sorted by name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Sinks)]
pub(crate) struct SinksView {
    pub(crate) sinks: Vec<SinkView>,
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
