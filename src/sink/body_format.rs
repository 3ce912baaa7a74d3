//! What is posted for an event: as a `CloudEvent` in one of its two HTTP modes, or by a
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

/// What a value in a header of the binary mode must not hold as it is (`CloudEvents` HTTP
/// binding 1.0.2, section 3.1.3.2); what is not ASCII is encoded anyway.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The form of what is posted.
#[derive(Clone)]
pub enum BodyFormat {
    /// The whole `CloudEvent` as the body.
    Structured,
    /// The event's `data` as the body, the rest in headers `ce-…`.
    Binary,
    /// What a template makes of the event.
    Template {
        /// The template.
        template: Template,
        /// What its output is.
        content_type: HeaderValue,
    },
}

/// What is posted.
#[derive(Debug, PartialEq, Eq)]
pub struct FormattedBody {
    /// Headers that tell of the body.
    pub headers: HeaderMap,
    /// The body, as it is signed.
    pub body: Vec<u8>,
}

impl BodyFormat {
    /// Gives the stored `event` its form.
    ///
    /// # Errors
    /// It cannot have this form, now or later.
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
    format!("the stored event is no JSON object: {error}")
}

fn binary(event: &str) -> Result<FormattedBody, String> {
    /// As it stands: what was stored is sent, to the last space.
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
            .map_err(|_| format!("the event's {name} cannot stand in a header"))?;
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
