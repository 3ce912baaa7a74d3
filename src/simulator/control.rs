//! The pages below `/_sim/`: create, show and forget jobs.
//!
//! They need no token: a client that reaches them can only disturb a rehearsal.

use serde::Serialize;
use serde_json::json;

use super::answer::Answer;
use super::registry::{JobView, Refusal, Registry};
use super::spec::JobSpec;

/// The prefix of the simulator's own pages, which no service has.
pub(super) const PREFIX: &str = "/_sim";

/// The largest request body, in bytes.
pub(super) const MAX_BODY: usize = 1024 * 1024;

/// The most jobs in one list, which are the latest.
const MAX_LISTED: usize = 10_000;

const HELP: &str = r#"Simulator of three job APIs. Polls need any X-Auth-Token.

  GET /v2/{project_id}/jobs/{job_id}             DCS
  GET /v1/{project_id}/sfs-turbo/jobs/{job_id}   SFS Turbo (requires a Content-Type, too)
  GET /v1/{project_id}/jobs/{job_id}             SDRS

  POST   /_sim/jobs        create a job
  GET    /_sim/jobs        all jobs with their polls
  GET    /_sim/jobs/{id}   one job with its polls
  DELETE /_sim/jobs/{id}   forget it: polls are then answered as for an unknown job

A job:
  {"service": "dcs|sfs-turbo|sdrs", "duration": "3s", "outcome": "succeeded|failed|never",
   "job_id": "…", "job_type": "…", "code": "…", "reason": "…",
   "sub_jobs": [{"outcome": "succeeded|failed", "job_type": "…", "code": "…", "reason": "…"}],
   "faults": {…}}
  service, duration and outcome are required. code and reason are for failed jobs only.
  dcs has neither code nor sub_jobs.

Faults, in the order in which they apply:
  "token_expires_after": "3s"    the first token is refused that long after its first use
  "server_errors": N             N polls answer 502, 503, 500, …
  "throttle": {"polls": N, "retry_after": "2"|"http-date"}   the next N answer 429
  "forbidden": N                 the next N answer 403
  "malformed": N                 the next N answer 200 with an HTML page
  "torn": N                      the next N break off in the middle of the body
  "not_found_for": "5s"          unknown that long after its creation
  "unknown_status": "REBOOTING"  shown in place of the running status
  "slow": "3s"                   every answer takes that long
"#;

#[derive(Serialize)]
struct List {
    total: usize,
    jobs: Vec<JobView>,
}

/// Answers a request below [`PREFIX`].
pub(super) fn answer(registry: &Registry, method: &str, path: &str, body: &[u8]) -> Answer {
    let path = path.strip_prefix(PREFIX).unwrap_or(path);
    let path = path.strip_prefix('/').unwrap_or(path);
    let segments: Vec<&str> = path.split('/').collect();
    match (method, segments.as_slice()) {
        ("GET", [""]) => Answer::of(200, "text/plain;charset=UTF-8", HELP),
        ("POST", ["jobs"]) => create(registry, body),
        ("GET", ["jobs"]) => {
            let (total, jobs) = registry.jobs(MAX_LISTED);
            Answer::json(200, &List { total, jobs })
        }
        ("GET", ["jobs", id]) => match registry.job(&decoded(id)) {
            Some(job) => Answer::json(200, &job),
            None => error(404, "there is no such job"),
        },
        ("DELETE", ["jobs", id]) if registry.forget(&decoded(id)) => {
            Answer::of(204, "text/plain", "")
        }
        ("DELETE", ["jobs", _]) => error(404, "there is no such job"),
        (_, ["" | "jobs"] | ["jobs", _]) => error(405, "see GET /_sim/ for the allowed methods"),
        _ => error(404, "see GET /_sim/ for the paths"),
    }
}

pub(super) fn too_large() -> Answer {
    error(413, &format!("the body is larger than {MAX_BODY} bytes"))
}

pub(super) fn unreadable() -> Answer {
    error(400, "the body could not be read")
}

fn create(registry: &Registry, body: &[u8]) -> Answer {
    let created = JobSpec::from_json(body)
        .map_err(Refusal::Invalid)
        .and_then(|spec| registry.create(spec));
    match created {
        Ok(job) => Answer::json(201, &job),
        Err(refusal) => {
            let status = match refusal {
                Refusal::Invalid(_) => 400,
                Refusal::Exists(_) => 409,
                Refusal::Full(_) => 507,
            };
            error(status, &refusal.message())
        }
    }
}

fn decoded(id: &str) -> String {
    percent_encoding::percent_decode_str(id)
        .decode_utf8_lossy()
        .into()
}

fn error(status: u16, message: &str) -> Answer {
    Answer::json(status, &json!({ "error": message }))
}
