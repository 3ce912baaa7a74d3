//! The API gateway in front of the services: credentials, throttling, unknown paths.
//!
//! Its bodies are `{error_msg, error_code, request_id}`; the codes are those of "API Gateway,
//! Error Codes", the texts those of recorded answers.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serialize;

use super::answer::Answer;
use super::dcs;
use super::faults::{DATE_AHEAD, RetryAfter};
use super::job::Job;
use super::service::Service;
use crate::clock::later;

/// The token of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credential {
    Missing,
    NotAccepted,
    /// A fingerprint: tokens are secrets and are not kept.
    Token(u64),
}

/// The parts of a request that decide its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) credential: Credential,
    pub(super) has_content_type: bool,
    pub(super) id: &'a str,
}

#[derive(Serialize)]
struct Body<'a> {
    error_msg: &'static str,
    error_code: &'static str,
    request_id: &'a str,
}

/// Reads the token of a request; `accepted` lists the accepted ones, if not all are.
pub(super) fn credential(token: Option<&[u8]>, accepted: Option<&[String]>) -> Credential {
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return Credential::Missing;
    };
    if accepted.is_some_and(|good| good.iter().all(|good| good.as_bytes() != token)) {
        return Credential::NotAccepted;
    }
    let mut hasher = DefaultHasher::new();
    token.hash(&mut hasher);
    Credential::Token(hasher.finish())
}

/// Returns the 401 of a request whose token is not accepted for `job` at `now`.
pub(super) fn refusal(
    service: Service,
    job: Option<&Job>,
    request: Request<'_>,
    now: Timestamp,
) -> Option<Answer> {
    match request.credential {
        Credential::Missing => Some(error(401, NO_TOKEN, request.id)),
        Credential::Token(token) if !job.is_some_and(|job| has_expired(job, token, now)) => None,
        Credential::Token(_) | Credential::NotAccepted => Some(match service {
            Service::Dcs => dcs::invalid_token(),
            Service::SfsTurbo | Service::Sdrs => error(401, BAD_TOKEN, request.id),
        }),
    }
}

fn has_expired(job: &Job, token: u64, now: Timestamp) -> bool {
    let first = job
        .polls
        .first_token
        .filter(|first| first.fingerprint == token);
    match (first, job.spec.faults.token_expires_after) {
        (Some(first), Some(life)) => now >= later(first.used, life),
        _ => false,
    }
}

type GatewayError = (&'static str, &'static str);

// The double blanks are in the recorded answer.
const NO_TOKEN: GatewayError = (
    "APIGW.0301",
    "Incorrect  IAM  authentication information: x-auth-token not found",
);
const BAD_TOKEN: GatewayError = (
    "APIGW.0301",
    "Incorrect IAM authentication information: decrypt token fail",
);
const NOT_AUTHORISED: GatewayError = (
    "APIGW.0302",
    "The IAM user is not authorized to access the API",
);
const NO_SUCH_API: GatewayError = (
    "APIGW.0101",
    "The API does not exist or has not been published in the environment",
);
const THROTTLED: GatewayError = (
    "APIGW.0308",
    "The throttling threshold has been reached: policy ip over ratelimit,limit:5,time:5 second",
);

/// Returns the answer for a path or method without an API. For an unknown job, the service
/// answers instead.
pub(super) fn no_such_api(request_id: &str) -> Answer {
    error(404, NO_SUCH_API, request_id)
}

pub(super) fn forbidden(request_id: &str) -> Answer {
    error(403, NOT_AUTHORISED, request_id)
}

pub(super) fn throttled(retry_after: RetryAfter, request_id: &str, now: Timestamp) -> Answer {
    Answer {
        retry_after: retry_after_header(retry_after, now),
        ..error(429, THROTTLED, request_id)
    }
}

/// Returns the value of a `Retry-After` header; `None` if there is none.
pub(super) fn retry_after_header(retry_after: RetryAfter, now: Timestamp) -> Option<String> {
    match retry_after {
        RetryAfter::Absent => None,
        RetryAfter::Seconds(seconds) => Some(seconds.to_string()),
        RetryAfter::HttpDate => Some(http_date(later(now, DATE_AHEAD))),
    }
}

/// Returns a page of the kind that a proxy or a portal sends in place of an API's answer.
pub(super) fn html_page() -> Answer {
    let page = "<!DOCTYPE html>\n<html><head><title>Maintenance</title></head>\
                <body><h1>We will be back soon</h1></body></html>\n";
    Answer::of(200, "text/html;charset=UTF-8", page)
}

/// Formats a time as in `Date` and `Retry-After` (RFC 9110, section 5.6.7).
pub(super) fn http_date(time: Timestamp) -> String {
    // The format begins with the year 1970, and httpdate panics before it.
    httpdate::fmt_http_date(SystemTime::from(time.max(Timestamp::UNIX_EPOCH)))
}

fn error(status: u16, (error_code, error_msg): GatewayError, request_id: &str) -> Answer {
    let body = Body {
        error_msg,
        error_code,
        request_id,
    };
    Answer::json(status, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_checked_without_being_stored() {
        let good = ["secret".to_owned()];
        assert_eq!(credential(None, None), Credential::Missing);
        assert_eq!(credential(Some(b""), None), Credential::Missing);
        assert_eq!(credential(Some(b"x"), Some(&good)), Credential::NotAccepted);
        let seen = credential(Some(b"secret"), Some(&good));
        assert!(matches!(seen, Credential::Token(_)));
        assert!(!format!("{seen:?}").contains("secret"));
        assert_ne!(seen, credential(Some(b"other"), None));
    }

    #[test]
    fn retry_after_is_absent_in_seconds_or_a_date() {
        let now = Timestamp::UNIX_EPOCH;
        let header = |retry_after| throttled(retry_after, "r", now).retry_after;
        assert_eq!(header(RetryAfter::Absent), None);
        assert_eq!(header(RetryAfter::Seconds(2)).as_deref(), Some("2"));
        let date = header(RetryAfter::HttpDate);
        assert_eq!(date.as_deref(), Some("Thu, 01 Jan 1970 00:00:02 GMT"));
    }

    #[test]
    fn bodies_are_as_recorded() {
        let table = [
            (
                throttled(RetryAfter::Absent, "c506", Timestamp::UNIX_EPOCH),
                r#"{"error_msg":"The throttling threshold has been reached: policy ip over ratelimit,limit:5,time:5 second","error_code":"APIGW.0308","request_id":"c506"}"#,
            ),
            (
                no_such_api("0c0e"),
                r#"{"error_msg":"The API does not exist or has not been published in the environment","error_code":"APIGW.0101","request_id":"0c0e"}"#,
            ),
            (
                error(401, NO_TOKEN, "7775"),
                r#"{"error_msg":"Incorrect  IAM  authentication information: x-auth-token not found","error_code":"APIGW.0301","request_id":"7775"}"#,
            ),
        ];
        for (answer, recorded) in table {
            assert_eq!(String::from_utf8(answer.body).unwrap(), recorded);
        }
    }

    #[test]
    fn any_time_can_be_written_as_a_date() {
        assert!(http_date(Timestamp::MIN).starts_with("Thu, 01 Jan 1970"));
        assert!(http_date(Timestamp::MAX).contains("9999"));
    }
}
