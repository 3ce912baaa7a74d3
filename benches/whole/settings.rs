//! The settings of the daemon under measurement, and the requests to it.

use std::net::SocketAddr;
use std::ops::Range;

use crate::stub;

/// The settings without a sink: no watch of the benchmark is held.
pub(crate) const NO_SINK: &str = "[sinks.log]\nevents = [\"job.held\"]\n";
/// The settings with the ends of jobs in the log.
pub(crate) const ENDS_IN_LOG: &str = "[sinks.log]\nevents = [\"finished\"]\n";
/// The settings with every event in the log, as without any settings.
pub(crate) const ALL_IN_LOG: &str = "[sinks.log]\nkind = \"log\"\n";
/// The polls of jobs that are not polled while the benchmark runs.
pub(crate) const NO_POLLS: &str = "first = \"20h\", initial = \"20h\", max = \"20h\"";
/// The polls at the fastest pace.
pub(crate) const SATURATED: &str = "first = \"0s\", initial = \"1ms\", max = \"1ms\", jitter = 0.0";

/// The polls in progress at the same time, and so the connections.
pub(crate) const CONCURRENCY: u64 = 64;

/// Composes the settings of the service at this address.
pub(crate) fn service(cloud: SocketAddr, poll: &str) -> String {
    format!(
        "[services.sdrs]\ndefinition = \"sdrs\"\nurl = \"http://{cloud}\"\ncredential = \"fixed\"\n\
         params = {{ project_id = \"0123456789abcdef0123456789abcdef\" }}\n\
         rate = 100000.0\nburst = 1000000\nconcurrency = {CONCURRENCY}\npoll = {{ {poll} }}\n"
    )
}

/// Composes the settings of a signed webhook for the ends of jobs.
pub(crate) fn webhook(receiver: SocketAddr) -> String {
    format!(
        "{NO_SINK}[sinks.hook]\nkind = \"webhook\"\nurl = \"http://{receiver}/hook\"\n\
         secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\nevents = [\"finished\"]\n"
    )
}

/// Composes the requests to watch these jobs, a line each. A hundred share each `deploy`.
pub(crate) fn requests(jobs: Range<u64>) -> Vec<String> {
    jobs.map(|job| {
        format!(
            "{{\"service\":\"sdrs\",\"job_id\":\"{}\",\"labels\":{{\"deploy\":\"{}\",\"team\":\"platform\"}}}}\n",
            stub::job_id(job),
            job / 100
        )
    })
    .collect()
}
