//! The pages below `/_sim/`: create, show and forget jobs.
//!
//! They need no token: a client that reaches them can only disturb a rehearsal.

use serde::Serialize;
use serde_json::json;

use super::answer::Answer;
use super::refusal::Refusal;
use super::registry::{JobView, Registry};
use super::resource::ResourceSpec;
use super::spec::JobSpec;

/// The prefix of the simulator's own pages, which no service has.
pub(super) const PREFIX: &str = "/_sim";

/// The largest request body, in bytes.
pub(super) const MAX_BODY: usize = 1024 * 1024;

/// The most jobs in one list, which are the latest.
const MAX_LISTED: usize = 10_000;

const HELP: &str = r#"Simulator of three job APIs, and of resources.

Polls of jobs need any X-Auth-Token; polls of resources need none.

  GET /v2/{project_id}/jobs/{job_id}             DCS
  GET /v1/{project_id}/sfs-turbo/jobs/{job_id}   SFS Turbo (requires a Content-Type, too)
  GET /v1/{project_id}/jobs/{job_id}             SDRS
  GET /resources/{job_id}                        a resource: the latest run that has started

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

  POST   /_sim/resources            create a resource
  GET    /_sim/resources            all resources with their polls
  GET    /_sim/resources/{id}       one resource with its polls
  DELETE /_sim/resources/{id}       forget it
  GET    /_sim/resource.toml        the definition that reads resources
  GET    /_sim/resource-xml.toml    the same for the format xml

A resource, which shows {"id", "run", "status", "began_at", "ended_at", "message"}:
  {"job_id": "web",
   "runs": [{"run": "a", "starts": "-2h", "duration": "10m", "outcome": "succeeded"},
            {"run": "b", "starts": "2s", "duration": "30s", "outcome": "failed", "message": "…"}],
   …}
  A start is counted from the creation of the resource. Before the first start it answers 404.
  The statuses are pending (a tenth of the duration), running, succeeded and failed.

Ways to mislead a watcher, of a resource:
  "runs": [a, b]                 the end of a is stale; b takes the place of a that goes on
  "flicker": {"after": N, "polls": M, "shows": "succeeded|failed"}
                                 after N polls, M polls show an end although the run goes on
  "not_found": {"from": "10s", "for": "30s"}   404 in this time
  "failure_status": 422|500      the HTTP status of an answer that shows a failed run
  "odd_bytes": true              wrong UTF-8, a control character and NaN in the JSON
  "format": "json|xml"           the format of the bodies
  "moving": true                 each answer names the URL of the next poll in Location
  "faults": {…}                  as those of jobs, but for token_expires_after
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
        (_, ["resources"] | ["resources", _]) => resources(registry, method, &segments[1..], body),
        (_, [name]) if let Some(text) = definition(name) => {
            Answer::of(200, "text/plain;charset=UTF-8", text)
        }
        (_, ["" | "jobs"] | ["jobs", _]) => error(405, "see GET /_sim/ for the allowed methods"),
        _ => error(404, "see GET /_sim/ for the paths"),
    }
}

/// Answers a request below `/_sim/resources`.
fn resources(registry: &Registry, method: &str, segments: &[&str], body: &[u8]) -> Answer {
    let shelf = &registry.resources;
    match (method, segments) {
        ("POST", []) => create_resource(registry, body),
        ("GET", []) => Answer::json(200, &json!({ "resources": shelf.views(registry.now()) })),
        ("GET", [id]) => match shelf.view(&decoded(id), registry.now()) {
            Some(resource) => Answer::json(200, &resource),
            None => error(404, "there is no such resource"),
        },
        ("DELETE", [id]) if shelf.forget(&decoded(id)) => Answer::of(204, "text/plain", ""),
        ("DELETE", [_]) => error(404, "there is no such resource"),
        _ => error(405, "see GET /_sim/ for the allowed methods"),
    }
}

/// Returns the definition that reads resources in one of their formats.
fn definition(file: &str) -> Option<&'static str> {
    match file {
        "resource.toml" => Some(include_str!("../../config/simulator/resource.toml")),
        "resource-xml.toml" => Some(include_str!("../../config/simulator/resource-xml.toml")),
        _ => None,
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
        Err(refusal) => refused(refusal),
    }
}

fn create_resource(registry: &Registry, body: &[u8]) -> Answer {
    let created = ResourceSpec::from_json(body)
        .map_err(Refusal::Invalid)
        .and_then(|spec| registry.resources.create(spec, registry.now()));
    created.map_or_else(refused, |resource| Answer::json(201, &resource))
}

fn refused(refusal: Refusal) -> Answer {
    error(refusal.status(), &refusal.message())
}

fn decoded(id: &str) -> String {
    percent_encoding::percent_decode_str(id)
        .decode_utf8_lossy()
        .into()
}

fn error(status: u16, message: &str) -> Answer {
    Answer::json(status, &json!({ "error": message }))
}
