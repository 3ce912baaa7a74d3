//! Turns one answer into one observation.
//!
//! Pure. A verdict comes only from a status in a 2xx answer about the right job. Every other
//! answer is a problem, and a problem is never a verdict (invariant 1).

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use serde_json::Value;

use crate::definition::selector::{Selector, Selectors, View};
use crate::definition::{ChildrenVerdict, Definition, JobSelectors, timestamp};
use crate::outbound::{html, retry_after};
use crate::watch::observation::{
    Child, Job, JobState, Observation, Problem, ProblemKind, Sighting, bounded,
};
use crate::watch::{Labels, Outcome, Params};

/// The most children in an event; the verdict takes all of them into account.
pub const CHILDREN_MAX: usize = 200;
/// The most children that are read. A job with more does not count as succeeded.
const CHILDREN_READ_MAX: usize = 10_000;
/// The most levels of children within children.
const CHILD_DEPTH_MAX: usize = 64;
/// The codes with which the API gateway says that it has no such route. Their 404 is about
/// the path or endpoint, not about the job (terraform-provider-opentelekomcloud issue 1705).
const ROUTE_CODES: [&str; 2] = ["APIGW.0101", "APIG.0101"];

/// One HTTP answer to a poll, read to its end.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The HTTP status code; 200 to 299 can show the job.
    pub http_status: u16,
    /// The headers; only a `retry_after` for the next poll is read from them.
    pub headers: &'a HeaderMap,
    /// The body, which the caller has decoded and limited in size.
    pub body: &'a [u8],
    /// True if the body is only the beginning of one that is larger than the limit.
    pub is_cut: bool,
}

/// The job that an answer should be about, with the facts of its watch that conditions may name.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The id of the job; without one the answer may be about any job.
    pub job_id: Option<&'a str>,
    /// The params of the watch and of its service.
    pub params: &'a Params,
    /// The labels of the watch.
    pub labels: &'a Labels,
    /// The run that the watch is about, as far as it is known.
    pub run: Option<&'a str>,
}

/// The values of a watch without params or labels.
static NONE: BTreeMap<String, String> = BTreeMap::new();

impl<'a> Asked<'a> {
    /// Returns a question about any job.
    pub fn any() -> Self {
        Self {
            job_id: None,
            params: &NONE,
            labels: &NONE,
            run: None,
        }
    }

    /// Returns a question about this job, with no params or labels.
    pub fn job(job_id: &'a str) -> Self {
        Self {
            job_id: Some(job_id),
            ..Self::any()
        }
    }
}

/// The reason for the state of a sighting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ground {
    /// The rule of this number, from 1.
    Rule(usize),
    /// This entry of `[states]` matches the status.
    Listed(String),
    /// The definition does not list the status, so the job counts as running.
    Unlisted,
}

/// Reads `answer`, the answer to a poll of the job that is `asked` for, by `definition`.
pub fn read(
    definition: &Definition,
    asked: &Asked<'_>,
    answer: &Answer<'_>,
    now: Timestamp,
) -> Observation {
    read_with_ground(definition, asked, answer, now).0
}

/// Does the same as [`read`], and returns the reason for the state of a sighting. Without a
/// `job_id` the answer may be about any job; the first one of a list counts.
pub fn read_with_ground(
    definition: &Definition,
    asked: &Asked<'_>,
    answer: &Answer<'_>,
    now: Timestamp,
) -> (Observation, Option<Ground>) {
    let body: Option<Value> = serde_json::from_slice(without_bom(answer.body)).ok();
    let read = if (200..300).contains(&answer.http_status) {
        read_success(definition, asked.job_id, answer, body.as_ref())
    } else {
        Err(read_error(definition, answer, body.as_ref()))
    };
    let retry_after = retry_after::read(answer.headers, now);
    match read {
        Ok((mut sighting, ground)) => {
            sighting.retry_after = retry_after;
            (Observation::Sighting(sighting), Some(ground))
        }
        Err(mut problem) => {
            let hinted = || hinted_wait(definition, answer.headers, &problem, now);
            problem.retry_after = retry_after.or_else(hinted);
            if body.is_none() {
                quote_page(&mut problem, answer);
            }
            (Observation::Problem(problem), None)
        }
    }
}

/// Quotes an HTML page in the message, so that a person can recognise the gateway or the login
/// page that answered. Comes last, so that `[[errors]]` and hints do not read the quotation.
fn quote_page(problem: &mut Problem, answer: &Answer<'_>) {
    let Some(words) = html::words(answer.body) else {
        return;
    };
    problem.message = if (200..300).contains(&answer.http_status) {
        format!("the answer is HTML: {words}")
    } else {
        words
    };
}

/// Returns the `retry_after` of the definition's own places. Only for a throttling, because
/// some services send such headers with every answer.
fn hinted_wait(
    definition: &Definition,
    headers: &HeaderMap,
    problem: &Problem,
    now: Timestamp,
) -> Option<Duration> {
    if problem.kind != ProblemKind::Throttled {
        return None;
    }
    let mut hints = definition.hints.iter();
    hints.find_map(|hint| hint.read(headers, &problem.message, now))
}

fn read_success(
    definition: &Definition,
    job_id: Option<&str>,
    answer: &Answer<'_>,
    body: Option<&Value>,
) -> Result<(Sighting, Ground), Problem> {
    let unreadable = |message: String| Problem {
        http_status: Some(answer.http_status),
        ..Problem::new(ProblemKind::Unreadable, message)
    };
    // If the HTTP status is the status of the job, the body need not be JSON.
    let is_needed = definition.job.status.need_a_body() || definition.job.status.is_empty();
    let body = match body {
        Some(body) => body,
        None if is_needed => {
            let shown = beginning_of(answer.body);
            return Err(unreadable(format!("the body is not JSON: {shown}")));
        }
        None => &Value::Null,
    };
    let whole = View {
        root: body,
        http_status: answer.http_status,
        status: None,
    };
    let view = find_item(definition, whole, job_id)?;
    let selectors = &definition.job;
    let status = selectors.status.joined_text(view);
    if status.is_none()
        && let Some(problem) = mapped_error(definition, answer.http_status, body)
    {
        return Err(problem);
    }
    let with_status = View {
        status: status.as_deref(),
        ..view
    };
    let state = state_of(definition, with_status);
    if matches!(state, Some((_, Ground::Unlisted)))
        && let Some(problem) = mapped_error(definition, answer.http_status, body)
    {
        return Err(problem);
    }
    let Some((state, ground)) = state else {
        return Err(unreadable(
            "the body has no job status in the place that the definition names".to_owned(),
        ));
    };
    let other = selectors.id.first_text(view);
    if let Some(other) = other.filter(|id| job_id.is_some_and(|job_id| id != job_id)) {
        return Err(unreadable(format!(
            "the answer is about another job: {other}"
        )));
    }
    Ok((read_job(definition, view, status, state, &ground), ground))
}

/// Returns the element of a list answer that is about the job; the whole answer if the
/// definition has no list.
pub(super) fn find_item<'a>(
    definition: &Definition,
    whole: View<'a>,
    job_id: Option<&str>,
) -> Result<View<'a>, Problem> {
    let Some(item) = &definition.item else {
        return Ok(whole);
    };
    let id = &definition.job.id;
    let is_asked_for = |view: View<'_>| match (job_id, id.is_empty()) {
        (Some(job_id), false) => id.first_text(view).as_deref() == Some(job_id),
        _ => true,
    };
    let elements = item.nodes(whole.root);
    let found = elements
        .iter()
        .map(|element| whole.at(element))
        .find(|view| is_asked_for(*view));
    found.ok_or_else(|| {
        let mapped = mapped_error(definition, whole.http_status, whole.root);
        mapped.unwrap_or_else(|| Problem {
            http_status: Some(whole.http_status),
            ..no_such_item(item, whole.root, elements.is_empty())
        })
    })
}

/// Returns the problem of an answer without the job. A list without it says that the service
/// does not know the job; a body without the list says nothing about the job.
fn no_such_item(item: &Selector, body: &Value, is_empty: bool) -> Problem {
    let source = item.source();
    if is_empty && !item.has_its_list(body) {
        Problem::new(
            ProblemKind::Unreadable,
            format!("the body has no list at {source}"),
        )
    } else {
        Problem::new(
            ProblemKind::NotFound,
            format!("no element of {source} is this job"),
        )
    }
}

/// Returns the state from the rules or the listed values; `None` if no rule holds and there
/// is no status.
fn state_of(definition: &Definition, view: View<'_>) -> Option<(JobState, Ground)> {
    let mut rules = definition.rules.iter().zip(1..);
    if let Some((rule, number)) = rules.find(|(rule, _)| rule.holds(view)) {
        return Some((rule.outcome, Ground::Rule(number)));
    }
    Some(match definition.states.entry(view.status?) {
        Some((state, entry)) => (state, Ground::Listed(entry.to_owned())),
        None => (JobState::Running, Ground::Unlisted),
    })
}

fn read_job(
    definition: &Definition,
    view: View<'_>,
    status: Option<String>,
    state: JobState,
    ground: &Ground,
) -> Sighting {
    let selectors = &definition.job;
    let mut warnings = Vec::new();
    let mut found = Found::default();
    collect_children(definition, view, 0, &mut found);
    let mut state = children_decide(definition.children_verdict, state, &found.children);
    if found.is_cut {
        warnings.push(format!(
            "more than {CHILDREN_READ_MAX} children, or more than {CHILD_DEPTH_MAX} levels of children; the rest is not read"
        ));
        if state == JobState::Succeeded && definition.children_verdict != ChildrenVerdict::Parents {
            state = JobState::Running;
        }
    }
    let unknown_child = found.unlisted.is_some();
    if let Some(status) = found.unlisted {
        warnings.push(format!(
            "a child has the status {status}, which is not listed"
        ));
    }
    let children = found.children;
    let mut job = Job {
        state,
        job_type: selectors.job_type.first_text(view).map(bounded),
        status: status.map(bounded),
        code: selectors.code.first_text(view).map(bounded),
        reason: selectors.reason.first_text(view).map(bounded),
        began_at: read_time(&selectors.began_at, view, "began_at", &mut warnings),
        ended_at: read_time(&selectors.ended_at, view, "ended_at", &mut warnings),
        progress: selectors.progress.first_text(view).map(bounded),
        resources: resources(selectors, view),
        children,
    };
    promote_reason(&mut job);
    job.children.truncate(CHILDREN_MAX);
    Sighting {
        unknown_status: *ground == Ground::Unlisted || unknown_child,
        warnings,
        ..Sighting::of(job)
    }
}

/// The children of a job in one list, depth first.
#[derive(Default)]
struct Found {
    children: Vec<Child>,
    /// True if there were too many or too deep children, which were not read.
    is_cut: bool,
    /// The last status of a child that the definition does not list.
    unlisted: Option<String>,
}

/// Collects the children of `parent` and their children into `found`, depth first.
fn collect_children(definition: &Definition, parent: View<'_>, depth: usize, found: &mut Found) {
    let selectors = if depth == 0 {
        &definition.job
    } else {
        &definition.child
    };
    for value in selectors.children.all(parent.root) {
        if depth == CHILD_DEPTH_MAX || found.children.len() == CHILDREN_READ_MAX {
            found.is_cut = true;
            return;
        }
        let child = parent.at(value);
        let (read, ground) = read_child(definition, child);
        if ground == Some(Ground::Unlisted) {
            found.unlisted.clone_from(&read.status);
        }
        found.children.push(read);
        collect_children(definition, child, depth + 1, found);
    }
}

fn read_child(definition: &Definition, view: View<'_>) -> (Child, Option<Ground>) {
    let selectors = &definition.child;
    let status = selectors.status.joined_text(view);
    let with_status = View {
        status: status.as_deref(),
        ..view
    };
    let (state, ground) = state_of(definition, with_status).unzip();
    let child = Child {
        job_id: selectors.id.first_text(view).map(bounded),
        job_type: selectors.job_type.first_text(view).map(bounded),
        outcome: state.and_then(JobState::outcome),
        status: status.map(bounded),
        code: selectors.code.first_text(view).map(bounded),
        reason: selectors.reason.first_text(view).map(bounded),
    };
    (child, ground)
}

/// Returns the state of a job after its children are taken into account. Only success can
/// change: a parent that still runs may repair its children, and one that failed has failed.
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
    child.outcome.is_some_and(|outcome| match outcome {
        Outcome::Failed | Outcome::Cancelled => true,
        Outcome::Succeeded
        | Outcome::Partial
        | Outcome::TimedOut
        | Outcome::Lost
        | Outcome::Unknown
        | Outcome::Unwatched => false,
    })
}

/// Gives a failed parent without a reason the reason of its first failed child; the same for
/// the code.
fn promote_reason(job: &mut Job) {
    if !matches!(job.state, JobState::Failed | JobState::Partial) {
        return;
    }
    if let Some(child) = job.children.iter().find(|child| has_failed(child)) {
        job.reason = job.reason.take().or_else(|| child.reason.clone());
        job.code = job.code.take().or_else(|| child.code.clone());
    }
}

fn resources(selectors: &JobSelectors, view: View<'_>) -> Option<Value> {
    let found = selectors.resources.first_value(view)?;
    let (Some(member), Some(object)) = (&selectors.children_member, found.as_object()) else {
        return Some(found.clone());
    };
    // Only the other members are cloned: the children may be most of the answer.
    let others = object.iter().filter(|(name, _)| *name != member);
    Some(Value::Object(
        others
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    ))
}

fn read_time(
    selectors: &Selectors,
    view: View<'_>,
    name: &str,
    warnings: &mut Vec<String>,
) -> Option<Timestamp> {
    // Some services write 0 as long as there is no time.
    let value = selectors
        .first_value(view)
        .filter(|value| value.as_i64() != Some(0) && value.as_str() != Some("0"))?;
    timestamp::read(value)
        .inspect_err(|text| {
            warnings.push(bounded(format!("cannot read {name} as a time: {text}")));
        })
        .ok()
}

fn read_error(definition: &Definition, answer: &Answer<'_>, body: Option<&Value>) -> Problem {
    let nothing = Value::Null;
    let body = body.unwrap_or(&nothing);
    mapped_error(definition, answer.http_status, body).unwrap_or_else(|| {
        let error = ErrorAnswer::of(definition, answer.http_status, body);
        let kind = default_kind(answer.http_status, error.code.as_deref());
        error.into_problem(kind)
    })
}

/// Returns the problem of an answer that an entry of `[[errors]]` matches.
fn mapped_error(definition: &Definition, http_status: u16, body: &Value) -> Option<Problem> {
    let error = ErrorAnswer::of(definition, http_status, body);
    let rule = definition
        .errors
        .iter()
        .find(|rule| rule.matches(http_status, error.code.as_deref(), error.message.as_deref()))?;
    Some(error.into_problem(rule.kind))
}

/// The code and the message of an error answer.
struct ErrorAnswer {
    http_status: u16,
    code: Option<String>,
    message: Option<String>,
}

impl ErrorAnswer {
    fn of(definition: &Definition, http_status: u16, body: &Value) -> Self {
        let view = View {
            root: body,
            http_status,
            status: None,
        };
        Self {
            http_status,
            code: definition.error_body.code.first_text(view),
            message: definition.error_body.message.first_text(view),
        }
    }

    fn into_problem(self, kind: ProblemKind) -> Problem {
        let http_status = self.http_status;
        let message = self.message;
        Problem {
            kind,
            http_status: Some(http_status),
            code: self.code.map(bounded),
            message: bounded(
                message.unwrap_or_else(|| format!("HTTP {http_status} without a message")),
            ),
            retry_after: None,
            pace: None,
            is_page: false,
        }
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

/// Removes a byte order mark, which some servers put before their JSON (RFC 8259, section
/// 8.1, lets a reader ignore it).
fn without_bom(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// Quotes the beginning of a body that is not JSON, so that a person can recognise it.
fn beginning_of(body: &[u8]) -> String {
    const SHOWN: usize = 80;
    if body.is_empty() {
        return "it is empty".to_owned();
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
    format!("it begins {text:?}")
}
