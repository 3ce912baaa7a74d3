//! Writes events to the log, one line each and many at once, so that a reader of journald or of
//! JSON logs needs no webhook.
//!
//! The lines are written to [`LogOutput`] directly: the filter of the log does not apply to
//! them, and a line that could not be written is a failed attempt.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tracing::Level;

use crate::sink::{Attempt, AttemptResult, BatchSink, ConfiguredSink, SharedSink, Sink};
use crate::telemetry::{EventLine, LogOutput, Unwritten};
use crate::tree::reader::Reader;
use crate::watch::delivery::Delivery;
use crate::watch::event::EventKind;
use crate::watch::{Outcome, Severity};

/// The word for this kind in the configuration.
pub(super) const KIND: &str = "log";

/// The most events in one attempt; they are settled in one transaction. One attempt follows the
/// other, so few events in each would make the log slower than bulk submissions.
const LINES_MAX: usize = 1024;

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
        LINES_MAX
    }

    async fn deliver(&self, delivery: &Delivery, now: Timestamp) -> Attempt {
        let mut attempts = self.deliver_all(std::slice::from_ref(delivery), now).await;
        attempts.swap_remove(0)
    }

    fn as_batch_sink(&self) -> Option<&dyn BatchSink> {
        Some(self)
    }
}

#[async_trait]
impl BatchSink for Log {
    async fn deliver_all(&self, deliveries: &[Delivery], _now: Timestamp) -> Vec<Attempt> {
        let mut lines = Vec::with_capacity(deliveries.len());
        let mut attempts = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            attempts.push(match serde_json::from_str(&delivery.body) {
                Ok(event) => {
                    lines.push(line(&delivery.type_name, &event));
                    Attempt::of(AttemptResult::Delivered)
                }
                Err(error) => failed(format!("the stored event is not JSON: {error}")),
            });
        }
        if let Err(Unwritten { written, error }) = self.output.write(&lines).await {
            let failed = failed(format!("cannot write to the log: {error}"));
            let of_lines = attempts
                .iter_mut()
                .filter(|attempt| attempt.result == AttemptResult::Delivered);
            of_lines
                .skip(written)
                .for_each(|attempt| *attempt = failed.clone());
        }
        attempts
    }
}

fn failed(reason: String) -> Attempt {
    Attempt::of(AttemptResult::Failed {
        reason,
        retry_after: None,
    })
}

/// The settings of a log sink, which has no keys of its own.
struct LogSettings;

#[async_trait]
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

/// The form of a field in the line.
#[derive(Clone, Copy)]
enum Form {
    /// A text; another value is left out.
    Text,
    /// A number or a truth value.
    Plain,
    /// An object or a list, which is left out if it is empty.
    Object,
    /// An object or a list as JSON text, which is left out if it is empty.
    JsonText,
}

/// The fields of a line, in their order; all but the first two are members of `data`.
const FIELDS: [(&str, Form); 35] = [
    ("watch_id", Form::Text),
    ("service", Form::Text),
    ("definition", Form::Text),
    ("job_id", Form::Text),
    ("job_type", Form::Text),
    ("outcome", Form::Text),
    ("verdict", Form::Text),
    ("status", Form::Text),
    ("code", Form::Text),
    ("reason", Form::Text),
    ("began_at", Form::Text),
    ("ended_at", Form::Text),
    ("submitted_at", Form::Text),
    ("noticed_at", Form::Text),
    ("polls", Form::Plain),
    ("problems", Form::Plain),
    ("last_problem", Form::JsonText),
    ("resources", Form::Object),
    ("children", Form::JsonText),
    ("labels", Form::Object),
    ("params", Form::Object),
    ("run", Form::Text),
    ("stage", Form::Object),
    ("confirmations", Form::Plain),
    ("stale", Form::Plain),
    ("group", Form::Text),
    ("members", Form::Plain),
    ("outcomes", Form::Object),
    ("worst", Form::Text),
    ("opened_at", Form::Text),
    ("finished_at", Form::Text),
    ("services", Form::Object),
    ("watches", Form::Plain),
    ("blind_since", Form::Text),
    ("blind_seconds", Form::Plain),
];

impl Form {
    fn of(self, value: &Value) -> Option<Value> {
        let is_empty = match value {
            Value::Null => true,
            Value::Object(members) => members.is_empty(),
            Value::Array(elements) => elements.is_empty(),
            _ => false,
        };
        match self {
            Self::Text => value.is_string().then(|| value.clone()),
            Self::Plain => (value.is_u64() || value.is_boolean()).then(|| value.clone()),
            Self::Object => (!is_empty).then(|| value.clone()),
            Self::JsonText => (!is_empty).then(|| value.to_string().into()),
        }
    }
}

/// Composes the line of an event.
fn line(type_name: &str, event: &Value) -> EventLine {
    let data = &event["data"];
    let kind = EventKind::from_type_name(type_name);
    let word = kind.map_or("event", |kind| last_word(kind.type_name()));
    let (about, name) = match kind {
        Some(EventKind::GroupFinished) => ("group", text(&data["group"])),
        Some(EventKind::Blind | EventKind::Sighted) => ("watcher", text(&event["subject"])),
        _ => (text(&data["service"]).unwrap_or("?"), text(&data["job_id"])),
    };
    let name = name.unwrap_or("?");
    let said = last_word(type_name);
    let message = match kind {
        Some(EventKind::GroupFinished) => {
            let reason = text(&data["reason"]).unwrap_or("?");
            format!("{said}: group {name}: {reason}")
        }
        Some(EventKind::Blind | EventKind::Sighted) => {
            let reason = text(&data["reason"]).unwrap_or("?");
            format!("{said}: {name}: {reason}")
        }
        _ => format!("{said}: {about} job {name}"),
    };
    let own = [("event_id", &event["id"]), ("event_type", &event["type"])];
    let own = own.map(|(name, value)| (name, Form::Text.of(value)));
    let of_data = FIELDS.map(|(name, form)| (name, form.of(&data[name])));
    let fields = own.into_iter().chain(of_data);
    let level = if needs_attention(type_name, data) {
        Level::WARN
    } else {
        Level::INFO
    };
    EventLine {
        level,
        message,
        fields: fields
            .filter_map(|(name, value)| Some((name, value?)))
            .collect(),
        about: about.to_owned(),
        name: name.to_owned(),
        word,
        colour: kind.and_then(|kind| colour(kind, data)),
        rest: rest(kind, data),
    }
}

fn last_word(type_name: &str) -> &str {
    type_name.rsplit('.').next().unwrap_or(type_name)
}

/// Returns the code of the colour: green for good ends, red for bad ones, yellow where a person
/// has to find out.
fn colour(kind: EventKind, data: &Value) -> Option<&'static str> {
    let of = |outcome: Outcome| match outcome.severity() {
        Severity::Good => Some("32"),
        Severity::Bad => Some("31"),
        Severity::Unclear => Some("33"),
        Severity::Neutral => None,
    };
    match kind {
        EventKind::Finished(outcome) => of(outcome),
        EventKind::GroupFinished => Outcome::deserialize(&data["worst"]).ok().and_then(of),
        EventKind::Held | EventKind::LateResult => Some("33"),
        EventKind::Blind => Some("31"),
        EventKind::Sighted => Some("32"),
        EventKind::Accepted | EventKind::Changed => None,
    }
}

/// Returns the code and the reason of an end; the status of a job that goes on.
fn rest(kind: Option<EventKind>, data: &Value) -> String {
    let (code, reason) = (text(&data["code"]), text(&data["reason"]));
    let verdict = text(&data["verdict"]).filter(|_| kind == Some(EventKind::LateResult));
    let explained = match (code, reason) {
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => Some(one.to_owned()),
        (Some(code), Some(reason)) if reason.contains(code) => Some(reason.to_owned()),
        (Some(code), Some(reason)) => Some(format!("{code}: {reason}")),
    };
    let goes_on = matches!(kind, Some(EventKind::Changed | EventKind::Held));
    let status = text(&data["status"]).filter(|_| goes_on);
    let parts = [
        verdict.map(str::to_owned),
        status.map(str::to_owned),
        explained,
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
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
        Some(EventKind::Blind) => true,
        Some(
            EventKind::Accepted
            | EventKind::Changed
            | EventKind::Held
            | EventKind::LateResult
            | EventKind::Sighted,
        )
        | None => false,
    }
}

fn text(value: &Value) -> Option<&str> {
    value.as_str()
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
    async fn an_event_is_one_line_with_its_level() {
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
                r#""message":"{name}: dcs job j","event_id":"e","event_type":"dev.jobwatch.job.{name}","service":"dcs","job_id":"j","polls":3,"labels":{{"a":"b"}},"run":"r","confirmations":2,"target":"jobwatch::event"}}"#
            )
        };
        let expected = [
            format!(r#""level":"INFO",{}"#, fields("succeeded")),
            format!(r#""level":"WARN",{}"#, fields("failed")),
        ];
        assert_eq!(lines, expected);
    }

    /// A stream that takes one write and refuses all others.
    struct Once(bool);

    impl io::Write for Once {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.0, true) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn only_the_lines_after_a_failed_write_are_sent_again() {
        let output = LogOutput::to(LogFormat::Json, Once(false)).unwrap();
        let deliveries = vec![delivery("dev.jobwatch.job.succeeded"); LINES_MAX];
        let sink = Log::new(output);
        let attempts = sink.deliver_all(&deliveries, Timestamp::UNIX_EPOCH).await;
        let is_delivered = |attempt: &Attempt| attempt.result == AttemptResult::Delivered;
        let delivered = attempts.iter().take_while(|it| is_delivered(it)).count();
        assert!((50..LINES_MAX).contains(&delivered), "{delivered}");
        assert!(!attempts[delivered..].iter().any(is_delivered));
    }

    #[test]
    fn a_line_for_people_has_the_reason_of_an_end() {
        let of = |type_name: &str, data: Value| {
            let line = line(type_name, &json!({"data": data}));
            format!("{} {}", line.word, line.rest)
        };
        let data = json!({"status": "FAIL", "code": "SDRS.0406", "reason": "no quota"});
        let failed = of("dev.jobwatch.job.failed", data);
        assert_eq!(failed, "failed SDRS.0406: no quota");
        let data = json!({"status": "RUNNING", "code": null});
        assert_eq!(of("dev.jobwatch.job.changed", data), "changed RUNNING");
        let data = json!({"verdict": "succeeded", "status": "SUCCESS"});
        let late = of("dev.jobwatch.job.late_result", data);
        assert_eq!(late, "late_result succeeded");
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

    #[test]
    fn a_blind_service_is_a_warning_that_names_it() {
        let event = json!({
            "id": "e", "subject": "dcs",
            "data": {"service": "dcs", "services": ["dcs"], "watches": 3, "code": null,
                "reason": "no job could be seen", "blind_seconds": 300},
        });
        let line = line("dev.jobwatch.watcher.blind", &event);
        assert_eq!(line.level, Level::WARN);
        assert_eq!(line.message, "blind: dcs: no job could be seen");
        assert_eq!(
            (line.about.as_str(), line.name.as_str()),
            ("watcher", "dcs")
        );
        assert!(line.fields.contains(&("watches", json!(3))));
        assert!(line.fields.contains(&("services", json!(["dcs"]))));
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
