//! One answer becomes one observation: the table of what came back and what it means.
//!
//! Pure. A verdict comes only from a status in a 2xx answer about the right job; whatever
//! else came back is a problem, and a problem is never a verdict (invariant 1).

use http::HeaderMap;
use jiff::Timestamp;
use serde_json::Value;

use crate::definition::ChildrenVerdict;
use crate::definition::Definition;
use crate::definition::JobSelectors;
use crate::definition::selector::Selectors;
use crate::definition::timestamp;
use crate::outbound::retry_after;
use crate::watch::Outcome;
use crate::watch::observation::Child;
use crate::watch::observation::Job;
use crate::watch::observation::JobState;
use crate::watch::observation::Observation;
use crate::watch::observation::Problem;
use crate::watch::observation::ProblemKind;
use crate::watch::observation::Sighting;
use crate::watch::observation::bounded;

/// The most children carried into an event; the verdict counts all of them.
pub const CHILDREN_MAX: usize = 200;
/// How deep children may have children.
const CHILD_DEPTH_MAX: usize = 8;
/// Codes by which the API gateway says that it has no such route. Their 404 is about the
/// path or endpoint, not about the job (terraform-provider-opentelekomcloud issue 1705).
const ROUTE_CODES: [&str; 2] = ["APIGW.0101", "APIG.0101"];

/// One HTTP answer, read whole.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub http_status: u16,
    /// The headers; only a wish for the next poll is read from them.
    pub headers: &'a HeaderMap,
    /// The body, decoded and bounded by the caller.
    pub body: &'a [u8],
}

/// Reads `answer`, given to the question about `job_id`, by `definition`.
pub fn read(
    definition: &Definition,
    job_id: &str,
    answer: &Answer<'_>,
    now: Timestamp,
) -> Observation {
    let retry_after = retry_after::read(answer.headers, now);
    let body: Option<Value> = serde_json::from_slice(answer.body).ok();
    let observation = if (200..300).contains(&answer.http_status) {
        read_success(definition, job_id, answer, body.as_ref())
    } else {
        Observation::Problem(read_error(definition, answer, body.as_ref()))
    };
    with_retry_after(observation, retry_after)
}

fn with_retry_after(
    mut observation: Observation,
    retry_after: Option<std::time::Duration>,
) -> Observation {
    match &mut observation {
        Observation::Sighting(sighting) => sighting.retry_after = retry_after,
        Observation::Problem(problem) => problem.retry_after = retry_after,
    }
    observation
}

fn read_success(
    definition: &Definition,
    job_id: &str,
    answer: &Answer<'_>,
    body: Option<&Value>,
) -> Observation {
    let unreadable = |message: String| {
        Observation::Problem(Problem {
            http_status: Some(answer.http_status),
            ..Problem::new(ProblemKind::Unreadable, message)
        })
    };
    let Some(body) = body else {
        return unreadable(format!(
            "the body is not JSON: {}",
            beginning_of(answer.body)
        ));
    };
    let selectors = &definition.job;
    let Some(status) = selectors.status.joined_text(body) else {
        return match mapped_error(definition, answer.http_status, body) {
            Some(problem) => Observation::Problem(problem),
            None => unreadable("the body has no job status where the definition looks".to_owned()),
        };
    };
    if let Some(other) = selectors.id.first_text(body).filter(|id| id != job_id) {
        return unreadable(format!("the answer is about another job, {other}"));
    }
    Observation::Sighting(read_job(definition, body, status))
}

fn read_job(definition: &Definition, body: &Value, status: String) -> Sighting {
    let selectors = &definition.job;
    let mut warnings = Vec::new();
    let listed = definition.states.of(&status);
    let mut children = Vec::new();
    collect_children(definition, body, 0, &mut children);
    let state = children_decide(
        definition.children_verdict,
        listed.unwrap_or(JobState::Running),
        &children,
    );
    let mut job = Job {
        state,
        job_type: selectors.job_type.first_text(body).map(bounded),
        status: Some(bounded(status)),
        code: selectors.code.first_text(body).map(bounded),
        reason: selectors.reason.first_text(body).map(bounded),
        began_at: read_time(&selectors.began_at, body, "began_at", &mut warnings),
        ended_at: read_time(&selectors.ended_at, body, "ended_at", &mut warnings),
        progress: selectors.progress.first_text(body).map(bounded),
        resources: resources(selectors, body),
        children,
    };
    promote_reason(&mut job);
    job.children.truncate(CHILDREN_MAX);
    Sighting {
        unknown_status: listed.is_none(),
        job,
        warnings,
        retry_after: None,
    }
}

/// Flattens the children of `parent`, depth first, into `found`.
fn collect_children(definition: &Definition, parent: &Value, depth: usize, found: &mut Vec<Child>) {
    if depth == CHILD_DEPTH_MAX {
        return;
    }
    for value in definition.job.children.all(parent) {
        found.push(read_child(definition, value));
        collect_children(definition, value, depth + 1, found);
    }
}

fn read_child(definition: &Definition, value: &Value) -> Child {
    let selectors = &definition.job;
    let status = selectors.status.joined_text(value);
    Child {
        job_id: selectors.id.first_text(value).map(bounded),
        job_type: selectors.job_type.first_text(value).map(bounded),
        outcome: status
            .as_deref()
            .and_then(|status| definition.states.of(status))
            .and_then(JobState::outcome),
        status: status.map(bounded),
        code: selectors.code.first_text(value).map(bounded),
        reason: selectors.reason.first_text(value).map(bounded),
    }
}

/// Only a parent that succeeded is judged by its children: one that still runs may yet
/// repair them, and one that failed has failed.
fn children_decide(verdict: ChildrenVerdict, parent: JobState, children: &[Child]) -> JobState {
    if parent != JobState::Succeeded {
        return parent;
    }
    let any_failed = children.iter().any(has_failed);
    match verdict {
        ChildrenVerdict::Partial if any_failed => JobState::Partial,
        ChildrenVerdict::All if any_failed => JobState::Failed,
        ChildrenVerdict::All if children.iter().any(|child| child.outcome.is_none()) => {
            JobState::Running
        }
        ChildrenVerdict::Parents | ChildrenVerdict::Partial | ChildrenVerdict::All => parent,
    }
}

fn has_failed(child: &Child) -> bool {
    matches!(child.outcome, Some(Outcome::Failed | Outcome::Cancelled))
}

/// A parent that ended badly without saying why takes the words of its first failed child.
fn promote_reason(job: &mut Job) {
    if !matches!(job.state, JobState::Failed | JobState::Partial) {
        return;
    }
    if let Some(child) = job.children.iter().find(|child| has_failed(child)) {
        job.reason = job.reason.take().or_else(|| child.reason.clone());
        job.code = job.code.take().or_else(|| child.code.clone());
    }
}

fn resources(selectors: &JobSelectors, body: &Value) -> Option<Value> {
    let mut resources = selectors.resources.first_value(body)?.clone();
    if let (Some(member), Some(object)) = (&selectors.children_member, resources.as_object_mut()) {
        object.remove(member);
    }
    Some(resources)
}

fn read_time(
    selectors: &Selectors,
    body: &Value,
    name: &str,
    warnings: &mut Vec<String>,
) -> Option<Timestamp> {
    let value = selectors.first_value(body)?;
    timestamp::read(value)
        .inspect_err(|text| {
            warnings.push(bounded(format!(
                "{name} is no time that can be read: {text}"
            )));
        })
        .ok()
}

fn read_error(definition: &Definition, answer: &Answer<'_>, body: Option<&Value>) -> Problem {
    let nothing = Value::Null;
    let body = body.unwrap_or(&nothing);
    mapped_error(definition, answer.http_status, body).unwrap_or_else(|| {
        let code = definition.error_body.code.first_text(body);
        let kind = default_kind(answer.http_status, code.as_deref());
        error_problem(definition, kind, answer.http_status, body)
    })
}

/// The problem that the definition's own `[[errors]]` make of this answer.
fn mapped_error(definition: &Definition, http_status: u16, body: &Value) -> Option<Problem> {
    let code = definition.error_body.code.first_text(body);
    let rule = definition.errors.iter().find(|rule| {
        rule.http.is_none_or(|http| http == http_status)
            && (rule.code.is_none() || rule.code == code)
    })?;
    Some(error_problem(definition, rule.kind, http_status, body))
}

fn error_problem(
    definition: &Definition,
    kind: ProblemKind,
    http_status: u16,
    body: &Value,
) -> Problem {
    let message = definition.error_body.message.first_text(body);
    Problem {
        kind,
        http_status: Some(http_status),
        code: definition.error_body.code.first_text(body).map(bounded),
        message: bounded(
            message.unwrap_or_else(|| format!("HTTP {http_status} without a message")),
        ),
        retry_after: None,
    }
}

fn default_kind(http_status: u16, code: Option<&str>) -> ProblemKind {
    match http_status {
        429 => ProblemKind::Throttled,
        401 => ProblemKind::Unauthorized,
        403 => ProblemKind::Forbidden,
        404 if code.is_some_and(|code| ROUTE_CODES.contains(&code)) => ProblemKind::Misconfigured,
        404 => ProblemKind::NotFound,
        408 | 500..=599 => ProblemKind::ServerError,
        _ => ProblemKind::Misconfigured,
    }
}

/// The first characters of a body that should have been JSON, for a person to recognise.
fn beginning_of(body: &[u8]) -> String {
    const SHOWN: usize = 80;
    if body.is_empty() {
        return "it is empty".to_owned();
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
    format!("it begins {text:?}")
}
