//! What a family of job APIs looks like: a TOML file, checked and compiled.
//!
//! A definition is data; a new API needs no code. [`file`](mod@file) is the file as written,
//! [`compile`](mod@compile) checks it and makes a [`Definition`], [`catalog`] is where
//! definitions are found, [`request`] how the job is asked for, [`reading`] how an answer
//! becomes an observation, and [`explain`] says why.

pub mod catalog;
pub mod compile;
pub mod created_job;
pub mod explain;
mod file;
mod lint;
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

use crate::definition::created_job::SubmitAnswer;
use crate::definition::pattern::Pattern;
use crate::definition::request::RequestTemplate;
use crate::definition::retry_hint::RetryHint;
use crate::definition::rules::Rule;
use crate::definition::selector::{Selector, Selectors};
use crate::definition::states::States;
use crate::timing::PollSettings;
use crate::watch::observation::ProblemKind;

pub use crate::watch::transition::NotFoundMeans;

/// A definition, compiled: every selector parsed, every placeholder known.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Its name: the file name without `.toml`.
    pub name: String,
    /// What it is for, in one line.
    pub title: String,
    /// Where the API is documented, as a title.
    pub docs: String,
    /// Placeholders that the service or the watch must fill.
    pub params: Vec<String>,
    /// The file as it was written.
    pub text: String,
    /// Base URLs by cloud, with `{region}` in the place of the region.
    pub hosts: BTreeMap<String, String>,
    /// The types of service under which catalogs of identity services have it, the likeliest
    /// first.
    pub catalog: Vec<String>,
    /// How the job is asked for.
    pub request: RequestTemplate,
    /// The elements of a list answer, of which one is the job.
    pub(crate) item: Option<Selector>,
    /// Where the facts of a job stand in the answer.
    pub job: JobSelectors,
    /// Where the facts of a child stand in it.
    pub child: JobSelectors,
    /// What the status values mean.
    pub states: States,
    /// What is looked at before the status; first match wins.
    pub rules: Vec<Rule>,
    /// What it means that the service does not know the job.
    pub not_found_means: NotFoundMeans,
    /// What a failed child does to a parent that succeeded.
    pub children_verdict: ChildrenVerdict,
    /// Where an error body has its code and message.
    pub error_body: ErrorBody,
    /// Answers whose meaning differs from what their HTTP status says; first match wins.
    pub errors: Vec<ErrorRule>,
    /// Where a retry_after to wait stands, beside `Retry-After`.
    pub hints: Vec<RetryHint>,
    /// Where the answer of the creating call has the job's id.
    pub submit: SubmitAnswer,
    /// The schedule this family asks for by default.
    pub poll: PollSettings,
}

/// Where the facts of a job stand.
#[derive(Debug, Clone, Default)]
pub struct JobSelectors {
    pub(crate) id: Selectors,
    pub(crate) job_type: Selectors,
    /// All of these, joined with `/`; not the first that yields.
    pub(crate) status: Selectors,
    pub(crate) began_at: Selectors,
    pub(crate) ended_at: Selectors,
    pub(crate) code: Selectors,
    pub(crate) reason: Selectors,
    pub(crate) progress: Selectors,
    pub(crate) resources: Selectors,
    pub(crate) children: Selectors,
    /// The member of `resources` that holds the children, which is not repeated there.
    pub(crate) children_member: Option<String>,
}

/// What a failed child does to a parent that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
pub enum ChildrenVerdict {
    /// Nothing: the parent's word stands.
    #[serde(rename = "parent's")]
    Parents,
    /// The job is `partial`.
    #[default]
    #[serde(rename = "partial")]
    Partial,
    /// The job has failed: success needs every child to succeed.
    #[serde(rename = "all")]
    All,
}

/// Where an error body has its code and message.
#[derive(Debug, Clone)]
pub struct ErrorBody {
    pub(crate) code: Selectors,
    pub(crate) message: Selectors,
}

/// An answer whose meaning differs from what its HTTP status says. What is absent or
/// empty matches everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorRule {
    /// The HTTP statuses it applies to.
    pub http: Vec<u16>,
    /// The error codes it applies to.
    pub code: Option<Pattern>,
    /// The messages it applies to.
    pub message: Option<Pattern>,
    /// What it means.
    pub kind: ProblemKind,
}

impl ErrorRule {
    /// Whether an answer with this status, code and message is meant.
    pub fn matches(&self, http: u16, code: Option<&str>, message: Option<&str>) -> bool {
        let fits = |pattern: &Option<Pattern>, text: Option<&str>| match pattern {
            Some(pattern) => text.is_some_and(|text| pattern.matches(text)),
            None => true,
        };
        (self.http.is_empty() || self.http.contains(&http))
            && fits(&self.code, code)
            && fits(&self.message, message)
    }

    /// Whether this entry matches whenever `later` does.
    fn covers(&self, later: &Self) -> bool {
        let wider =
            |mine: &Option<Pattern>, other: &Option<Pattern>| mine.is_none() || mine == other;
        let has_all =
            !later.http.is_empty() && later.http.iter().all(|http| self.http.contains(http));
        (self.http.is_empty() || has_all)
            && wider(&self.code, &later.code)
            && wider(&self.message, &later.message)
    }
}
