//! The job id in the answer of the call that creates the job: `submit --from-response`.

use http::HeaderMap;
use serde_json::Value;

use crate::definition::selector::{Selectors, View};

/// The placeholder for the id in a text pattern.
const PLACEHOLDER: &str = "{job_id}";

/// The places of the id. They are tried in this order.
#[derive(Debug, Clone, Default)]
pub struct SubmitAnswer {
    pub(crate) job_id: Selectors,
    pub(crate) header: Option<http::HeaderName>,
    pub(crate) text: Option<TextPattern>,
}

/// The texts before and after the id in a header or a plain body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextPattern {
    before: String,
    after: String,
}

impl TextPattern {
    /// Reads a pattern such as `job_id:{job_id}`.
    ///
    /// # Errors
    /// The pattern has no `{job_id}`.
    pub fn new(pattern: &str) -> Result<Self, String> {
        let (before, after) = pattern
            .split_once(PLACEHOLDER)
            .ok_or_else(|| format!("\"{pattern}\" must contain {PLACEHOLDER}"))?;
        Ok(Self {
            before: before.to_owned(),
            after: after.to_owned(),
        })
    }

    /// Returns the id: the text between the two, or up to white space if nothing follows.
    fn find(&self, text: &str) -> Option<String> {
        let (_, rest) = text.split_once(self.before.as_str())?;
        let id = if self.after.is_empty() {
            rest.split_whitespace().next().unwrap_or_default()
        } else {
            rest.split_once(self.after.as_str())?.0
        };
        (!id.is_empty()).then(|| id.to_owned())
    }
}

impl SubmitAnswer {
    /// True if the definition names no place of the id.
    pub fn is_empty(&self) -> bool {
        self.job_id.is_empty() && self.header.is_none() && self.text.is_none()
    }

    /// Returns the job id in an answer of the call that creates the job; `None` if it is absent.
    pub fn job_id(&self, http_status: u16, headers: &HeaderMap, body: &[u8]) -> Option<String> {
        if let Ok(root) = serde_json::from_slice::<Value>(body) {
            let view = View {
                root: &root,
                http_status,
                status: None,
            };
            if let Some(id) = self.job_id.first_text(view) {
                return Some(id);
            }
        }
        let header = self.header.as_ref().and_then(|name| headers.get(name));
        if let Some(value) = header.and_then(|value| value.to_str().ok()) {
            return match &self.text {
                Some(pattern) => pattern.find(value),
                None => Some(value.to_owned()),
            };
        }
        let text = std::str::from_utf8(body).ok()?;
        self.text.as_ref()?.find(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::selector::Selector;

    fn answer(selector: &str, header: Option<&'static str>, text: Option<&str>) -> SubmitAnswer {
        SubmitAnswer {
            job_id: Selectors::new(vec![Selector::compile(selector).unwrap()]).unwrap(),
            header: header.map(http::HeaderName::from_static),
            text: text.map(|text| TextPattern::new(text).unwrap()),
        }
    }

    #[test]
    fn id_is_found_in_json_plain_text_and_a_header() {
        let none = HeaderMap::new();
        let json = answer("$.job_id", None, None);
        assert_eq!(
            json.job_id(200, &none, br#"{"job_id":"a1"}"#),
            Some("a1".into())
        );
        assert_eq!(json.job_id(200, &none, br#"{"other":"a1"}"#), None);
        let text = answer("$.job_id", None, Some("job_id:{job_id}"));
        assert_eq!(
            text.job_id(200, &none, b"job_id:ff80 ok\n"),
            Some("ff80".into())
        );
        let headers = HeaderMap::from_iter([(
            http::header::LOCATION,
            "https://h/ops/7?v=1".parse().unwrap(),
        )]);
        let header = answer("$.x", Some("location"), Some("https://h/{job_id}?"));
        assert_eq!(header.job_id(202, &headers, b""), Some("ops/7".into()));
    }
}
