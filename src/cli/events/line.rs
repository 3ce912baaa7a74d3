//! One event as a line for people.

use std::borrow::Cow;

use serde::Deserialize;

use crate::cli::paint::Paint;
use crate::cli::table::plain;
use crate::watch::Outcome;
use crate::watch::event::EventKind;

/// The beginning of every type of event.
const PREFIX: &str = "dev.jobwatch.";
/// A terminal that is narrower gets two lines.
const WIDE: usize = 60;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    type_name: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow, default)]
    subject: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Data<'a>,
}

#[derive(Default, Deserialize)]
struct Data<'a> {
    #[serde(borrow, default)]
    service: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    code: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
}

/// Writes an event as one line: time, type, job, status, code and reason; on a terminal with
/// fewer than 60 columns as two. A text that is not an event is shown as it is.
pub(super) fn line(event: &str, columns: Option<usize>, paint: Paint) -> String {
    let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(event) else {
        return plain(event);
    };
    let type_name = plain(
        envelope
            .type_name
            .strip_prefix(PREFIX)
            .unwrap_or(&envelope.type_name),
    );
    let type_name = match EventKind::from_type_name(&envelope.type_name) {
        Some(EventKind::Finished(outcome)) => paint.as_state(Outcome::as_str(outcome), &type_name),
        Some(EventKind::LateResult | EventKind::Held | EventKind::Blind) => paint.warn(&type_name),
        _ => type_name,
    };
    let job = match &envelope.data.service {
        // An event about the service itself.
        Some(service) if *service == envelope.subject => plain(service),
        Some(service) => plain(&format!("{service}/{}", envelope.subject)),
        None => plain(&envelope.subject),
    };
    let details = [
        &envelope.data.status,
        &envelope.data.code,
        &envelope.data.reason,
    ];
    let details = details.into_iter().flatten().map(|text| plain(text));
    let details: Vec<String> = std::iter::once(job).chain(details).collect();
    let head = format!("{}  {type_name}", paint.dim(&to_second(&envelope.time)));
    match columns {
        Some(columns) if columns < WIDE => format!("{head}\n  {}", details.join("  ")),
        _ => format!("{head}  {}", details.join("  ")),
    }
}

/// Leaves out the fraction of a second.
fn to_second(time: &str) -> String {
    let time = plain(time);
    match time.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: &str = r#"{"specversion":"1.0","id":"x","source":"/jobwatch/i/dcs",
        "subject":"ff80","type":"dev.jobwatch.job.failed","time":"2026-11-26T10:00:00.123Z",
        "data":{"service":"dcs","status":"FAIL","code":null,"reason":"no\nquota"}}"#;

    #[test]
    fn an_event_is_one_line_or_two_on_a_narrow_terminal() {
        let wide = line(FAILED, Some(80), Paint::none());
        assert_eq!(
            wide,
            "2026-11-26T10:00:00Z  job.failed  dcs/ff80  FAIL  no\u{fffd}quota"
        );
        assert_eq!(line(FAILED, None, Paint::none()), wide);
        assert_eq!(
            line(FAILED, Some(40), Paint::none()),
            "2026-11-26T10:00:00Z  job.failed\n  dcs/ff80  FAIL  no\u{fffd}quota"
        );
    }

    #[test]
    fn an_event_of_a_later_version_is_shown_too() {
        let unknown =
            r#"{"type":"dev.jobwatch.group.finished","time":"2026-11-26T10:00:00Z","subject":"g"}"#;
        assert_eq!(
            line(unknown, None, Paint::none()),
            "2026-11-26T10:00:00Z  group.finished  g"
        );
        assert_eq!(line("no\u{1b}json", None, Paint::none()), "no\u{fffd}json");
    }
}
