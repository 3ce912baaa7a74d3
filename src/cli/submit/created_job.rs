//! The job in the answer of the call that created it.

use crate::cli::config_args::ConfigArgs;
use crate::cli::response::Response;
use crate::clock::SystemClock;
use crate::definition::Definition;
use crate::definition::answer::Answer;
use crate::definition::created_job;
use crate::definition::created_job::CreatedJob;

/// The reason why an answer gives no job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoJob {
    /// The service refused to create the job, with this HTTP status.
    Refused(u16),
    /// The answer, or the definition, does not name the job: the reason in words.
    Unnamed(String),
}

/// Returns the definition of a service if it is configured on this machine; otherwise services
/// often have the name of their definition.
pub(crate) fn definition_of(service: &str, config: &ConfigArgs) -> String {
    let configured = || {
        let services = config.load().ok()?.settings.services;
        Some(services.get(service)?.definition.name.clone())
    };
    configured().unwrap_or_else(|| service.to_owned())
}

/// Reads the job from the body of the answer, or from its head and body as `curl -i` prints them.
pub(crate) fn read(definition: &Definition, bytes: &[u8]) -> Result<CreatedJob, NoJob> {
    let response = Response::read(bytes).map_err(NoJob::Unnamed)?;
    let answer = Answer {
        http_status: response.http_status,
        headers: &response.headers,
        body: &response.body,
        is_cut: false,
    };
    let now = SystemClock::shared().now();
    let created = definition.created_job(&answer, now);
    created.map_err(|reason| match reason {
        created_job::NoJob::ErrorAnswer(status) => NoJob::Refused(status),
        reason => NoJob::Unnamed(reason.to_string()),
    })
}
