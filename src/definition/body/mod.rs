//! Reads the body of an answer into a tree: JSON, XML as JSON, or plain text.
//!
//! Pure, and linear in the size of the body. JSON is read strictly first. Only a body that
//! fails is read a second time, by [`lenient`], and the result says so. [`json`] keeps the
//! digits of long numbers, [`xml`] makes the tree of an XML document, [`charset`] finds the
//! text of the bytes, and [`cut`] reads the beginning of a body that was too large.

mod charset;
mod cut;
mod json;
mod lenient;
#[cfg(test)]
mod tests;
mod xml;

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The longest text of a body, in bytes, for `@text`.
const TEXT_BYTES_MAX: usize = 1024;
/// The part of a body in which its text is looked for, in bytes: white space may come first.
const TEXT_SEARCHED: usize = 16 * TEXT_BYTES_MAX;

/// The form of the bodies that a definition reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON document; `$` is its root.
    #[default]
    Json,
    /// One XML document, whose root element is the one member of `$`.
    Xml,
    /// Any text; `$` is `null`, and only `@text` reads from it.
    Text,
}

/// A body that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The tree of the body.
    pub root: Value,
    /// True if the body breaks the rules of its format, and was read all the same.
    pub is_lenient: bool,
}

impl Format {
    /// Returns the format of an answer that need not be in the format of its definition, such
    /// as an error: XML if the `Content-Type` says so and the body begins with a tag, else JSON.
    pub fn of_answer(content_type: Option<&str>, body: &[u8]) -> Self {
        let media_type = content_type.unwrap_or_default().split(';').next();
        let media_type = media_type.unwrap_or_default().trim().to_ascii_lowercase();
        let text = trimmed_text(content_type, body);
        if media_type.ends_with("xml") && text.starts_with('<') {
            Self::Xml
        } else {
            Self::Json
        }
    }
}

/// Reads `body`, for which the answer has the header `content_type`. In XML, the elements
/// named in `lists` are always lists.
///
/// # Errors
/// Returns the reason, with the beginning of the body, if it is not one document of `format`.
pub fn parse(
    format: Format,
    lists: &[String],
    content_type: Option<&str>,
    body: &[u8],
) -> Result<Parsed, String> {
    match format {
        Format::Json => parse_json(content_type, body)
            .ok_or_else(|| format!("the body is not JSON: {}", beginning_of(body))),
        Format::Xml => {
            let (text, is_lenient) = xml_text(content_type, body);
            let root = xml::parse(lists, &text)
                .map_err(|why| format!("the body is not XML: {why}; {}", beginning_of(body)))?;
            Ok(Parsed { root, is_lenient })
        }
        Format::Text => Ok(Parsed {
            root: Value::Null,
            is_lenient: false,
        }),
    }
}

/// Reads the beginning of a body whose rest was not received: the members and elements that
/// are whole. Only for states that a later poll can correct, never for an end.
///
/// Returns `None` if no member is whole.
pub fn parse_beginning(
    format: Format,
    lists: &[String],
    content_type: Option<&str>,
    body: &[u8],
) -> Option<Parsed> {
    match format {
        Format::Json => parse_json_beginning(content_type, body),
        Format::Xml => {
            let (text, is_lenient) = xml_text(content_type, body);
            let root = xml::parse_beginning(lists, &text)?;
            Some(Parsed { root, is_lenient })
        }
        Format::Text => Some(Parsed {
            root: Value::Null,
            is_lenient: false,
        }),
    }
}

/// Reads JSON that stands in a text, by the strict rules. Long numbers keep their digits.
pub fn parse_text(text: &str) -> Option<Value> {
    json::strict(text.as_bytes()).ok()
}

/// Returns a body in UTF-16 as UTF-8; any other body is not copied. A secret in UTF-16 cannot be
/// found, so this comes before the secrets are removed.
pub fn in_utf_8(body: Bytes) -> Bytes {
    match charset::from_utf_16(&body) {
        Some(text) => text.into(),
        None => body,
    }
}

/// Returns the text of a body without the white space around it, at most 1 KiB.
pub fn trimmed_text(content_type: Option<&str>, body: &[u8]) -> String {
    let searched = &body[..body.len().min(TEXT_SEARCHED)];
    let text = charset::decode(content_type, searched).text;
    let text = text.trim();
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()
}

fn parse_json(content_type: Option<&str>, body: &[u8]) -> Option<Parsed> {
    if let Ok(root) = json::strict(body) {
        return Some(Parsed {
            root,
            is_lenient: false,
        });
    }
    let text = lenient::sanitise(&charset::decode(content_type, body).text);
    let root = json::strict(text.as_bytes()).ok()?;
    Some(Parsed {
        root,
        is_lenient: true,
    })
}

fn parse_json_beginning(content_type: Option<&str>, body: &[u8]) -> Option<Parsed> {
    let whole_chars = match std::str::from_utf8(body) {
        Ok(text) => Some(text),
        // The end of the part is within a character; the text before it is right.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&body[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    };
    let read = |text: &str| {
        let root = json::strict(cut::close(text)?.as_bytes()).ok()?;
        let is_empty = root.as_object().is_some_and(Map::is_empty) || root == Value::Array(vec![]);
        (!is_empty).then_some(root)
    };
    if let Some(root) = whole_chars.and_then(read) {
        return Some(Parsed {
            root,
            is_lenient: false,
        });
    }
    let text = match whole_chars {
        Some(text) => Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)),
        None => charset::decode(content_type, body).text,
    };
    let root = read(&lenient::sanitise(&text))?;
    Some(Parsed {
        root,
        is_lenient: true,
    })
}

/// Returns the text of an XML document, and true if some of its bytes are not of its charset.
fn xml_text<'a>(content_type: Option<&str>, body: &'a [u8]) -> (Cow<'a, str>, bool) {
    let decoded = match xml::declared_encoding(body) {
        Some(declared) => charset::decode_declared(declared, body),
        None => charset::decode(content_type, body),
    };
    (decoded.text, decoded.is_damaged)
}

/// Quotes the beginning of a body that cannot be read, so that a person can recognise it.
fn beginning_of(body: &[u8]) -> String {
    const SHOWN: usize = 80;
    if body.is_empty() {
        return "it is empty".to_owned();
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
    format!("it begins {text:?}")
}
