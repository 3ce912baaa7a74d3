//! SDRS: the body of a job and of an error.
//!
//! Source: Storage Disaster Recovery Service API Reference, "Querying the Job Status" and
//! "Error Codes".

use jiff::Timestamp;
use serde::Serialize;

use super::answer::{Answer, ServiceError};
use super::ids;
use super::snapshot::{Defaults, Snapshot};

pub(super) const DEFAULTS: Defaults = Defaults {
    job_type: "createProtectionGroupNoCG",
    code: "SDRS.0405",
    reason: "Failed to execute the job",
};

// The types of the page's second example, a job with sub-jobs.
pub(super) const PARENT_DEFAULTS: Defaults = Defaults {
    job_type: "stopProtectionGroupNoCG",
    ..DEFAULTS
};
pub(super) const PART_DEFAULTS: Defaults = Defaults {
    job_type: "stopProtectionGroupRepNoCG",
    code: "SDRS.0406",
    reason: "Failed to execute the subjob",
};

// The page documents 404 without a code; of the listed codes this is the one that fits.
pub(super) const UNKNOWN_JOB: ServiceError = (404, "SDRS.0408", "Null job");

pub(super) const INTERNAL_ERROR: ServiceError = (500, "SDRS.0013", "Internal error");

#[derive(Serialize)]
struct Body<'a> {
    status: &'a str,
    entities: Entities<'a>,
    job_id: &'a str,
    job_type: &'a str,
    begin_time: String,
    end_time: String,
    error_code: Option<&'a str>,
    fail_reason: Option<&'a str>,
}

// Either one or the other: in the example a job with sub-jobs names no group itself.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Entities<'a> {
    ServerGroupId(&'a str),
    SubJobs(Vec<Body<'a>>),
}

// Documented as top-level `message` and `code`; the example shows them under `error`.
#[derive(Serialize)]
struct ErrorBody {
    error: Error,
}

#[derive(Serialize)]
struct Error {
    message: &'static str,
    code: &'static str,
}

pub(super) fn job(job: &Snapshot<'_>, number: u64) -> Answer {
    let group = ids::server_group_id(number);
    Answer::json(200, &body(job, &group))
}

pub(super) fn error((status, code, message): ServiceError) -> Answer {
    let error = Error { message, code };
    Answer::json(status, &ErrorBody { error })
}

fn body<'a>(job: &'a Snapshot<'_>, group: &'a str) -> Body<'a> {
    let parts = &job.sub_jobs;
    let entities = if parts.is_empty() {
        Entities::ServerGroupId(group)
    } else {
        Entities::SubJobs(parts.iter().map(|part| body(part, group)).collect())
    };
    Body {
        status: job.status,
        entities,
        job_id: &job.job_id,
        job_type: job.job_type,
        begin_time: time_or_empty(job.began),
        end_time: time_or_empty(job.ended),
        error_code: job.code,
        fail_reason: job.reason,
    }
}

// A time that is not there yet is "", as seen in real answers of the same job framework
// (terraform-provider-huaweicloud, issue 1944).
fn time_or_empty(time: Option<Timestamp>) -> String {
    let written = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    time.map(written).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::simulator::job::tests::{at_ms, job as created, members, part};
    use crate::simulator::service::Service;
    use crate::simulator::spec::{Ending, JobSpec};

    fn spec(outcome: Ending) -> JobSpec {
        JobSpec::new(Service::Sdrs, Duration::from_secs(10), outcome)
    }

    fn shown(spec: JobSpec, ms: i64) -> Value {
        let answer = job(&created(spec).snapshot(at_ms(ms)), 7);
        assert_eq!(answer.status, 200);
        serde_json::from_slice(&answer.body).unwrap()
    }

    #[test]
    fn a_job_has_the_members_of_the_documented_example() {
        let example = json!({
            "status": "SUCCESS",
            "entities": {"server_group_id": "a59d008e-4bad-4bf3-9b17-6cc25e7da483"},
            "job_id": "0000000062db92d70162db9d200f000a",
            "job_type": "createProtectionGroupNoCG",
            "begin_time": "2018-04-19T01:55:30.443Z",
            "end_time": "2018-04-19T01:55:45.493Z",
            "error_code": null,
            "fail_reason": null,
        });
        let seen = shown(spec(Ending::Succeeded), 10_000);
        assert_eq!(members(&seen), members(&example));
        assert_eq!(members(&seen["entities"]), members(&example["entities"]));
        assert_eq!(seen["job_type"], example["job_type"]);
        assert_eq!(seen["begin_time"], "1970-01-01T00:00:01.000Z");
        assert_eq!(seen["end_time"], "1970-01-01T00:00:10.000Z");
        assert_eq!(
            [&seen["error_code"], &seen["fail_reason"]],
            [&Value::Null; 2]
        );
    }

    #[test]
    fn sub_jobs_are_whole_jobs_and_the_parent_names_no_group() {
        let sub_jobs = vec![part(Ending::Succeeded), part(Ending::Failed)];
        let seen = shown(
            JobSpec {
                sub_jobs,
                ..spec(Ending::Succeeded)
            },
            10_000,
        );
        assert_eq!(members(&seen["entities"]), ["sub_jobs"]);
        let parts = &seen["entities"]["sub_jobs"];
        assert_eq!(members(&parts[0]), members(&seen));
        assert_eq!(members(&parts[0]["entities"]), ["server_group_id"]);
        assert_eq!(parts[0]["entities"], parts[1]["entities"]);
        assert_eq!([&seen["status"], &parts[1]["status"]], ["SUCCESS", "FAIL"]);
        assert_eq!(parts[1]["error_code"], "SDRS.0406");
        assert_eq!(seen["job_type"], "stopProtectionGroupNoCG");
    }

    #[test]
    fn a_time_not_yet_reached_is_empty() {
        let seen = shown(spec(Ending::Succeeded), 0);
        assert_eq!([&seen["begin_time"], &seen["end_time"]], ["", ""]);
        let seen = shown(spec(Ending::Succeeded), 5_000);
        assert_eq!(seen["end_time"], "");
    }

    #[test]
    fn errors_are_members_of_error() {
        let answer = error(UNKNOWN_JOB);
        let expected = br#"{"error":{"message":"Null job","code":"SDRS.0408"}}"#;
        assert_eq!((answer.status, &answer.body[..]), (404, &expected[..]));
    }
}
