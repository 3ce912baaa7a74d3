//! The HTTP body for an event: a `CloudEvent` in one of its two HTTP modes, or the output of a
//! template.

use std::collections::BTreeMap;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::sink::template::Template;

/// The ASCII characters that must be encoded in header values of the binary mode
/// (`CloudEvents` HTTP binding 1.0.2, section 3.1.3.2). Other characters are always encoded.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The form of the body that is posted for an event.
#[derive(Clone)]
pub enum BodyFormat {
    /// The whole `CloudEvent` as the body.
    Structured,
    /// The event's `data` as the body, its other members in headers `ce-…`.
    Binary,
    /// The output of a template, which must be of this content type.
    Template {
        template: Template,
        content_type: HeaderValue,
    },
}

/// A body and the headers that describe it.
#[derive(Debug, PartialEq, Eq)]
pub struct FormattedBody {
    /// The content type and, in binary mode, the attributes of the event.
    pub headers: HeaderMap,
    /// The bytes that are signed and sent.
    pub body: Vec<u8>,
}

impl BodyFormat {
    /// Converts the stored `event` to this form.
    ///
    /// # Errors
    /// The event cannot have this form; another attempt would fail in the same way.
    pub fn of(
        &self,
        event: &str,
        secrets: &BTreeMap<String, SecretString>,
    ) -> Result<FormattedBody, String> {
        match self {
            Self::Structured => Ok(FormattedBody {
                headers: typed(HeaderValue::from_static("application/cloudevents+json")),
                body: event.as_bytes().to_vec(),
            }),
            Self::Binary => binary(event),
            Self::Template {
                template,
                content_type,
            } => {
                let event: Map<String, Value> = serde_json::from_str(event).map_err(unreadable)?;
                Ok(FormattedBody {
                    headers: typed(content_type.clone()),
                    body: template.render(&event, secrets)?,
                })
            }
        }
    }
}

fn typed(content_type: HeaderValue) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, content_type)])
}

#[expect(clippy::needless_pass_by_value, reason = "it goes into `map_err`")]
fn unreadable(error: serde_json::Error) -> String {
    format!("the stored event is not a JSON object: {error}")
}

fn binary(event: &str) -> Result<FormattedBody, String> {
    /// Borrowed as text, so that the data is sent exactly as it was stored.
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let attributes: Map<String, Value> = serde_json::from_str(event).map_err(unreadable)?;
    let data: Data<'_> = serde_json::from_str(event).map_err(unreadable)?;
    let mut headers = HeaderMap::new();
    for (name, value) in &attributes {
        let Some(text) = value.as_str() else { continue };
        let encoded = utf8_percent_encode(text, ENCODED).to_string();
        let value = HeaderValue::from_str(&encoded)
            .map_err(|_| format!("the event's {name} is not allowed in a header"))?;
        let name = match name.as_str() {
            "datacontenttype" => CONTENT_TYPE,
            name => HeaderName::try_from(format!("ce-{name}"))
                .map_err(|_| format!("the event's attribute {name} cannot name a header"))?,
        };
        headers.insert(name, value);
    }
    Ok(FormattedBody {
        headers,
        body: data.data.get().as_bytes().to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"specversion":"1.0","id":"c103c745","source":"/jobwatch/p 1/dcs","subject":"50 % \"done\" é","type":"dev.jobwatch.job.failed","time":"2026-11-22T10:00:00.123Z","datacontenttype":"application/json","data":{"b": 1.0, "a":null}}"#;

    #[test]
    fn structured_mode_sends_the_stored_body() {
        let formatted = BodyFormat::Structured.of(EVENT, &BTreeMap::new()).unwrap();
        assert_eq!(formatted.body, EVENT.as_bytes());
        assert_eq!(
            formatted.headers[CONTENT_TYPE],
            "application/cloudevents+json"
        );
    }

    #[test]
    fn binary_mode_has_attributes_in_headers_and_unchanged_data() {
        let formatted = BodyFormat::Binary.of(EVENT, &BTreeMap::new()).unwrap();
        assert_eq!(formatted.body, br#"{"b": 1.0, "a":null}"#);
        let mut headers: Vec<(&str, &str)> = formatted
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        headers.sort_unstable();
        assert_eq!(
            headers,
            [
                ("ce-id", "c103c745"),
                ("ce-source", "/jobwatch/p%201/dcs"),
                ("ce-specversion", "1.0"),
                ("ce-subject", "50%20%25%20%22done%22%20%C3%A9"),
                ("ce-time", "2026-11-22T10:00:00.123Z"),
                ("ce-type", "dev.jobwatch.job.failed"),
                ("content-type", "application/json"),
            ]
        );
    }
}
