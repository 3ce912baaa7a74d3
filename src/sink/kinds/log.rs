//! Events as log lines: one `tracing` event each, its fields flat, so that whoever reads
//! journald or JSON logs needs no webhook.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use crate::sink::{Attempt, AttemptResult, ConfiguredSink, Parcel, SharedSink, Sink};
use crate::tree::reader::Reader;

/// The word for this kind in the configuration.
pub(super) const KIND: &str = "log";
/// The `tracing` target of all event lines.
pub const TARGET: &str = "jobwatch::event";

/// The ends that a person should look at; these are warnings.
const BAD_ENDS: [&str; 6] = [
    "failed",
    "partial",
    "cancelled",
    "timed_out",
    "lost",
    "unknown",
];

/// Writes events to the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Log;

#[async_trait]
impl Sink for Log {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn concurrency(&self) -> usize {
        // Lines take no time; this many are settled in one transaction.
        64
    }

    async fn deliver(&self, parcel: &Parcel, _now: Timestamp) -> Attempt {
        match serde_json::from_str(&parcel.body) {
            Ok(event) => {
                write(&parcel.type_name, &event);
                Attempt::of(AttemptResult::Delivered)
            }
            Err(error) => Attempt::of(AttemptResult::Failed {
                reason: format!("the stored event is not JSON: {error}"),
                retry_after: None,
            }),
        }
    }
}

impl ConfiguredSink for Log {
    fn target(&self) -> String {
        "this log".to_owned()
    }

    fn set_up(&self) -> Result<SharedSink, String> {
        Ok(Arc::new(*self))
    }
}

/// Reads the settings of a log, which has none.
#[expect(clippy::unnecessary_wraps, reason = "one signature for all kinds")]
pub(super) fn read(_section: &Reader<'_>) -> Option<Box<dyn ConfiguredSink>> {
    Some(Box::new(Log))
}

/// One line. `tracing` wants its fields spelled out, and levels at compile time.
macro_rules! line {
    ($level:expr, $event:ident, $data:ident, $message:expr) => {
        tracing::event!(
            target: TARGET,
            $level,
            event_id = text(&$event["id"]),
            event_type = text(&$event["type"]),
            watch_id = text(&$data["watch_id"]),
            service = text(&$data["service"]),
            definition = text(&$data["definition"]),
            job_id = text(&$data["job_id"]),
            job_type = text(&$data["job_type"]),
            outcome = text(&$data["outcome"]),
            verdict = text(&$data["verdict"]),
            status = text(&$data["status"]),
            code = text(&$data["code"]),
            reason = text(&$data["reason"]),
            began_at = text(&$data["began_at"]),
            ended_at = text(&$data["ended_at"]),
            submitted_at = text(&$data["submitted_at"]),
            noticed_at = text(&$data["noticed_at"]),
            polls = $data["polls"].as_u64(),
            problems = $data["problems"].as_u64(),
            last_problem = nested(&$data["last_problem"]),
            resources = nested(&$data["resources"]),
            children = nested(&$data["children"]),
            labels = nested(&$data["labels"]),
            params = nested(&$data["params"]),
            "{}",
            $message
        )
    };
}

fn write(type_name: &str, event: &Value) {
    let data = &event["data"];
    let what = type_name.rsplit('.').next().unwrap_or(type_name);
    let message = format!(
        "{what}: {} job {}",
        text(&data["service"]).unwrap_or("?"),
        text(&data["job_id"]).unwrap_or("?")
    );
    if BAD_ENDS.contains(&what) {
        line!(tracing::Level::WARN, event, data, message);
    } else {
        line!(tracing::Level::INFO, event, data, message);
    }
}

fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

/// Objects and lists as JSON text; `null` and empty ones are left out.
fn nested(value: &Value) -> Option<String> {
    let is_empty = match value {
        Value::Null => true,
        Value::Object(members) => members.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        _ => false,
    };
    (!is_empty).then(|| value.to_string())
}
