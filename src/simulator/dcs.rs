//! DCS: the body of a job and of an error.
//!
//! Source: Distributed Cache Service API Reference, "Querying the Job Execution Result of a
//! Tenant" and "Error Codes".

use jiff::Timestamp;
use serde::Serialize;

use super::answer::{Answer, ServiceError};
use super::snapshot::{Defaults, Snapshot};

// The page lists two types; no code, since the body has no place for one.
pub(super) const DEFAULTS: Defaults = Defaults {
    job_type: "masterStandbySwapJob",
    code: "",
    reason: "Internal service error.",
};

// HTTP 400, not 404: "Querying the Progress of an Online Migration Task", example response.
pub(super) const UNKNOWN_JOB: ServiceError = (400, "DCS.4133", "Instance job is not found.");

pub(super) const INTERNAL_ERROR: ServiceError = (500, "DCS.5070", "Internal service error.");

#[derive(Serialize)]
struct Body<'a> {
    job_id: &'a str,
    job_type: &'a str,
    status: &'a str,
    begin_time: Option<String>,
    end_time: Option<String>,
    fail_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct ErrorBody {
    error_code: &'static str,
    error_msg: &'static str,
}

#[derive(Serialize)]
struct TokenErrorBody {
    error: TokenError,
}

#[derive(Serialize)]
struct TokenError {
    code: &'static str,
    message: &'static str,
    ext_message: Option<&'static str>,
}

pub(super) fn job(job: &Snapshot<'_>) -> Answer {
    let body = Body {
        job_id: &job.job_id,
        job_type: job.job_type,
        status: job.status,
        begin_time: job.began.map(epoch_ms),
        end_time: job.ended.map(epoch_ms),
        fail_reason: job.reason,
    };
    Answer::json(200, &body)
}

// The tables list an `error_ext_msg` that is always null; the examples leave it out.
pub(super) fn error((status, error_code, error_msg): ServiceError) -> Answer {
    Answer::json(
        status,
        &ErrorBody {
            error_code,
            error_msg,
        },
    )
}

/// Returns the answer to an invalid or expired token.
///
/// It is documented as flat; the real answer is nested (terraform-provider-opentelekomcloud,
/// issue 2455).
pub(super) fn invalid_token() -> Answer {
    let error = TokenError {
        code: "111401001",
        message: "Invalid token.",
        ext_message: None,
    };
    Answer::json(401, &TokenErrorBody { error })
}

// Text, although it is a number: "The format is 1684191545379."
fn epoch_ms(time: Timestamp) -> String {
    time.as_millisecond().to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::simulator::job::tests::{at_ms, job as created, members};
    use crate::simulator::service::Service;
    use crate::simulator::spec::{Ending, JobSpec};

    fn shown(outcome: Ending, ms: i64) -> Value {
        let spec = JobSpec::new(Service::Dcs, Duration::from_secs(10), outcome);
        let answer = job(&created(spec).snapshot(at_ms(ms)));
        assert_eq!(answer.status, 200);
        serde_json::from_slice(&answer.body).unwrap()
    }

    #[test]
    fn a_job_has_the_members_of_the_documented_example() {
        let example = json!({
            "job_id": "ff8080818822bbf70188235afc24141a",
            "job_type": "masterStandbySwapJob",
            "status": "SUCCESS",
            "begin_time": "1684191545379",
            "end_time": "1684191548248",
            "fail_reason": null,
        });
        let seen = shown(Ending::Succeeded, 10_000);
        assert_eq!(members(&seen), members(&example));
        assert_eq!(seen["status"], "SUCCESS");
        assert_eq!(seen["begin_time"], "1000");
        assert_eq!(seen["end_time"], "10000");
        assert_eq!(seen["fail_reason"], Value::Null);
    }

    #[test]
    fn a_failed_job_gives_a_reason_and_no_code() {
        let seen = shown(Ending::Failed, 10_000);
        assert_eq!(seen["status"], "FAIL");
        assert_eq!(seen["fail_reason"], "Internal service error.");
        assert!(seen.get("error_code").is_none());
    }

    #[test]
    fn a_job_in_progress_has_no_end() {
        let seen = shown(Ending::Succeeded, 5_000);
        assert_eq!(
            (&seen["status"], &seen["end_time"]),
            (&json!("RUNNING"), &Value::Null)
        );
    }

    #[test]
    fn errors_are_as_recorded() {
        let unknown = error(UNKNOWN_JOB);
        let recorded = br#"{"error_code":"DCS.4133","error_msg":"Instance job is not found."}"#;
        assert_eq!((unknown.status, &unknown.body[..]), (400, &recorded[..]));
        let refused = invalid_token();
        let recorded =
            br#"{"error":{"code":"111401001","message":"Invalid token.","ext_message":null}}"#;
        assert_eq!((refused.status, &refused.body[..]), (401, &recorded[..]));
    }
}
