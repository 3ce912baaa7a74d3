//! SFS Turbo: the body of a job and of an error.
//!
//! Source: Scalable File Service API Reference, SFS Turbo, "Querying the Status of a Task"
//! and "Error Codes". Fields that do not apply are absent from the example, not null.

use jiff::Timestamp;
use serde::Serialize;

use super::answer::{Answer, ServiceError};
use super::snapshot::{Defaults, Snapshot};

pub(super) const DEFAULTS: Defaults = Defaults {
    job_type: "create_share",
    code: "SFS.TURBO.0005",
    reason: "Internal server error",
};

// The page calls Content-Type mandatory, for a GET as well; this is its 400 example.
pub(super) const BAD_PARAMETER: ServiceError = (400, "SFS.TURBO.0001", "parameter error");

// From "Error Codes"; the page's own 404 example repeats the body of the 400.
pub(super) const UNKNOWN_JOB: ServiceError = (404, "SFS.TURBO.0019", "Invalid Job Id");

pub(super) const INTERNAL_ERROR: ServiceError = (500, "SFS.TURBO.0005", "Internal server error");

#[derive(Serialize)]
struct Body<'a> {
    job_id: &'a str,
    status: &'a str,
    job_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    begin_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fail_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sub_jobs: Vec<Body<'a>>,
}

#[derive(Serialize)]
#[expect(non_snake_case, reason = "the service's own spelling")]
struct ErrorBody {
    errCode: &'static str,
    errMsg: &'static str,
}

pub(super) fn job(job: &Snapshot<'_>) -> Answer {
    Answer::json(200, &body(job))
}

#[expect(non_snake_case, reason = "the service's own spelling")]
pub(super) fn error((status, errCode, errMsg): ServiceError) -> Answer {
    Answer::json(status, &ErrorBody { errCode, errMsg })
}

fn body<'a>(job: &'a Snapshot<'_>) -> Body<'a> {
    Body {
        job_id: &job.job_id,
        status: job.status,
        job_type: job.job_type,
        begin_time: job.began.map(without_zone),
        end_time: job.ended.map(without_zone),
        error_code: job.code,
        fail_reason: job.reason,
        sub_jobs: job.sub_jobs.iter().map(body).collect(),
    }
}

// UTC without saying so: "2016-01-02 15:04:05".
fn without_zone(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
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
        JobSpec::new(Service::SfsTurbo, Duration::from_secs(10), outcome)
    }

    fn shown(spec: JobSpec, ms: i64) -> Value {
        let answer = job(&created(spec).snapshot(at_ms(ms)));
        assert_eq!(answer.status, 200);
        serde_json::from_slice(&answer.body).unwrap()
    }

    #[test]
    fn a_job_has_the_members_of_the_documented_example() {
        let example = json!({
            "job_id": "26f6b565-xxxx-XXXX-xxxx-03f0bd975433",
            "status": "success",
            "job_type": "bind_ldap",
            "begin_time": "2023-07-26 09:33:58",
            "end_time": "2023-07-26 09:33:58",
        });
        let seen = shown(spec(Ending::Succeeded), 10_000);
        assert_eq!(members(&seen), members(&example));
        assert_eq!(seen["status"], "success");
        assert_eq!(seen["begin_time"], "1970-01-01 00:00:01");
        assert_eq!(seen["end_time"], "1970-01-01 00:00:10");
    }

    #[test]
    fn inapplicable_members_are_absent() {
        let waiting = shown(spec(Ending::Failed), 0);
        assert_eq!(members(&waiting), ["job_id", "job_type", "status"]);
        assert_eq!(waiting["status"], "waiting");
        let running = shown(spec(Ending::Failed), 5_000);
        assert_eq!(
            members(&running),
            ["begin_time", "job_id", "job_type", "status"]
        );
        let failed = shown(spec(Ending::Failed), 10_000);
        assert_eq!(failed["error_code"], "SFS.TURBO.0005");
        assert_eq!(failed["fail_reason"], "Internal server error");
    }

    #[test]
    fn sub_jobs_stand_at_the_top_level() {
        let sub_jobs = vec![part(Ending::Failed)];
        let seen = shown(
            JobSpec {
                sub_jobs,
                ..spec(Ending::Succeeded)
            },
            10_000,
        );
        assert_eq!(seen["status"], "success");
        assert_eq!(seen["sub_jobs"][0]["status"], "failed");
        assert!(seen["sub_jobs"][0].get("sub_jobs").is_none());
    }

    #[test]
    fn errors_have_the_documented_members() {
        let answer = error(BAD_PARAMETER);
        let example = br#"{"errCode":"SFS.TURBO.0001","errMsg":"parameter error"}"#;
        assert_eq!((answer.status, &answer.body[..]), (400, &example[..]));
    }
}
