//! The explanation of one answer, which `jobwatch explain` and `probe` print.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::clock::show_duration;
use crate::definition::reading::{Answer, Asked, Ground};
use crate::definition::selector::{Selectors, View};
use crate::definition::{Definition, reading};
use crate::watch::observation::{Child, Observation, Problem, ProblemKind, Sighting};

/// The largest body that is read, in bytes: the default of the daemon (`poll.max_body`).
const MAX_BODY: usize = 1024 * 1024;

/// The observation that an answer gives, and the reasons. The first fields of each kind are a
/// contract.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Explanation {
    /// The answer shows the job.
    Sighting(Box<SightingExplained>),
    /// The answer does not show the job.
    Problem(ProblemExplained),
}

/// A sighting, with the entries of the definition that gave it.
#[derive(Debug, Clone, Serialize)]
pub struct SightingExplained {
    pub state: &'static str,
    pub status: Option<String>,
    pub reason: Option<String>,
    pub code: Option<String>,
    /// The rule or the entry of `[states]` that gave the state.
    pub rule: String,
    pub unknown_status: bool,
    pub job_type: Option<String>,
    pub began_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub progress: Option<String>,
    pub resources: Option<Value>,
    pub children: Vec<Child>,
    pub retry_after: Option<String>,
    pub warnings: Vec<String>,
    /// The selector behind each value, by field.
    pub selectors: Vec<Origin>,
}

/// A problem, with the time that the server asks us to wait.
#[derive(Debug, Clone, Serialize)]
pub struct ProblemExplained {
    pub problem: &'static str,
    pub code: Option<String>,
    pub message: String,
    pub retry_after: Option<String>,
}

/// The origin of one value in the answer.
#[derive(Debug, Clone, Serialize)]
pub struct Origin {
    /// The key of `[job]` in the definition.
    pub field: &'static str,
    /// The selector of this key that gave the value.
    pub selector: String,
}

/// Reads `answer` by `definition` and explains the result. Without a job id
/// the answer may be about any job.
pub fn explain(
    definition: &Definition,
    asked: &Asked<'_>,
    answer: &Answer<'_>,
    now: Timestamp,
) -> Explanation {
    if answer.body.len() > MAX_BODY {
        return Explanation::Problem(ProblemExplained::of(Problem::new(
            ProblemKind::Unreadable,
            format!("the body is larger than max_body, {MAX_BODY} bytes"),
        )));
    }
    let (observation, ground) = reading::read_with_ground(definition, asked, answer, now);
    match observation {
        Observation::Sighting(sighting) => {
            let body = serde_json::from_slice(answer.body).unwrap_or(Value::Null);
            let origins = origins(definition, answer.http_status, &body, asked.job_id);
            Explanation::Sighting(Box::new(of_sighting(definition, sighting, ground, origins)))
        }
        Observation::Problem(problem) => Explanation::Problem(ProblemExplained::of(problem)),
    }
}

impl ProblemExplained {
    pub(crate) fn of(problem: Problem) -> Self {
        Self {
            problem: problem.kind.as_str(),
            code: problem.code,
            message: problem.message,
            retry_after: problem.retry_after.map(show_duration),
        }
    }
}

fn of_sighting(
    definition: &Definition,
    sighting: Sighting,
    ground: Option<Ground>,
    selectors: Vec<Origin>,
) -> SightingExplained {
    let job = sighting.job;
    let rule = match ground {
        Some(Ground::Rule(number)) => format!("rules: number {number}"),
        Some(Ground::Listed(entry)) => {
            let listed = definition.states.of(&entry);
            let name = listed.map_or("?", crate::watch::observation::JobState::as_str);
            format!("states.{name}: \"{entry}\"")
        }
        Some(Ground::Unlisted) | None => "none: the status is not listed".to_owned(),
    };
    SightingExplained {
        state: job.state.as_str(),
        status: job.status,
        reason: job.reason,
        code: job.code,
        rule,
        unknown_status: sighting.unknown_status,
        job_type: job.job_type,
        began_at: job.began_at,
        ended_at: job.ended_at,
        progress: job.progress,
        resources: job.resources,
        children: job.children,
        retry_after: sighting.retry_after.map(show_duration),
        warnings: sighting.warnings,
        selectors,
    }
}

fn origins(
    definition: &Definition,
    http_status: u16,
    body: &Value,
    job_id: Option<&str>,
) -> Vec<Origin> {
    let whole = View {
        root: body,
        http_status,
        status: None,
    };
    let Ok(view) = reading::find_item(definition, whole, job_id) else {
        return Vec::new();
    };
    let job = &definition.job;
    let single: [(&'static str, &Selectors); 7] = [
        ("type", &job.job_type),
        ("began_at", &job.began_at),
        ("ended_at", &job.ended_at),
        ("code", &job.code),
        ("reason", &job.reason),
        ("progress", &job.progress),
        ("id", &job.id),
    ];
    let mut origins: Vec<Origin> = single
        .into_iter()
        .filter_map(|(field, selectors)| {
            let (_, selector) = selectors.first(view)?;
            Some(Origin {
                field,
                selector: selector.to_owned(),
            })
        })
        .collect();
    if job.status.joined_text(view).is_some() {
        origins.insert(
            0,
            Origin {
                field: "status",
                selector: job.status.sources(),
            },
        );
    }
    origins
}
