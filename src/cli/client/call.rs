//! One call of the API, before it is sent.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::channel::{Channel, Sender};

/// The parts of a long body that wait for the connection.
const PARTS_MAX: usize = 16;

/// Sends the parts of a long body, one after the other.
pub(crate) type BodySender = Sender<Bytes, io::Error>;

/// A request: its method, path and query, body and time limit.
pub(crate) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<reqwest::Body>,
    pub(super) within: Option<Duration>,
}

impl Call {
    /// Makes a call without a body. The path begins with `/` and may have a query.
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: HeaderMap::new(),
            body: None,
            within: None,
        }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    /// Adds a body of JSON.
    pub(crate) fn json(mut self, body: String) -> Self {
        self.body = Some(body.into());
        self.header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// Adds a body of this type that is sent part by part. It ends when the sender is dropped.
    pub(crate) fn streaming(mut self, content_type: &'static str) -> (Self, BodySender) {
        let (sender, body) = Channel::new(PARTS_MAX);
        self.body = Some(reqwest::Body::wrap(body));
        let content_type = HeaderValue::from_static(content_type);
        (self.header(CONTENT_TYPE, content_type), sender)
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Asks for an answer of this type.
    pub(crate) fn accept(self, content_type: &'static str) -> Self {
        self.header(ACCEPT, HeaderValue::from_static(content_type))
    }

    /// Limits the time: of the whole call, or up to the first byte of a stream.
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.within = Some(limit);
        self
    }
}
