//! The specification of a simulated job, and its limits.
//!
//! A request for something that the service can never show (an error code on a DCS job,
//! sub-jobs of a DCS job) is refused, because a rehearsal must not seem to test more than it
//! does.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::faults::{Faults, MAX_SLOW, duration};
use super::service::Service;

/// The longest job id in bytes.
pub(super) const MAX_ID_LEN: usize = 256;
/// The longest job type, error code or status in bytes.
pub(super) const MAX_WORD_LEN: usize = 256;
/// The longest failure reason in bytes.
pub(super) const MAX_REASON_LEN: usize = 8192;
/// The most sub-jobs of one job.
pub(super) const MAX_SUB_JOBS: usize = 100;
/// The longest duration of a job, and of any fault.
pub(super) const MAX_DURATION: Duration = Duration::from_hours(365 * 24);

/// The way in which a job ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// With the service's word for success.
    Succeeded,
    /// With the service's word for failure.
    Failed,
    /// It does not end: it runs for ever.
    Never,
}

/// The specification of a job.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// The service to which the job belongs.
    pub service: Service,
    /// The id; when absent, one in the form of the service is made.
    pub job_id: Option<String>,
    /// The type; a documented one when absent.
    pub job_type: Option<String>,
    /// The time from creation to end. The job is pending in the first tenth of it.
    #[serde(deserialize_with = "duration")]
    pub duration: Duration,
    /// The way in which the job ends.
    pub outcome: Ending,
    /// The error code of a failed job; a documented one when absent. DCS shows none.
    pub code: Option<String>,
    /// The reason of a failure; when absent, the text that belongs to the default code.
    pub reason: Option<String>,
    /// The sub-jobs, which end one after the other, before the job itself.
    #[serde(default)]
    pub sub_jobs: Vec<SubJobSpec>,
    /// The faults of its polls.
    #[serde(default)]
    pub faults: Faults,
}

/// The specification of a sub-job.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubJobSpec {
    /// The type; a documented one when absent.
    pub job_type: Option<String>,
    /// The way in which it ends; not [`Ending::Never`], since the job must outlast it.
    pub outcome: Ending,
    /// The error code, if it fails.
    pub code: Option<String>,
    /// The reason, if it fails.
    pub reason: Option<String>,
}

impl JobSpec {
    /// Returns a job without sub-jobs or faults.
    pub fn new(service: Service, duration: Duration, outcome: Ending) -> Self {
        Self {
            service,
            job_id: None,
            job_type: None,
            duration,
            outcome,
            code: None,
            reason: None,
            sub_jobs: Vec::new(),
            faults: Faults::default(),
        }
    }

    /// Reads the body of a `POST /_sim/jobs`.
    ///
    /// # Errors
    /// The message names the wrong key, its value and the allowed values.
    pub fn from_json(body: &[u8]) -> Result<Self, String> {
        let spec: Self = read(body)?;
        spec.check()?;
        Ok(spec)
    }

    /// Checks the limits, and that the service can show such a job.
    ///
    /// # Errors
    /// The message names the wrong key, its value and the allowed values.
    pub(super) fn check(&self) -> Result<(), String> {
        check_text("job_id", self.job_id.as_deref(), MAX_ID_LEN)?;
        check_text("job_type", self.job_type.as_deref(), MAX_WORD_LEN)?;
        check_span("duration", self.duration, MAX_DURATION)?;
        self.check_failure(
            "",
            self.outcome,
            self.code.as_deref(),
            self.reason.as_deref(),
        )?;
        self.check_sub_jobs()?;
        self.faults.check()
    }

    fn check_sub_jobs(&self) -> Result<(), String> {
        let count = self.sub_jobs.len();
        if count > MAX_SUB_JOBS {
            return Err(format!(
                "sub_jobs has {count} items: at most {MAX_SUB_JOBS} are allowed"
            ));
        }
        if self.service == Service::Dcs && count > 0 {
            return Err(format!(
                "sub_jobs has {count} items: a dcs job has no sub-jobs (sfs-turbo and sdrs jobs may)"
            ));
        }
        for (index, sub_job) in self.sub_jobs.iter().enumerate() {
            let at = format!("sub_jobs[{index}].");
            if sub_job.outcome == Ending::Never {
                return Err(format!(
                    "{at}outcome = \"never\": must be one of succeeded, failed"
                ));
            }
            check_text(
                &format!("{at}job_type"),
                sub_job.job_type.as_deref(),
                MAX_WORD_LEN,
            )?;
            let (code, reason) = (sub_job.code.as_deref(), sub_job.reason.as_deref());
            self.check_failure(&at, sub_job.outcome, code, reason)?;
        }
        Ok(())
    }

    fn check_failure(
        &self,
        at: &str,
        outcome: Ending,
        code: Option<&str>,
        reason: Option<&str>,
    ) -> Result<(), String> {
        check_text(&format!("{at}code"), code, MAX_WORD_LEN)?;
        check_text(&format!("{at}reason"), reason, MAX_REASON_LEN)?;
        for (key, value) in [("code", code), ("reason", reason)] {
            if let Some(value) = value.filter(|_| outcome != Ending::Failed) {
                return Err(format!(
                    "{at}{key} = {value:?}: allowed only with outcome \"failed\""
                ));
            }
        }
        match code {
            Some(code) if self.service == Service::Dcs => Err(format!(
                "{at}code = {code:?}: a dcs job has no error code (sfs-turbo and sdrs jobs have)"
            )),
            _ => Ok(()),
        }
    }
}

/// Reads a JSON object.
///
/// # Errors
/// The message names the wrong key.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| format!("not JSON: {error}"))?;
    if !value.is_object() {
        return Err(format!("the body = {value}: must be an object"));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        match path.as_str() {
            "." => error.into_inner().to_string(),
            _ => format!("{path}: {}", error.into_inner()),
        }
    })
}

impl Faults {
    /// Checks the limits of the faults.
    pub(super) fn check(&self) -> Result<(), String> {
        let status = self.unknown_status.as_deref();
        check_text("faults.unknown_status", status, MAX_WORD_LEN)?;
        check_span("faults.slow", self.slow, MAX_SLOW)?;
        check_span("faults.not_found_for", self.not_found_for, MAX_DURATION)?;
        let expiry = self.token_expires_after.unwrap_or_default();
        check_span("faults.token_expires_after", expiry, MAX_DURATION)
    }
}

pub(super) fn check_text(key: &str, text: Option<&str>, max: usize) -> Result<(), String> {
    match text {
        Some("") => Err(format!("{key} = \"\": must not be empty")),
        Some(text) if text.len() > max => Err(format!(
            "{key} has {} bytes: at most {max} are allowed",
            text.len()
        )),
        Some(text) if text.contains(char::is_control) => Err(format!(
            "{key} = {text:?}: control characters are not allowed"
        )),
        _ => Ok(()),
    }
}

pub(super) fn check_span(key: &str, span: Duration, max: Duration) -> Result<(), String> {
    if span <= max {
        return Ok(());
    }
    Err(format!(
        "{key} = {span:?}: must be from 0s to {}s",
        max.as_secs()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::faults::{RetryAfter, Throttle};

    fn failed(service: Service) -> JobSpec {
        JobSpec::new(service, Duration::from_secs(3), Ending::Failed)
    }

    fn part(outcome: Ending) -> SubJobSpec {
        SubJobSpec {
            job_type: None,
            outcome,
            code: None,
            reason: None,
        }
    }

    #[test]
    fn plain_jobs_are_allowed() {
        for service in Service::ALL {
            assert_eq!(failed(service).check(), Ok(()));
        }
    }

    #[test]
    fn jobs_that_a_service_cannot_show_are_refused() {
        let text = || Some("x".to_owned());
        let table = [
            (
                JobSpec {
                    code: text(),
                    ..failed(Service::Dcs)
                },
                "no error code",
            ),
            (
                JobSpec {
                    sub_jobs: vec![part(Ending::Failed)],
                    ..failed(Service::Dcs)
                },
                "no sub-jobs",
            ),
            (
                JobSpec {
                    outcome: Ending::Never,
                    reason: text(),
                    ..failed(Service::Sdrs)
                },
                "reason = \"x\": allowed only with outcome \"failed\"",
            ),
            (
                JobSpec {
                    sub_jobs: vec![part(Ending::Never)],
                    ..failed(Service::Sdrs)
                },
                "sub_jobs[0].outcome = \"never\"",
            ),
            (
                JobSpec {
                    job_id: Some(String::new()),
                    ..failed(Service::Sdrs)
                },
                "job_id = \"\"",
            ),
            (
                JobSpec {
                    job_id: Some("a\nb".into()),
                    ..failed(Service::Sdrs)
                },
                "control characters",
            ),
            (
                JobSpec {
                    reason: Some("x".repeat(9000)),
                    ..failed(Service::Sdrs)
                },
                "reason has 9000 bytes",
            ),
            (
                JobSpec {
                    duration: Duration::MAX,
                    ..failed(Service::Sdrs)
                },
                "duration = ",
            ),
        ];
        for (spec, expected) in table {
            let message = spec.check().unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    fn read(body: &str) -> Result<JobSpec, String> {
        JobSpec::from_json(body.as_bytes())
    }

    #[test]
    fn a_full_request_is_read() {
        let spec = read(
            r#"{"service":"sdrs","job_id":"a1","job_type":"t","duration":"2m","outcome":"failed",
                "code":"SDRS.0407","reason":"no","sub_jobs":[{"outcome":"failed","reason":"r"}],
                "faults":{"server_errors":1,"throttle":{"polls":2,"retry_after":"http-date"},
                "slow":"500ms","torn":3,"not_found_for":"5s","unknown_status":"REBOOTING",
                "token_expires_after":"3s","forbidden":4,"malformed":5}}"#,
        )
        .unwrap();
        assert_eq!(spec.service, Service::Sdrs);
        assert_eq!(spec.duration, Duration::from_mins(2));
        assert_eq!(spec.sub_jobs[0].reason.as_deref(), Some("r"));
        let throttle = Throttle {
            polls: 2,
            retry_after: RetryAfter::HttpDate,
        };
        let expected = Faults {
            server_errors: 1,
            throttle: Some(throttle),
            forbidden: 4,
            malformed: 5,
            torn: 3,
            slow: Duration::from_millis(500),
            not_found_for: Duration::from_secs(5),
            unknown_status: Some("REBOOTING".into()),
            token_expires_after: Some(Duration::from_secs(3)),
        };
        assert_eq!(spec.faults, expected);
    }

    #[test]
    fn refusals_name_the_key_its_value_and_the_allowed_values() {
        let table = [
            ("[]", "the body = []: must be an object"),
            ("{", "not JSON"),
            (
                r#"{"servise":"dcs"}"#,
                "servise: unknown field `servise`, expected one of `service`, ",
            ),
            (
                r#"{"service":"rds"}"#,
                "service: unknown variant `rds`, expected one of `dcs`, `sfs-turbo`, `sdrs`",
            ),
            (
                r#"{"duration":"3s","outcome":"never"}"#,
                "missing field `service`",
            ),
            (
                r#"{"service":"dcs","outcome":"never"}"#,
                "missing field `duration`",
            ),
            (
                r#"{"service":"dcs","duration":"3s"}"#,
                "missing field `outcome`",
            ),
            (
                r#"{"service":"dcs","duration":"soon"}"#,
                "duration: invalid value: string \"soon\", expected a number with a unit",
            ),
            (
                r#"{"service":"dcs","duration":"-3s"}"#,
                "duration: invalid value: string \"-3s\", expected a duration that is not",
            ),
            (
                r#"{"service":"dcs","duration":3}"#,
                "duration: invalid type: integer `3`, expected a string",
            ),
            (
                r#"{"service":"dcs","job_id":7}"#,
                "job_id: invalid type: integer `7`, expected a string",
            ),
            (
                r#"{"sub_jobs":{}}"#,
                "sub_jobs: invalid type: map, expected a sequence",
            ),
            (
                r#"{"service":"sdrs","duration":"1s","outcome":"failed","sub_jobs":[{"outcome":"never"}]}"#,
                "must be one of succeeded, failed",
            ),
        ];
        for (body, expected) in table {
            let message = read(body).unwrap_err();
            assert!(message.contains(expected), "{body}: {message}");
        }
    }

    #[test]
    fn refusals_name_the_path_within_the_faults() {
        let table = [
            (
                r#"{"torn":-1}"#,
                "faults.torn: invalid value: integer `-1`, expected u32",
            ),
            (
                r#"{"slow":"11m"}"#,
                "faults.slow = 660s: must be from 0s to 600s",
            ),
            (
                r#"{"teer":1}"#,
                "faults.teer: unknown field `teer`, expected one of ",
            ),
            (
                r#"{"throttle":{}}"#,
                "faults.throttle: missing field `polls`",
            ),
            (
                r#"{"throttle":{"polls":1,"retry_after":"soon"}}"#,
                "faults.throttle.retry_after: invalid value \"soon\", expected whole seconds",
            ),
        ];
        for (faults, expected) in table {
            let body = format!(
                r#"{{"service":"dcs","duration":"1s","outcome":"never","faults":{faults}}}"#
            );
            let message = read(&body).unwrap_err();
            assert!(message.contains(expected), "{body}: {message}");
        }
    }
}
