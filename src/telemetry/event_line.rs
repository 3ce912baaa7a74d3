//! The line of the log about one event of a watch.
//!
//! `tracing` carries no objects, so these lines are composed here. Their JSON has the form of
//! all other lines: `timestamp`, `level`, `message`, the fields, `target`.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use tracing::Level;

/// The `target` of these lines.
const TARGET: &str = "jobwatch::event";
/// The longest id of a job that a terminal shows whole.
const ID_MAX: usize = 16;
/// The characters of a longer id that stay at each end.
const ID_END: usize = 4;

/// One event of a watch, for the log.
#[derive(Debug)]
pub struct EventLine {
    pub level: Level,
    /// The message of the JSON form.
    pub message: String,
    /// The fields of the JSON form, in their order.
    pub fields: Vec<(&'static str, Value)>,
    /// The service of the job, `group`, or `watcher`.
    pub about: String,
    /// The id of the job, or the name of the group or of the blind service.
    pub name: String,
    /// The last word of the event's type, as `failed`.
    pub word: &'static str,
    /// The code of the colour of that word.
    pub colour: Option<&'static str>,
    /// The rest of the line for people: status, code and reason.
    pub rest: String,
}

/// The form of lines for people.
#[derive(Debug, Clone)]
pub(super) struct HumanForm {
    pub(super) has_colours: bool,
    /// The zone of the clock on the wall, for a terminal; elsewhere times are UTC.
    pub(super) zone: Option<TimeZone>,
}

impl HumanForm {
    /// Returns the time as a line begins with it: `10:04:07` for a person at a terminal.
    pub(super) fn time(&self, at: Timestamp) -> String {
        match &self.zone {
            Some(zone) => at.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string(),
            None => at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        }
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.has_colours {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// Returns the line of an event: `10:04:07 sdrs/ff80…0025 failed SDRS.0406: no quota`.
    pub(super) fn line(&self, event: &EventLine, at: Timestamp) -> Vec<u8> {
        let name = match self.zone {
            Some(_) => shortened(&event.name),
            None => event.name.clone(),
        };
        let word = match event.colour {
            Some(code) => self.painted(code, event.word),
            None => event.word.to_owned(),
        };
        let time = self.painted("2", &self.time(at));
        let (about, name) = (printable(&event.about), printable(&name));
        let mut line = format!("{time} {about}/{name} {word}");
        if !event.rest.is_empty() {
            let _ = write!(line, " {}", printable(&event.rest));
        }
        line.push('\n');
        line.into_bytes()
    }
}

impl EventLine {
    /// Returns the line as one JSON object.
    pub(super) fn as_json(&self, at: Timestamp) -> Vec<u8> {
        let mut line = serde_json::to_vec(&Json(self, at)).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

struct Json<'a>(&'a EventLine, Timestamp);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(event, at) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(
            "timestamp",
            &at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        )?;
        map.serialize_entry("level", event.level.as_str())?;
        map.serialize_entry("message", &event.message)?;
        for (name, value) in &event.fields {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("target", TARGET)?;
        map.end()
    }
}

/// Cuts a long id in its middle: ids of one service often begin alike.
fn shortened(id: &str) -> String {
    let count = id.chars().count();
    if count <= ID_MAX {
        return id.to_owned();
    }
    let head: String = id.chars().take(ID_END).collect();
    let tail: String = id.chars().skip(count - ID_END).collect();
    format!("{head}…{tail}")
}

/// Replaces control characters: a line stays one line, and does nothing to a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn failed() -> EventLine {
        EventLine {
            level: Level::WARN,
            message: "failed: sdrs job ff80808282c1a5b20182c1e3f4a50025".to_owned(),
            fields: vec![
                ("job_id", json!("ff80808282c1a5b20182c1e3f4a50025")),
                ("labels", json!({"deploy": "42"})),
            ],
            about: "sdrs".to_owned(),
            name: "ff80808282c1a5b20182c1e3f4a50025".to_owned(),
            word: "failed",
            colour: Some("31"),
            rest: "SDRS.0406: no\nquota".to_owned(),
        }
    }

    fn at() -> Timestamp {
        "2026-11-26T10:04:07.5Z".parse().unwrap()
    }

    fn human(has_colours: bool, zone: Option<&str>) -> String {
        let zone = zone.map(|zone| TimeZone::get(zone).unwrap());
        let form = HumanForm { has_colours, zone };
        String::from_utf8(form.line(&failed(), at())).unwrap()
    }

    #[test]
    fn a_person_at_a_terminal_gets_local_time_and_a_short_id() {
        assert_eq!(
            human(false, Some("Europe/Berlin")),
            "11:04:07 sdrs/ff80…0025 failed SDRS.0406: no\u{fffd}quota\n"
        );
        assert_eq!(
            human(true, Some("UTC")),
            "\u{1b}[2m10:04:07\u{1b}[0m sdrs/ff80…0025 \u{1b}[31mfailed\u{1b}[0m SDRS.0406: no\u{fffd}quota\n"
        );
    }

    #[test]
    fn a_file_for_people_has_utc_and_whole_ids() {
        assert_eq!(
            human(false, None),
            "2026-11-26T10:04:07.500000Z sdrs/ff80808282c1a5b20182c1e3f4a50025 failed SDRS.0406: no\u{fffd}quota\n"
        );
    }

    #[test]
    fn json_has_objects_as_objects() {
        let line = String::from_utf8(failed().as_json(at())).unwrap();
        assert_eq!(
            line,
            "{\"timestamp\":\"2026-11-26T10:04:07.500000Z\",\"level\":\"WARN\",\
             \"message\":\"failed: sdrs job ff80808282c1a5b20182c1e3f4a50025\",\
             \"job_id\":\"ff80808282c1a5b20182c1e3f4a50025\",\"labels\":{\"deploy\":\"42\"},\
             \"target\":\"jobwatch::event\"}\n"
        );
    }
}
