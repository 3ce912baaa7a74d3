//! The bodies of a resource: JSON, JSON with odd bytes, and XML.

use std::fmt::Write;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::spec::BodyFormat;
use crate::simulator::answer::Answer;

/// The beginning of a body that only a lenient reader understands: a byte that is not UTF-8, a
/// control character within a string, and a number that JSON does not have.
const ODD_BYTES: &[u8] = b"{\"note\":\"caf\xe9 \x01\",\"load\":NaN,";

const XML: &str = "application/xml;charset=UTF-8";

/// A resource at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Shown<'a> {
    pub(super) id: &'a str,
    pub(super) run: &'a str,
    pub(super) status: &'a str,
    pub(super) began_at: Timestamp,
    pub(super) ended_at: Option<Timestamp>,
    pub(super) message: Option<&'a str>,
}

/// Returns the answer that shows a resource.
pub(super) fn resource(format: BodyFormat, shown: &Shown<'_>, has_odd_bytes: bool) -> Answer {
    match format {
        BodyFormat::Xml => xml(200, "resource", &elements(shown)),
        BodyFormat::Json => {
            let mut answer = Answer::json(200, shown);
            if has_odd_bytes {
                answer.body.splice(..1, ODD_BYTES.iter().copied());
            }
            answer
        }
    }
}

/// Returns the answer for a resource that is not there.
pub(super) fn unknown(format: BodyFormat) -> Answer {
    error(format, 404, "there is no such resource")
}

pub(super) fn error(format: BodyFormat, status: u16, message: &str) -> Answer {
    match format {
        BodyFormat::Json => Answer::json(status, &json!({ "error": message })),
        BodyFormat::Xml => xml(status, "error", &escaped(message)),
    }
}

fn elements(shown: &Shown<'_>) -> String {
    let began_at = shown.began_at.to_string();
    let ended_at = shown.ended_at.map(|at| at.to_string());
    let members = [
        ("id", Some(shown.id)),
        ("run", Some(shown.run)),
        ("status", Some(shown.status)),
        ("began_at", Some(began_at.as_str())),
        ("ended_at", ended_at.as_deref()),
        ("message", shown.message),
    ];
    members
        .iter()
        .fold(String::new(), |mut text, (name, value)| {
            if let Some(value) = value {
                let _ = write!(text, "<{name}>{}</{name}>", escaped(value));
            }
            text
        })
}

fn xml(status: u16, root: &str, content: &str) -> Answer {
    let head = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
    let body = format!("{head}\n<{root}>{content}</{root}>\n");
    Answer::of(status, XML, body)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
