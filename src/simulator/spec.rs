//! What a job of the simulator shall do, and what may be asked for.
//!
//! A request that names something the service could never show (an error code on a DCS
//! job, sub-jobs of a DCS job) is refused rather than quietly trimmed: a rehearsal that
//! looks as if it tested more than it did is worse than none.

use std::time::Duration;

use serde::Serialize;

use super::faults::{Faults, MAX_SLOW};
use super::service::Service;

/// The longest job id.
pub(super) const MAX_ID_LEN: usize = 256;
/// The longest job type, error code or status.
pub(super) const MAX_WORD_LEN: usize = 256;
/// The longest failure reason.
pub(super) const MAX_REASON_LEN: usize = 8192;
/// Most sub-jobs of one job.
pub(super) const MAX_SUB_JOBS: usize = 100;
/// The longest a job may run, and the longest any fault may last.
pub(super) const MAX_DURATION: Duration = Duration::from_hours(365 * 24);

/// How a job ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// With the service's word for success.
    Succeeded,
    /// With the service's word for failure.
    Failed,
    /// Not at all: it runs for ever.
    Never,
}

/// A job to simulate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSpec {
    /// The service whose job it is.
    pub service: Service,
    /// Its id; one of the service's form is made up when absent.
    pub job_id: Option<String>,
    /// Its type; a documented one when absent.
    pub job_type: Option<String>,
    /// From creation to end. The first tenth of it the job is pending.
    pub duration: Duration,
    /// How it ends.
    pub outcome: Ending,
    /// The error code of a failed job; a documented one when absent. DCS shows none.
    pub code: Option<String>,
    /// Why it failed; the text that belongs to the default code when absent.
    pub reason: Option<String>,
    /// Sub-jobs. They finish one after the other, before the job itself.
    pub sub_jobs: Vec<SubJobSpec>,
    /// What goes wrong with its polls.
    pub faults: Faults,
}

/// A part of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubJobSpec {
    /// Its type; a documented one when absent.
    pub job_type: Option<String>,
    /// How it ends: [`Ending::Never`] is not possible, since the job must outlast it.
    pub outcome: Ending,
    /// The error code, when it failed.
    pub code: Option<String>,
    /// Why it failed.
    pub reason: Option<String>,
}

impl JobSpec {
    /// A job without sub-jobs or faults.
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

    /// What is wrong with this job, if anything: the key, its value and what is allowed.
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

impl Faults {
    fn check(&self) -> Result<(), String> {
        let status = self.unknown_status.as_deref();
        check_text("faults.unknown_status", status, MAX_WORD_LEN)?;
        check_span("faults.slow", self.slow, MAX_SLOW)?;
        check_span("faults.not_found_for", self.not_found_for, MAX_DURATION)?;
        let expiry = self.token_expires_after.unwrap_or_default();
        check_span("faults.token_expires_after", expiry, MAX_DURATION)
    }
}

fn check_text(key: &str, text: Option<&str>, max: usize) -> Result<(), String> {
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

fn check_span(key: &str, span: Duration, max: Duration) -> Result<(), String> {
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
        for (_, service) in Service::NAMES {
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
}
