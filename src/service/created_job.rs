//! The job that the answer of a creating call names, by the definition of the service.

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use crate::definition::answer::Answer;
use crate::definition::created_job::CreatedJob;
use crate::service::Service;
use crate::watch::creating_answer::CreatingAnswer;
use crate::watch::request::Fault;

impl Service {
    /// Returns the job that a creating call made.
    ///
    /// # Errors
    /// A header is not valid, or the answer names no job.
    pub fn created_job(&self, given: &CreatingAnswer, now: Timestamp) -> Result<CreatedJob, Fault> {
        let body = given.body_bytes();
        let answer = Answer {
            http_status: given.status,
            headers: &headers(given)?,
            body: &body,
            is_cut: false,
        };
        let created = self.definition.created_job(&answer, now);
        created.map_err(|why| {
            let name = &self.name;
            Fault::new(
                "response",
                format!("names no job of the service `{name}`: {why}"),
            )
        })
    }
}

fn headers(given: &CreatingAnswer) -> Result<HeaderMap, Fault> {
    let headers = given.headers.iter().map(|(name, value)| {
        let wrong = |what| Fault::new(&format!("response.headers.{name}"), what);
        let valid: HeaderName = name.parse().map_err(|_| wrong("invalid header name"))?;
        let value = HeaderValue::from_str(value).map_err(|_| wrong("invalid header value"))?;
        Ok((valid, value))
    });
    headers.collect()
}
