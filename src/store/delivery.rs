//! Deliveries as the store keeps them and lists them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::store::PageCursor;
use crate::watch::WatchId;

/// The most attempts that are kept of one delivery: the latest.
pub const ATTEMPTS_KEPT: u32 = 20;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// Owed.
    Pending,
    /// The sink has the event.
    Delivered,
    /// Given up: a dead letter.
    Dead,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// The word used in SQL, API and CLI.
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

/// A word that is not a state of a delivery.
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

/// A delivery with its history in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDelivery {
    /// Names this delivery.
    pub id: i64,
    /// The event; the same in every attempt.
    pub event_id: Uuid,
    /// The watch the event tells of; `None` when it tells of the watcher itself.
    pub watch_id: Option<WatchId>,
    /// The event's `CloudEvents` type.
    pub type_name: String,
    /// To whom.
    pub sink: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// Attempts made, over all schedules.
    pub attempts_total: u32,
    /// When the next attempt is due by the wall clock, while it is pending.
    pub due_at: Option<Timestamp>,
    /// The HTTP status of the last attempt.
    pub last_status: Option<u16>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was delivered or given up.
    pub settled_at: Option<Timestamp>,
}

/// One attempt, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAttempt {
    /// From 1, over all schedules.
    pub number: u32,
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in whole milliseconds.
    pub took: Duration,
    /// The HTTP status, if there was an answer.
    pub http_status: Option<u16>,
    /// Why it failed.
    pub error: Option<String>,
    /// How the answer begins.
    pub answer: Option<String>,
}

/// Which deliveries are wanted.
#[derive(Debug, Clone, Default)]
pub struct DeliveryQuery {
    /// In this state.
    pub state: Option<DeliveryState>,
    /// To this sink.
    pub sink: Option<String>,
    /// After this one in the list: the `next` of the page before.
    pub before: Option<PageCursor>,
    /// At most so many; at most [`PAGE_MAX`](crate::store::PAGE_MAX).
    pub limit: usize,
}

/// A page of deliveries, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryPage {
    /// The deliveries.
    pub deliveries: Vec<StoredDelivery>,
    /// Where the next page begins, if there is one.
    pub next: Option<PageCursor>,
}

/// The answer to a redrive of one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redriven {
    /// It is owed again, from the first attempt of a new schedule.
    Owed(StoredDelivery),
    /// It is not dead, and stays as it is.
    NotDead(StoredDelivery),
    /// There is no such delivery.
    Missing,
}

/// How many deliveries of one sink are unsettled, or given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkBacklog {
    /// The sink, configured or not.
    pub sink: String,
    /// Owed.
    pub pending: u64,
    /// Given up.
    pub dead: u64,
}
