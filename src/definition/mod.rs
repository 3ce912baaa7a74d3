//! The description of a family of job APIs: a TOML file, checked and compiled.
//!
//! A definition is data; a new API needs no code. [`file`](mod@file) is the file as written,
//! [`compile`](mod@compile) checks it and makes a [`Definition`], [`catalog`] finds
//! definitions, [`request`] fills the request for a job, [`reading`] turns an answer into an
//! observation, and [`explain`] shows how.

pub mod answer;
pub mod batch;
pub mod body;
pub mod catalog;
pub mod compile;
pub mod condition;
pub mod created_job;
mod description;
pub mod explain;
mod file;
pub mod handover;
pub mod ids;
pub mod naming;
mod number;
pub mod pattern;
pub mod reading;
pub mod request;
pub mod retry_hint;
pub mod rules;
pub mod selector;
pub mod states;
#[cfg(test)]
mod tests;
pub mod timestamp;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::definition::batch::Batch;
use crate::definition::body::Format;
use crate::definition::created_job::SubmitAnswer;
use crate::definition::handover::{Next, Pace};
use crate::definition::pattern::Pattern;
use crate::definition::request::RequestTemplate;
use crate::definition::retry_hint::RetryHint;
use crate::definition::rules::Rule;
use crate::definition::selector::{Selector, Selectors};
use crate::definition::states::States;
use crate::diagnostic::Diagnostic;
use crate::timing::PollSettings;
use crate::watch::observation::{ProblemKind, Proof};

pub use crate::watch::terms::NotFoundMeans;

/// A compiled definition: every selector is parsed, and every placeholder is known.
#[derive(Debug, Clone)]
pub struct Definition {
    /// The name: the file name without `.toml`.
    pub name: String,
    /// The product that it describes, in one line.
    pub title: String,
    /// The title of the documentation of the API.
    pub docs: String,
    /// The placeholders that the service or the watch must fill.
    pub params: Vec<String>,
    /// The file as it was written.
    pub text: String,
    /// The base URL for each cloud, with `{region}` in the place of the region.
    pub hosts: BTreeMap<String, String>,
    /// The service types under which service catalogs (Keystone) list the API, the most likely
    /// first.
    pub catalog: Vec<String>,
    /// The request that asks for one job.
    pub request: RequestTemplate,
    /// The selector of the elements of a list answer; one of them is the job.
    pub(crate) item: Option<Selector>,
    /// The selectors for the facts of a job.
    pub job: JobSelectors,
    /// The selectors for the facts of a child.
    pub child: JobSelectors,
    /// The status values and the state that each means.
    pub states: States,
    /// The rules that are tried before the status; the first match wins.
    pub rules: Vec<Rule>,
    /// The thing that a job id names: one operation, or a resource with one run after another.
    pub id_names: IdNames,
    /// The form of the answers, and the HTTP statuses that speak of a job.
    pub answer: AnswerForm,
    /// The selectors of the text that tells one run of a job from the next; all are joined.
    pub(crate) run: Selectors,
    /// The selectors of the time at which a run began or ended.
    pub(crate) since: Selectors,
    /// The places of the time to the next poll, in any answer.
    pub(crate) pace: Vec<Pace>,
    /// The places of the next URL and of the next job.
    pub next: Next,
    /// The request for several jobs at once.
    pub batch: Option<Batch>,
    /// The proof of a status that is not listed.
    pub(crate) unlisted: Proof,
    /// The outcome when the service certainly does not know the job.
    pub not_found_means: NotFoundMeans,
    /// The effect of a failed child on a parent that succeeded.
    pub children_verdict: ChildrenVerdict,
    /// The selectors for the code and the message of an error answer.
    pub error_body: ErrorBody,
    /// The answers that mean something else than their HTTP status says; the first match wins.
    pub errors: Vec<ErrorRule>,
    /// The places of a `retry_after`, beside the header `Retry-After`.
    pub hints: Vec<RetryHint>,
    /// The place of the job id in the answer of the call that creates the job.
    pub submit: SubmitAnswer,
    /// The poll settings that suit this family of APIs.
    pub poll: PollSettings,
    /// The parts of the file that work, but may be mistakes.
    pub warnings: Vec<Diagnostic>,
}

/// The thing that the job ids of a definition name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdNames {
    /// One piece of work, whose verdict never changes.
    #[default]
    Operation,
    /// A thing that is worked on again and again.
    Resource,
}

/// The form of the answers of an API.
#[derive(Debug, Clone)]
pub struct AnswerForm {
    /// The form of the body.
    pub format: Format,
    /// The HTTP statuses beside 2xx that may speak of the job, sorted.
    pub statuses: Vec<u16>,
    /// The XML elements that are always lists.
    pub lists: Vec<String>,
    /// The zone of times without one.
    pub zone: TimeZone,
    /// The largest body that is read, in bytes; `None` for that of the settings.
    pub max_body: Option<usize>,
}

impl AnswerForm {
    /// True if an answer with this HTTP status may speak of the job.
    pub fn claims(&self, http_status: u16) -> bool {
        (200..300).contains(&http_status) || self.statuses.contains(&http_status)
    }
}

/// The selectors for the facts of a job or of a child.
#[derive(Debug, Clone, Default)]
pub struct JobSelectors {
    pub(crate) id: Selectors,
    pub(crate) job_type: Selectors,
    /// The texts of all of these are joined with `/`; elsewhere the first text counts.
    pub(crate) status: Selectors,
    pub(crate) began_at: Selectors,
    pub(crate) ended_at: Selectors,
    pub(crate) code: Selectors,
    pub(crate) reason: Selectors,
    pub(crate) progress: Selectors,
    pub(crate) resources: Selectors,
    pub(crate) children: Selectors,
    /// The member of `resources` that contains the children; it is left out of the resources.
    pub(crate) children_member: Option<String>,
}

/// The effect of a failed child on a parent that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum ChildrenVerdict {
    /// None: the status of the parent decides.
    #[serde(rename = "parent's")]
    Parents,
    /// The job ends as `partial`.
    #[default]
    #[serde(rename = "partial")]
    Partial,
    /// The job ends as `failed`: success needs every child to succeed.
    #[serde(rename = "all")]
    All,
}

/// The selectors for the code and the message of an error answer.
#[derive(Debug, Clone)]
pub struct ErrorBody {
    pub(crate) code: Selectors,
    pub(crate) message: Selectors,
}

/// An entry of `[[errors]]`: answers that mean something else than their HTTP status says. An
/// absent or empty condition matches everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorRule {
    /// The HTTP statuses to which it applies.
    pub http: Vec<u16>,
    /// The error codes to which it applies.
    pub code: Option<Pattern>,
    /// The messages to which it applies.
    pub message: Option<Pattern>,
    /// The kind of problem that such an answer is.
    pub kind: ProblemKind,
}

impl ErrorRule {
    /// True if the entry applies to an answer with this status, code and message.
    pub fn matches(&self, http: u16, code: Option<&str>, message: Option<&str>) -> bool {
        let fits = |pattern: &Option<Pattern>, text: Option<&str>| match pattern {
            Some(pattern) => text.is_some_and(|text| pattern.matches(text)),
            None => true,
        };
        (self.http.is_empty() || self.http.contains(&http))
            && fits(&self.code, code)
            && fits(&self.message, message)
    }

    /// True if this entry matches every answer that `later` matches.
    fn covers(&self, later: &Self) -> bool {
        let wider = |mine: &Option<Pattern>, other: &Option<Pattern>| match (mine, other) {
            (None, _) => true,
            (Some(mine), Some(other)) => mine.contains(other),
            (Some(_), None) => false,
        };
        let has_all =
            !later.http.is_empty() && later.http.iter().all(|http| self.http.contains(http));
        (self.http.is_empty() || has_all)
            && wider(&self.code, &later.code)
            && wider(&self.message, &later.message)
    }
}

impl Definition {
    /// True if a job id names one operation, whose verdict never changes.
    pub fn names_operations(&self) -> bool {
        self.id_names == IdNames::Operation
    }

    /// True if a condition may name a label of the watch. A comment that mentions one counts too,
    /// which costs no more than the memory for the labels.
    pub fn asks_labels(&self) -> bool {
        self.text.contains("{label.")
    }
}
