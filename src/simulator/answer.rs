//! An HTTP answer, before anything of it is sent.

use std::time::Duration;

use serde::Serialize;

/// An HTTP answer, before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) retry_after: Option<String>,
    /// The path of the next poll.
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
    /// Half of the body is sent, and then the connection is closed.
    pub(super) is_torn: bool,
    /// The wait before anything is sent.
    pub(super) delay: Duration,
}

/// The error body of a service: HTTP status, code, message.
pub(super) type ServiceError = (u16, &'static str, &'static str);

impl Answer {
    /// An answer with a JSON body.
    pub(super) fn json(status: u16, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("bodies have text keys only");
        Self::of(status, "application/json;charset=UTF-8", body)
    }

    /// An answer with any body.
    pub(super) fn of(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            content_type,
            retry_after: None,
            location: None,
            body: body.into(),
            is_torn: false,
            delay: Duration::ZERO,
        }
    }
}
