//! The answer to one line, as a line of JSON.

use http::StatusCode;
use serde::Serialize;

use crate::actions::submit::Submission;
use crate::api::error::ApiError;
use crate::watch::WatchId;

/// The answer to one line; its members are those of the answer to a single submission.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    line: u64,
    /// The status; that of an error is among its own members.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<WatchId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ignored: &'a [&'static str],
    #[serde(flatten)]
    error: Option<&'a ApiError>,
}

impl<'a> Report<'a> {
    /// Reports the watch of a line: 201 for a new one, 200 for one that existed.
    pub(super) fn of(line: u64, submission: &'a Submission) -> Self {
        let status = if submission.is_new {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        Self {
            line,
            status: Some(status.as_u16()),
            id: Some(submission.watch.id),
            state: Some(submission.watch.state.as_str()),
            ignored: &submission.ignored,
            error: None,
        }
    }

    /// Reports the error of a line.
    pub(super) fn error(line: u64, error: &'a ApiError) -> Self {
        Self {
            line,
            status: None,
            id: None,
            state: None,
            ignored: &[],
            error: Some(error),
        }
    }

    /// Appends the report and a line break.
    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(&mut *out, self).expect("string keys and a writer that cannot fail");
        out.push(b'\n');
    }
}
