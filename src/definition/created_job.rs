//! The job in the answer of the call that creates it: `submit --from-response` and the member
//! `response` of a request.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::definition::answer::{Answer, Asked};
use crate::definition::body::{self, Format};
use crate::definition::reading::by_our_clock;
use crate::definition::selector::{Selectors, View};
use crate::definition::{AnswerForm, Definition, timestamp};

/// The placeholder for the id in a text pattern.
const PLACEHOLDER: &str = "{job_id}";

/// The places of the id, which are tried in this order, and those of the run.
#[derive(Debug, Clone, Default)]
pub struct SubmitAnswer {
    pub(crate) run: Selectors,
    pub(crate) since: Selectors,
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

/// The job that a creating call has named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedJob {
    /// The id of the job.
    pub job_id: String,
    /// The run that the call began, if the answer names it.
    pub run: Option<String>,
    /// The time at which the run began: in the answer or by our clock, the earlier of the two.
    pub since: Option<Timestamp>,
}

impl CreatedJob {
    /// Returns the beginning of the run as a `since`. The clock of the service is known to a second
    /// or two, so a run that began just before counts too.
    pub fn since_with_margin(&self) -> Option<String> {
        let margin = SignedDuration::from_secs(2);
        let began = self.since?;
        Some(began.checked_sub(margin).unwrap_or(began).to_string())
    }
}

/// The reason why an answer names no job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoJob {
    /// The definition does not say where the id is.
    #[error("the definition `{0}` cannot read a job id: it has no [submit] section")]
    NoPlaces(String),
    /// The call did not create a job.
    #[error("it is an error answer (HTTP {0}): no job was created")]
    ErrorAnswer(u16),
    /// The id is at none of the places.
    #[error("it has no job id: the selectors in [submit] of `{0}` find none")]
    NotFound(String),
}

impl Definition {
    /// Returns the job that an answer of the creating call names.
    ///
    /// # Errors
    /// The reason why it names none.
    pub fn created_job(&self, answer: &Answer<'_>, now: Timestamp) -> Result<CreatedJob, NoJob> {
        if self.submit.is_empty() {
            return Err(NoJob::NoPlaces(self.name.clone()));
        }
        if answer.http_status >= 400 {
            return Err(NoJob::ErrorAnswer(answer.http_status));
        }
        let created = self.submit.read(&self.answer, answer, now);
        created.ok_or_else(|| NoJob::NotFound(self.name.clone()))
    }
}

impl SubmitAnswer {
    /// True if the definition names no place of the id.
    pub fn is_empty(&self) -> bool {
        self.job_id.is_empty() && self.header.is_none() && self.text.is_none()
    }

    /// Returns the job in an answer of the call that creates it; `None` without a job id.
    pub fn read(
        &self,
        form: &AnswerForm,
        answer: &Answer<'_>,
        now: Timestamp,
    ) -> Option<CreatedJob> {
        let content_type = answer.content_type();
        let own = match form.format {
            Format::Text => Format::Json,
            format => format,
        };
        let found = Format::of_answer(content_type, answer.body);
        let mut read = [own, found]
            .into_iter()
            .map(|format| body::parse(format, &form.lists, content_type, answer.body));
        let root = read.find_map(Result::ok).map(|parsed| parsed.root);
        let root = root.unwrap_or(Value::Null);
        let view = View {
            root: &root,
            answer,
            asked: &Asked::any(),
            status: None,
        };
        let since = self.since.first_value(view);
        let since = since.and_then(|value| timestamp::read_in(&value, &form.zone).ok().flatten());
        Some(CreatedJob {
            job_id: self.id(view)?,
            run: self.run.all_joined(view),
            // The answer may have been saved a while ago, so its age looks like a clock that is
            // behind. A `since` that is too late would make the job's own end stale.
            since: since.map(|at| by_our_clock(at, answer, now).min(at)),
        })
    }

    fn id(&self, view: View<'_>) -> Option<String> {
        if let Some(id) = self.job_id.first_text(view) {
            return Some(id);
        }
        let Answer { headers, body, .. } = view.answer;
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
    use http::HeaderMap;
    use jiff::tz::TimeZone;

    fn places(selector: &str, header: Option<&'static str>, text: Option<&str>) -> SubmitAnswer {
        let selectors =
            |text: &str| Selectors::new(vec![Selector::compile(text).unwrap()]).unwrap();
        SubmitAnswer {
            run: selectors("$.run"),
            since: selectors("$.began"),
            job_id: selectors(selector),
            header: header.map(http::HeaderName::from_static),
            text: text.map(|text| TextPattern::new(text).unwrap()),
        }
    }

    fn created(places: &SubmitAnswer, headers: &HeaderMap, body: &[u8]) -> Option<CreatedJob> {
        let form = AnswerForm {
            format: Format::Json,
            statuses: Vec::new(),
            lists: Vec::new(),
            zone: TimeZone::UTC,
            max_body: None,
        };
        let answer = Answer {
            http_status: 202,
            headers,
            body,
            is_cut: false,
        };
        places.read(&form, &answer, "2026-11-22T10:00:00Z".parse().unwrap())
    }

    fn id(places: &SubmitAnswer, headers: &HeaderMap, body: &[u8]) -> Option<String> {
        created(places, headers, body).map(|job| job.job_id)
    }

    #[test]
    fn id_is_found_in_json_plain_text_and_a_header() {
        let none = HeaderMap::new();
        let json = places("$.job_id", None, None);
        assert_eq!(id(&json, &none, br#"{"job_id":"a1"}"#), Some("a1".into()));
        assert_eq!(id(&json, &none, br#"{"other":"a1"}"#), None);
        let text = places("$.job_id", None, Some("job_id:{job_id}"));
        assert_eq!(id(&text, &none, b"job_id:ff80 ok\n"), Some("ff80".into()));
        let headers = HeaderMap::from_iter([(
            http::header::LOCATION,
            "https://h/ops/7?v=1".parse().unwrap(),
        )]);
        let header = places("$.x", Some("location"), Some("https://h/{job_id}?"));
        assert_eq!(id(&header, &headers, b""), Some("ops/7".into()));
        let xml = places("$.job.id", None, None);
        let of_xml = HeaderMap::from_iter([(
            http::header::CONTENT_TYPE,
            "application/xml".parse().unwrap(),
        )]);
        assert_eq!(
            id(&xml, &of_xml, b"<job><id>x7</id></job>"),
            Some("x7".into())
        );
    }

    fn since(date: &str, began: &str) -> Option<Timestamp> {
        let date = date.parse().unwrap();
        let headers = HeaderMap::from_iter([(http::header::DATE, date)]);
        let body = format!(r#"{{"id":"a","run":7,"began":"{began}"}}"#);
        let job = created(&places("$.id", None, None), &headers, body.as_bytes()).unwrap();
        assert_eq!(job.run.as_deref(), Some("7"));
        job.since
    }

    /// The clock of the service is an hour ahead.
    #[test]
    fn run_is_read_and_its_time_is_by_our_clock() {
        let since = since("Sun, 22 Nov 2026 11:00:00 GMT", "2026-11-22T10:59:58Z");
        assert_eq!(since, Some("2026-11-22T09:59:58Z".parse().unwrap()));
    }

    /// The answer was saved three minutes ago.
    #[test]
    fn age_of_a_saved_answer_does_not_move_its_since() {
        let began = "2026-11-22T09:56:58Z";
        let since = since("Sun, 22 Nov 2026 09:57:00 GMT", began);
        assert_eq!(since, Some(began.parse().unwrap()));
    }
}
