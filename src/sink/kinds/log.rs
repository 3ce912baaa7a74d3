//! Writes events to the log: one `tracing` event each, with flat fields, so that a reader of
//! journald or of JSON logs needs no webhook.
//!
//! The lines are written to [`LogOutput`] directly: the filter of the log does not apply to
//! them, and a line that could not be written is a failed attempt.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::sink::{Attempt, AttemptResult, ConfiguredSink, SharedSink, Sink};
use crate::telemetry::LogOutput;
use crate::tree::reader::Reader;
use crate::watch::delivery::Delivery;
use crate::watch::event::EventKind;
use crate::watch::{Outcome, Severity};

/// The word for this kind in the configuration.
pub(super) const KIND: &str = "log";
/// The `tracing` target of all event lines.
const TARGET: &str = "jobwatch::event";

/// Writes events to the log.
#[derive(Debug)]
pub struct Log {
    output: LogOutput,
}

impl Log {
    /// Returns a sink that writes to `output`.
    pub fn new(output: LogOutput) -> Self {
        Self { output }
    }
}

#[async_trait]
impl Sink for Log {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn concurrency(&self) -> usize {
        // Writing lines is fast; this many are settled in one transaction.
        64
    }

    async fn deliver(&self, delivery: &Delivery, _now: Timestamp) -> Attempt {
        let written = match serde_json::from_str(&delivery.body) {
            Ok(event) => {
                let emit = || emit(&delivery.type_name, &event);
                let written = self.output.write(emit).await;
                written.map_err(|error| format!("cannot write to the log: {error}"))
            }
            Err(error) => Err(format!("the stored event is not JSON: {error}")),
        };
        Attempt::of(match written {
            Ok(()) => AttemptResult::Delivered,
            Err(reason) => AttemptResult::Failed {
                reason,
                retry_after: None,
            },
        })
    }
}

/// The settings of a log sink, which has no keys of its own.
struct LogSettings;

impl ConfiguredSink for LogSettings {
    fn target(&self) -> String {
        "the log of the daemon".to_owned()
    }

    fn set_up(&self, log: &LogOutput) -> Result<SharedSink, String> {
        Ok(Arc::new(Log::new(log.clone())))
    }
}

/// Reads the settings of a log sink.
#[expect(clippy::unnecessary_wraps, reason = "one signature for all kinds")]
pub(super) fn read(_section: &Reader<'_>) -> Option<Box<dyn ConfiguredSink>> {
    Some(Box::new(LogSettings))
}

/// Emits one line. `tracing` requires literal fields and a level that is known at compile time.
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
            run = text(&$data["run"]),
            stage = nested(&$data["stage"]),
            group = text(&$data["group"]),
            members = $data["members"].as_u64(),
            outcomes = nested(&$data["outcomes"]),
            worst = text(&$data["worst"]),
            opened_at = text(&$data["opened_at"]),
            finished_at = text(&$data["finished_at"]),
            confirmations = $data["confirmations"].as_u64(),
            stale = $data["stale"].as_bool(),
            "{}",
            $message
        )
    };
}

fn emit(type_name: &str, event: &Value) {
    let data = &event["data"];
    let name = type_name.rsplit('.').next().unwrap_or(type_name);
    let message = match text(&data["job_id"]) {
        None if type_name == EventKind::GroupFinished.type_name() => format!(
            "{name}: group {}: {}",
            text(&data["group"]).unwrap_or("?"),
            text(&data["reason"]).unwrap_or("?")
        ),
        job_id => format!(
            "{name}: {} job {}",
            text(&data["service"]).unwrap_or("?"),
            job_id.unwrap_or("?")
        ),
    };
    if needs_attention(type_name, data) {
        line!(tracing::Level::WARN, event, data, message);
    } else {
        line!(tracing::Level::INFO, event, data, message);
    }
}

/// True if a person should look at the event; its line is a warning.
fn needs_attention(type_name: &str, data: &Value) -> bool {
    let is_bad = |outcome: Outcome| match outcome.severity() {
        Severity::Bad | Severity::Unclear => true,
        Severity::Good | Severity::Neutral => false,
    };
    match EventKind::from_type_name(type_name) {
        Some(EventKind::Finished(outcome)) => is_bad(outcome),
        Some(EventKind::GroupFinished) => Outcome::deserialize(&data["worst"]).is_ok_and(is_bad),
        Some(
            EventKind::Accepted | EventKind::Changed | EventKind::Held | EventKind::LateResult,
        )
        | None => false,
    }
}

fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

/// Returns objects and lists as JSON text; leaves out `null` and empty ones.
fn nested(value: &Value) -> Option<String> {
    let is_empty = match value {
        Value::Null => true,
        Value::Object(members) => members.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        _ => false,
    };
    (!is_empty).then(|| value.to_string())
}

#[cfg(test)]
mod tests {
    use std::io;

    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::telemetry::LogFormat;

    fn delivery(type_name: &str) -> Delivery {
        let event = json!({
            "id": "e", "type": type_name,
            "data": {"service": "dcs", "job_id": "j", "polls": 3, "labels": {"a": "b"}, "params": {},
                "run": "r", "confirmations": 2},
        });
        Delivery {
            event_id: Uuid::nil(),
            type_name: type_name.to_owned(),
            body: event.to_string(),
            target: None,
        }
    }

    #[tokio::test]
    async fn an_event_is_one_flat_line_with_its_level() {
        let (reader, stream) = io::pipe().unwrap();
        let sink = Log::new(LogOutput::to(LogFormat::Json, stream).unwrap());
        for name in ["dev.jobwatch.job.succeeded", "dev.jobwatch.job.failed"] {
            let attempt = sink.deliver(&delivery(name), Timestamp::UNIX_EPOCH).await;
            assert_eq!(attempt.result, AttemptResult::Delivered);
        }
        drop(sink);
        let text = io::read_to_string(reader).unwrap();
        // Without the time, which comes first.
        let lines: Vec<&str> = text.lines().map(|line| &line[43..]).collect();
        let fields = |name: &str| {
            format!(
                r#""message":"{name}: dcs job j","event_id":"e","event_type":"dev.jobwatch.job.{name}","service":"dcs","job_id":"j","polls":3,"labels":"{{\"a\":\"b\"}}","run":"r","confirmations":2,"target":"jobwatch::event"}}"#
            )
        };
        let expected = [
            format!(r#""level":"INFO",{}"#, fields("succeeded")),
            format!(r#""level":"WARN",{}"#, fields("failed")),
        ];
        assert_eq!(lines, expected);
    }

    #[tokio::test]
    async fn the_end_of_a_group_is_one_flat_line() {
        let (reader, stream) = io::pipe().unwrap();
        let sink = Log::new(LogOutput::to(LogFormat::Json, stream).unwrap());
        let group = Delivery {
            type_name: "dev.jobwatch.group.finished".to_owned(),
            body: json!({
                "id": "e", "type": "dev.jobwatch.group.finished", "subject": "nightly",
                "data": {"watch_id": null, "service": "dcs", "job_id": null, "outcome": "failed",
                    "reason": "1 failed", "group": "nightly", "members": 1, "worst": "failed",
                    "outcomes": {"failed": 1}, "watches": [{"job_id": "j"}], "more": 0},
            })
            .to_string(),
            ..delivery("dev.jobwatch.group.finished")
        };
        let attempt = sink.deliver(&group, Timestamp::UNIX_EPOCH).await;
        assert_eq!(attempt.result, AttemptResult::Delivered);
        drop(sink);
        let text = io::read_to_string(reader).unwrap();
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["message"], "finished: group nightly: 1 failed");
        assert_eq!(
            (&line["group"], &line["worst"]),
            (&json!("nightly"), &json!("failed"))
        );
        assert_eq!(line.get("job_id"), None);
    }

    #[tokio::test]
    async fn a_line_that_is_not_written_is_a_failed_attempt() {
        let (reader, stream) = io::pipe().unwrap();
        let sink = Log::new(LogOutput::to(LogFormat::Json, stream).unwrap());
        drop(reader);
        let parcel = delivery("dev.jobwatch.job.failed");
        let attempt = sink.deliver(&parcel, Timestamp::UNIX_EPOCH).await;
        let AttemptResult::Failed { reason, .. } = attempt.result else {
            panic!("{:?}", attempt.result);
        };
        assert!(reason.starts_with("cannot write to the log: "), "{reason}");
    }
}
