//! An event on its way to a sink: the deliveries of a change, and the input of a sink.

use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use crate::watch::CallbackUrl;

/// The longest time from a failed attempt to the next one, for every schedule and receiver. A
/// store that finds a delivery due later than that makes it due at once: the clock was set
/// back between two starts.
pub const RETRY_DELAY_MAX: Duration = Duration::from_hours(27);

/// The place to which one delivery goes, if it is not the place of its sink. It may be a
/// secret in itself, so `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub struct Target(pub String);

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Target([REDACTED])")
    }
}

impl From<&CallbackUrl> for Target {
    fn from(url: &CallbackUrl) -> Self {
        Self(url.0.clone())
    }
}

/// One sink to which an event is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// The name of the sink in the configuration, or `callback`.
    pub sink: String,
    /// The place to send to; `None` for the place of the sink.
    pub target: Option<Target>,
}

impl Owed {
    /// Makes a delivery to the place of the sink `name`.
    pub fn to(name: impl Into<String>) -> Self {
        Self {
            sink: name.into(),
            target: None,
        }
    }
}

/// One event, ready to be sent to one sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The id of the event; the same in every attempt, and for every event about the same fact.
    pub event_id: Uuid,
    /// The `type` attribute of the `CloudEvent`.
    pub type_name: String,
    /// The `CloudEvent` in structured JSON, as it is stored.
    pub body: String,
    /// The place to send to; `None` for the place of the sink.
    pub target: Option<Target>,
}
