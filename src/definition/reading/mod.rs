//! Turns one answer into one observation.
//!
//! Pure. A verdict comes only from a status in an answer about the right job, with a HTTP
//! status that speaks of jobs: 2xx, or one that the definition claims. Every other answer is a
//! problem, and a problem is never a verdict (invariant 1).
//!
//! [`tree`] reads the body, [`job`] the facts of a job, [`children`] those of its children,
//! [`beside`] the run, the pace and the next poll, [`refusal`] the errors, and [`list`] the
//! answers about several jobs.

mod beside;
mod children;
mod job;
pub mod list;
mod refusal;
mod tree;

use jiff::Timestamp;
use serde_json::Value;

use crate::definition::Definition;
use crate::definition::ids::same_id;
use crate::definition::reading::tree::Tree;
use crate::definition::selector::{Selector, View};
use crate::definition::states::Entry;
use crate::outbound::{html, retry_after};
use crate::watch::observation::{JobState, Observation, Problem, ProblemKind, Proof, Sighting};

pub use crate::definition::answer::{Answer, Asked};
pub(super) use crate::definition::reading::beside::by_our_clock;
pub use crate::definition::reading::children::CHILDREN_MAX;

/// The state of a job, and the reason for it.
struct Decided {
    state: JobState,
    proof: Proof,
    /// True if the definition does not list the status, so that the job counts as running.
    is_unlisted: bool,
}

/// The state that an answer gives without its body.
enum Head {
    /// A rule or a state decides on the head alone.
    Decides(Decided),
    /// No rule and no state decides on it.
    Silent,
    /// A rule that fits the head also asks the body, and so cannot be decided without it.
    NeedsTheBody,
}

/// One answer with the definition that reads it.
#[derive(Clone, Copy)]
struct Reading<'a> {
    definition: &'a Definition,
    asked: &'a Asked<'a>,
    answer: &'a Answer<'a>,
    now: Timestamp,
}

/// Reads `answer`, the answer to a poll of the job that is `asked` for, by `definition`.
pub fn read(
    definition: &Definition,
    asked: &Asked<'_>,
    answer: &Answer<'_>,
    now: Timestamp,
) -> Observation {
    let reading = Reading {
        definition,
        asked,
        answer,
        now,
    };
    let tree = Tree::of(definition, answer);
    reading.observe(&tree)
}

/// Calls `visit` with the view at which the job starts, if the answer has it.
pub(super) fn look<T>(
    definition: &Definition,
    asked: &Asked<'_>,
    answer: &Answer<'_>,
    now: Timestamp,
    visit: impl FnOnce(View<'_>) -> T,
) -> Option<T> {
    let reading = Reading {
        definition,
        asked,
        answer,
        now,
    };
    let tree = Tree::of(definition, answer);
    let whole = reading.view(tree.root().unwrap_or(&Value::Null));
    reading.item(whole).ok().map(visit)
}

impl<'a> Reading<'a> {
    /// Returns a view of the whole answer, in which `$` is `root`.
    fn view(&self, root: &'a Value) -> View<'a> {
        View {
            root,
            answer: self.answer,
            asked: self.asked,
            status: None,
        }
    }

    fn observe(&self, tree: &'a Tree) -> Observation {
        let retry_after = retry_after::read(self.answer.headers, self.now);
        let root = tree.root().unwrap_or(&Value::Null);
        let whole = self.view(root);
        match self.job(tree) {
            Ok((sighting, item)) => Observation::Sighting(Sighting {
                retry_after,
                pace: self.pace(item, whole),
                ..sighting
            }),
            Err(mut problem) => {
                let item = self.item(whole).unwrap_or(whole);
                problem.retry_after = retry_after.or_else(|| self.hinted_wait(&problem));
                problem.pace = self.pace(item, whole);
                if tree.is_unread() {
                    self.quote_page(&mut problem);
                }
                Observation::Problem(problem)
            }
        }
    }

    /// Returns the sighting of the job, and the view at which it starts.
    fn job(&self, tree: &'a Tree) -> Result<(Sighting, View<'a>), Problem> {
        if !self.definition.answer.claims(self.answer.http_status) {
            return Err(self.refusal_in(tree.root().unwrap_or(&Value::Null)));
        }
        // The page of a proxy, even where the definition claims the status.
        if self.answer.http_status == 404 && html::is_page(self.answer.body) {
            return Err(self.refusal(tree));
        }
        let read = match tree {
            Tree::Read { root, .. } => self.job_in(self.view(root)),
            Tree::Beginning { root, .. } => self.job_in_the_beginning(self.view(root)),
            Tree::Unread(why) => self.job_without_a_tree(why),
        };
        let (mut sighting, item) = match read {
            Err(_) if !self.answer.is_success() => return Err(self.refusal(tree)),
            read => read?,
        };
        if tree.is_lenient() {
            sighting.proof.is_lenient = true;
            sighting.warnings.push(tree::LENIENT.to_owned());
        }
        Ok((sighting, item))
    }

    /// Reads a job in an answer with a tree.
    fn job_in(&self, whole: View<'a>) -> Result<(Sighting, View<'a>), Problem> {
        let view = match self.item(whole) {
            Ok(view) => view,
            // Another status than 2xx may be about the job, and have no list.
            Err(problem) if self.answer.is_success() => return Err(problem),
            Err(problem) => {
                let Head::Decides(decided) = self.head(whole) else {
                    return Err(problem);
                };
                // No item is about the job, so no id can be looked at.
                return Ok((self.sighting(whole, whole, None, decided), whole));
            }
        };
        self.job_at(view, whole).map(|sighting| (sighting, view))
    }

    /// Reads the job at `view`.
    fn job_at(&self, view: View<'_>, whole: View<'_>) -> Result<Sighting, Problem> {
        let definition = self.definition;
        let status = definition.job.status.joined_text(view);
        let mapped = || refusal::mapped(definition, self.answer, whole.root);
        if status.is_none()
            && self.answer.is_success()
            && let Some(problem) = mapped()
        {
            return Err(problem);
        }
        let with_status = View {
            status: status.as_deref(),
            ..view
        };
        let Some(decided) = decide(definition, with_status) else {
            return Err(self.unreadable(
                "the body has no job status in the place that the definition names".to_owned(),
            ));
        };
        if decided.is_unlisted {
            if let Some(problem) = mapped() {
                return Err(problem);
            }
            if !self.answer.is_success() {
                return Err(self.unreadable("the status is not listed".to_owned()));
            }
            if !definition.job.status.need_a_tree()
                && !definition.job.status.ask_only_the_head()
                && let Some(words) = html::words(self.answer.body)
            {
                return Err(self.unreadable(format!("the answer is HTML: {words}")));
            }
        }
        self.is_asked_for(view)?;
        Ok(self.sighting(view, whole, status, decided))
    }

    /// Reads a job in the beginning of a body. It shows a job that goes on, never an end, unless
    /// the head of the answer says so.
    fn job_in_the_beginning(&self, whole: View<'a>) -> Result<(Sighting, View<'a>), Problem> {
        if let Head::Decides(decided) = self.head(whole) {
            return self.job_by_the_head(whole, decided);
        }
        let too_large = || self.unreadable(tree::too_large(self.answer));
        let view = self.item(whole).map_err(|_| too_large())?;
        let status = self.definition.job.status.joined_text(view);
        let with_status = View {
            status: status.as_deref(),
            ..view
        };
        let decided = decide(self.definition, with_status)
            .filter(|decided| decided.state.outcome().is_none() && !decided.is_unlisted);
        let decided = decided.ok_or_else(too_large)?;
        self.is_asked_for(view)?;
        Ok((self.sighting(view, whole, status, decided), view))
    }

    /// Reads a job whose state stands outside the body, or in a text.
    fn job_without_a_tree(&self, why: &str) -> Result<(Sighting, View<'a>), Problem> {
        let nothing = self.view(&Value::Null);
        let status = &self.definition.job.status;
        match self.head(nothing) {
            Head::Decides(decided) => self.job_by_the_head(nothing, decided),
            Head::Silent if !self.answer.is_cut && !status.is_empty() && !status.need_a_tree() => {
                let sighting = self.job_at(nothing, nothing)?;
                Ok((sighting, nothing))
            }
            _ => Err(self.unreadable(why.to_owned())),
        }
    }

    /// Returns the job whose state the head of an answer gives. The body, as far as there is one,
    /// must not be about another job; an end in a body that was cut needs the id of this one.
    fn job_by_the_head(
        &self,
        whole: View<'a>,
        decided: Decided,
    ) -> Result<(Sighting, View<'a>), Problem> {
        let view = self.item(whole).unwrap_or(whole);
        self.is_asked_for(view)?;
        let is_end = decided.state.outcome().is_some();
        if is_end && self.answer.is_cut && !self.shows_its_id(view) {
            return Err(self.unreadable(tree::too_large(self.answer)));
        }
        let status = self.definition.job.status.joined_text(whole);
        Ok((self.sighting(view, whole, status, decided), view))
    }

    /// True if the answer has the job id at `view`, or need not have it.
    fn shows_its_id(&self, view: View<'_>) -> bool {
        let id = &self.definition.job.id;
        self.asked.job_id.is_none() || id.is_empty() || id.first_text(view).is_some()
    }

    /// Returns the state that the head of the answer gives: by a rule about the head alone, or by
    /// a status that stands there.
    fn head(&self, view: View<'_>) -> Head {
        let definition = self.definition;
        let status = &definition.job.status;
        let status = status.ask_only_the_head().then(|| status.joined_text(view));
        let view = View {
            status: status.as_ref().and_then(Option::as_deref),
            ..view
        };
        // A rule about the body cannot hold for one that is empty or a plain word, as `OK`.
        let first = self.answer.body.trim_ascii().first();
        let is_document = first.is_some_and(|first| !first.is_ascii_alphanumeric());
        for rule in &definition.rules {
            if rule.asks_only_the_head() {
                if rule.holds(view) {
                    return Head::Decides(Decided::by(rule.outcome, &rule.proof));
                }
            } else if is_document && rule.head_holds(view) {
                return Head::NeedsTheBody;
            }
        }
        let decided = view.status.map(|status| listed(definition, status));
        match decided.filter(|decided| !decided.is_unlisted) {
            Some(decided) => Head::Decides(decided),
            None => Head::Silent,
        }
    }

    /// Returns the element of a list answer that is about the job; the whole answer if the
    /// definition has no list.
    fn item(&self, whole: View<'a>) -> Result<View<'a>, Problem> {
        let Some(item) = &self.definition.item else {
            return Ok(whole);
        };
        let id = &self.definition.job.id;
        let is_asked_for = |view: View<'_>| match (self.asked.job_id, id.is_empty()) {
            (Some(job_id), false) => id.first_text(view).is_some_and(|id| same_id(&id, job_id)),
            _ => true,
        };
        let elements = item.nodes(whole.root);
        let found = elements
            .iter()
            .map(|element| whole.at(element))
            .find(|view| is_asked_for(*view));
        found.ok_or_else(|| {
            let mapped = refusal::mapped(self.definition, self.answer, whole.root);
            mapped.unwrap_or_else(|| Problem {
                http_status: Some(self.answer.http_status),
                ..no_such_item(item, whole.root, elements.is_empty())
            })
        })
    }

    fn is_asked_for(&self, view: View<'_>) -> Result<(), Problem> {
        let Some(job_id) = self.asked.job_id else {
            return Ok(());
        };
        let other = self.definition.job.id.first_text(view);
        match other.filter(|id| !same_id(id, job_id)) {
            Some(other) => {
                Err(self.unreadable(format!("the answer is about another job: {other}")))
            }
            None => Ok(()),
        }
    }

    fn unreadable(&self, message: String) -> Problem {
        Problem {
            http_status: Some(self.answer.http_status),
            ..Problem::new(ProblemKind::Unreadable, message)
        }
    }
}

impl Decided {
    fn by(state: JobState, proof: &Proof) -> Self {
        Self {
            state,
            proof: proof.clone(),
            is_unlisted: false,
        }
    }
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
fn decide(definition: &Definition, view: View<'_>) -> Option<Decided> {
    if let Some(rule) = definition.rules.iter().find(|rule| rule.holds(view)) {
        return Some(Decided::by(rule.outcome, &rule.proof));
    }
    Some(listed(definition, view.status?))
}

/// Returns the state that a status means. One that is not listed counts as running.
fn listed(definition: &Definition, status: &str) -> Decided {
    let unlisted = &definition.unlisted;
    match definition.states.entry(status) {
        Some(Entry { state, rule, .. }) => Decided {
            state: *state,
            proof: Proof {
                rule: rule.clone(),
                ..unlisted.clone()
            },
            is_unlisted: false,
        },
        None => Decided {
            is_unlisted: true,
            ..Decided::by(JobState::Running, unlisted)
        },
    }
}
