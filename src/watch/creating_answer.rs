//! The answer of the call that created a job, which a submission may bring in place of the id.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An HTTP answer, as far as the client that got it can say.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CreatingAnswer {
    /// The status code; 200 if it is absent.
    #[serde(default = "ok")]
    pub status: u16,
    /// The headers; the case of their names does not matter.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body: a string is its text, any other value is the JSON that it was.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub body: Value,
}

fn ok() -> u16 {
    200
}

impl CreatingAnswer {
    /// Returns the bytes of the body.
    pub fn body_bytes(&self) -> Vec<u8> {
        match &self.body {
            Value::Null => Vec::new(),
            Value::String(text) => text.clone().into_bytes(),
            json => json.to_string().into_bytes(),
        }
    }
}
