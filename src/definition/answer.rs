//! One answer of a job API, and the job that was asked for.

use std::collections::BTreeMap;

use http::HeaderMap;

use crate::watch::{Labels, Params};

/// One HTTP answer to a poll, as far as it was received.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The HTTP status code of the answer.
    pub http_status: u16,
    /// The headers of the answer.
    pub headers: &'a HeaderMap,
    /// The body, which the caller has decoded and limited in size.
    pub body: &'a [u8],
    /// True if the body is only the beginning of one that is larger than the limit.
    pub is_cut: bool,
}

impl Answer<'_> {
    /// Returns the value of a header without the white space around it; `None` if it is absent
    /// or empty.
    pub fn header(&self, name: &str) -> Option<String> {
        let value = self.headers.get(name)?.as_bytes().trim_ascii();
        (!value.is_empty()).then(|| String::from_utf8_lossy(value).into_owned())
    }

    /// Returns the header `Content-Type`, which names the charset of the body.
    pub fn content_type(&self) -> Option<&str> {
        self.headers.get(http::header::CONTENT_TYPE)?.to_str().ok()
    }

    /// True if the request succeeded as HTTP understands it.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.http_status)
    }
}

/// The job that an answer should be about, with the facts of its watch that conditions may name.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The id of the job; without one the answer may be about any job.
    pub job_id: Option<&'a str>,
    /// The params of the watch and of its service.
    pub params: &'a Params,
    /// The labels of the watch.
    pub labels: &'a Labels,
    /// The run that the watch is about, as far as it is known.
    pub run: Option<&'a str>,
}

/// The values of a watch without params or labels.
static NONE: BTreeMap<String, String> = BTreeMap::new();

impl<'a> Asked<'a> {
    /// Returns a question about any job.
    pub fn any() -> Self {
        Self {
            job_id: None,
            params: &NONE,
            labels: &NONE,
            run: None,
        }
    }

    /// Returns a question about this job, with no params or labels.
    pub fn job(job_id: &'a str) -> Self {
        Self {
            job_id: Some(job_id),
            ..Self::any()
        }
    }
}
