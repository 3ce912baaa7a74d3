//! Deliveries and their attempts as the store keeps and lists them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::store::PageCursor;
use crate::watch::WatchId;

/// The number of attempts that are kept of one delivery: the latest ones.
pub const ATTEMPTS_KEPT: u32 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// Not delivered yet; it will be attempted.
    Pending,
    /// The sink has the event.
    Delivered,
    /// Given up; it is a dead letter.
    Dead,
}

impl DeliveryState {
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// Returns the word for this state in SQL, API and CLI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error for a word that is not a state of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a state of a delivery")]
pub struct UnknownDeliveryState(pub String);

impl FromStr for DeliveryState {
    type Err = UnknownDeliveryState;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| UnknownDeliveryState(word.to_owned()))
    }
}

/// A delivery with a summary of its attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDelivery {
    pub id: i64,
    /// The id of the event, the same in every attempt.
    pub event_id: Uuid,
    /// The watch that the event is about; `None` if it is about jobwatch itself.
    pub watch_id: Option<WatchId>,
    pub type_name: String,
    pub sink: String,
    pub state: DeliveryState,
    /// The number of attempts in all schedules.
    pub attempts_total: u32,
    /// The time of the next attempt by the wall clock, while the delivery is pending.
    pub due_at: Option<Timestamp>,
    /// The HTTP status of the last attempt.
    pub last_status: Option<u16>,
    /// The reason why the last attempt failed.
    pub last_error: Option<String>,
    /// The time at which it was delivered or given up.
    pub settled_at: Option<Timestamp>,
}

/// One attempt as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAttempt {
    /// The number of the attempt in all schedules, from 1.
    pub number: u32,
    pub at: Timestamp,
    /// The duration, in whole milliseconds.
    pub took: Duration,
    /// The HTTP status, if there was an answer.
    pub http_status: Option<u16>,
    pub error: Option<String>,
    /// The beginning of the answer, without control characters.
    pub answer: Option<String>,
}

/// The filter and the position of a list of deliveries. A delivery must match every part that is
/// set; those about a watch match no delivery of an event that is about none.
#[derive(Debug, Clone, Default)]
pub struct DeliveryQuery {
    /// The states; one of them must match. Empty: every state.
    pub states: Vec<DeliveryState>,
    pub sink: Option<String>,
    pub watch: Option<WatchId>,
    /// The service of the watch.
    pub service: Option<String>,
    /// The job of the watch.
    pub job_id: Option<String>,
    /// The labels that the watch must carry, with these values.
    pub labels: Vec<(String, String)>,
    /// Deliveries of events that were noticed at this time or later.
    pub since: Option<Timestamp>,
    /// Deliveries of events that were noticed before this time.
    pub until: Option<Timestamp>,
    /// The `next` of the previous page; without it, the list begins at the newest delivery.
    pub before: Option<PageCursor>,
    /// The size of the page, at most [`PAGE_MAX`](crate::store::PAGE_MAX).
    pub limit: usize,
}

/// A page of deliveries, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryPage {
    pub deliveries: Vec<StoredDelivery>,
    /// The start of the next page; `None` on the last page.
    pub next: Option<PageCursor>,
}

/// The answer to a redrive of one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redriven {
    /// The delivery is pending again, at the first attempt of a new schedule.
    Owed(StoredDelivery),
    /// The delivery is not dead and was left as it is.
    NotDead(StoredDelivery),
    /// The store has no delivery with this id.
    Missing,
}

/// The number of deliveries of one sink that are pending or dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkBacklog {
    /// The name of the sink, which may have been removed from the configuration.
    pub sink: String,
    pub pending: u64,
    pub dead: u64,
}
