//! The explanation of one answer, which `jobwatch explain` and `probe` print.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::clock::show_duration;
use crate::definition::reading::{Answer, Asked};
use crate::definition::selector::{Selectors, View};
use crate::definition::{Definition, reading};
use crate::watch::Params;
use crate::watch::observation::{Child, Observation, Problem, Sighting};

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
    pub run: Option<String>,
    pub run_at: Option<Timestamp>,
    /// The time to the next poll that the answer names.
    pub pace: Option<String>,
    /// The URL of the next poll.
    pub follow: Option<String>,
    /// The job that takes over.
    pub next: Option<NextExplained>,
    /// True if the body was not valid and was read leniently.
    pub lenient: bool,
}

/// The job that takes over from one that has succeeded.
#[derive(Debug, Clone, Serialize)]
pub struct NextExplained {
    pub job_id: String,
    pub definition: Option<String>,
    pub params: Params,
}

/// A problem, with the time that the server asks us to wait.
#[derive(Debug, Clone, Serialize)]
pub struct ProblemExplained {
    pub problem: &'static str,
    pub code: Option<String>,
    pub message: String,
    pub retry_after: Option<String>,
    pub pace: Option<String>,
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
    let max_body = definition.answer.max_body.unwrap_or(MAX_BODY);
    let cut = Answer {
        body: answer.body.get(..max_body).unwrap_or(answer.body),
        is_cut: answer.is_cut || answer.body.len() > max_body,
        ..*answer
    };
    let as_list = as_list(definition, asked, &cut, now);
    let definition = as_list.as_ref().unwrap_or(definition);
    match reading::read(definition, asked, &cut, now) {
        Observation::Sighting(sighting) => {
            let origins = origins(definition, asked, &cut, now);
            Explanation::Sighting(Box::new(of_sighting(sighting, origins)))
        }
        Observation::Problem(problem) => Explanation::Problem(ProblemExplained::of(problem)),
    }
}

/// Returns the definition for the answer to a batch: the job is one of its items. `None` if the
/// answer has no such items, or no job is asked for.
fn as_list(
    definition: &Definition,
    asked: &Asked<'_>,
    answer: &Answer<'_>,
    now: Timestamp,
) -> Option<Definition> {
    let batch = definition.batch.as_ref()?;
    asked.job_id?;
    let as_list = Definition {
        item: Some(batch.items.clone()),
        ..definition.clone()
    };
    let single = Definition {
        item: None,
        ..definition.clone()
    };
    let has_items = |view: View<'_>| !batch.items.nodes(view.root).is_empty();
    let has_items = reading::look(&single, asked, answer, now, has_items)?;
    has_items.then_some(as_list)
}

impl ProblemExplained {
    pub(crate) fn of(problem: Problem) -> Self {
        Self {
            problem: problem.kind.as_str(),
            code: problem.code,
            message: problem.message,
            retry_after: problem.retry_after.map(show_duration),
            pace: problem.pace.map(show_duration),
        }
    }
}

fn of_sighting(sighting: Sighting, selectors: Vec<Origin>) -> SightingExplained {
    let job = sighting.job;
    SightingExplained {
        state: job.state.as_str(),
        status: job.status,
        reason: job.reason,
        code: job.code,
        rule: sighting.proof.rule.to_string(),
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
        run: sighting.run,
        run_at: sighting.run_at,
        pace: sighting.pace.map(show_duration),
        follow: sighting.follow,
        next: sighting.next.map(|next| NextExplained {
            job_id: next.job_id,
            definition: next.definition,
            params: next.params,
        }),
        lenient: sighting.proof.is_lenient,
    }
}

fn origins(
    definition: &Definition,
    asked: &Asked<'_>,
    answer: &Answer<'_>,
    now: Timestamp,
) -> Vec<Origin> {
    let found = reading::look(definition, asked, answer, now, |view| {
        origins_at(definition, view)
    });
    found.unwrap_or_default()
}

fn origins_at(definition: &Definition, view: View<'_>) -> Vec<Origin> {
    let job = &definition.job;
    let single: [(&'static str, &Selectors); 9] = [
        ("type", &job.job_type),
        ("began_at", &job.began_at),
        ("ended_at", &job.ended_at),
        ("code", &job.code),
        ("reason", &job.reason),
        ("progress", &job.progress),
        ("id", &job.id),
        ("run_at", &definition.since),
        ("follow", &definition.next.follow),
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
