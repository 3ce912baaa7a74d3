//! The children of a job, and their effect on its state.

use crate::definition::reading::decide;
use crate::definition::selector::View;
use crate::definition::{ChildrenVerdict, Definition};
use crate::watch::Outcome;
use crate::watch::observation::{Child, Job, JobState, bounded};

/// The most children in an event; the verdict takes all of them into account.
pub const CHILDREN_MAX: usize = 200;
/// The most children that are read. A job with more does not count as succeeded.
const CHILDREN_READ_MAX: usize = 10_000;
/// The most levels of children within children.
const CHILD_DEPTH_MAX: usize = 64;

/// The children of a job in one list, depth first.
#[derive(Default)]
pub(super) struct Found {
    pub(super) children: Vec<Child>,
    /// True if there were too many or too deep children, which were not read.
    pub(super) is_cut: bool,
    /// The last status of a child that the definition does not list.
    pub(super) unlisted: Option<String>,
    /// True if a child has a state that is not an end.
    goes_on: bool,
    /// True if a child has no status, and no rule decides on it. It holds its parent up no longer
    /// than the parent says, because it may never get one.
    has_a_silent_one: bool,
}

impl Found {
    /// Returns the children of the job at `view`.
    pub(super) fn of(definition: &Definition, view: View<'_>) -> Self {
        let mut found = Self::default();
        collect(definition, view, 0, &mut found);
        found
    }

    /// Returns the state of a job after its children are taken into account. Only success can
    /// change: a parent that still runs may repair its children, and one that failed has failed.
    /// Children that were not read may have failed or go on.
    pub(super) fn decide(&self, verdict: ChildrenVerdict, parent: JobState) -> JobState {
        if parent != JobState::Succeeded || verdict == ChildrenVerdict::Parents {
            return parent;
        }
        let any_failed = self.children.iter().any(has_failed);
        match verdict {
            ChildrenVerdict::Partial if any_failed => JobState::Partial,
            ChildrenVerdict::All if self.goes_on || self.is_cut => JobState::Running,
            ChildrenVerdict::All if any_failed => JobState::Failed,
            _ if self.is_cut => JobState::Running,
            _ => parent,
        }
    }

    /// Returns the warnings about the children.
    pub(super) fn warnings(&self) -> Vec<String> {
        let too_many = self.is_cut.then(|| format!(
            "more than {CHILDREN_READ_MAX} children, or more than {CHILD_DEPTH_MAX} levels of children; the rest is not read"
        ));
        let unlisted = self
            .unlisted
            .as_ref()
            .map(|status| format!("a child has the status {status}, which is not listed"));
        let silent = self.has_a_silent_one.then(|| {
            "a child has no status in the place that the definition names; it does not count"
                .to_owned()
        });
        let warnings = too_many.into_iter().chain(unlisted);
        warnings.chain(silent).collect()
    }

    /// Reads the child at `view`, and notes its effect on the state of its parent.
    fn read_child(&mut self, definition: &Definition, view: View<'_>) -> Child {
        let selectors = &definition.child;
        let status = selectors.status.joined_text(view);
        let with_status = View {
            status: status.as_deref(),
            ..view
        };
        let decided = decide(definition, with_status);
        let outcome = decided.as_ref().and_then(|it| it.state.outcome());
        match &decided {
            Some(decided) if decided.is_unlisted => {
                self.unlisted = status.clone().map(bounded);
                self.goes_on = true;
            }
            Some(_) => self.goes_on |= outcome.is_none(),
            None => self.has_a_silent_one = true,
        }
        Child {
            job_id: selectors.id.first_text(view).map(bounded),
            job_type: selectors.job_type.first_text(view).map(bounded),
            outcome,
            status: status.map(bounded),
            code: selectors.code.first_text(view).map(bounded),
            reason: selectors.reason.first_text(view).map(bounded),
        }
    }
}

/// Collects the children of `parent` and their children into `found`, depth first.
fn collect(definition: &Definition, parent: View<'_>, depth: usize, found: &mut Found) {
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
        let decided = found.read_child(definition, child);
        found.children.push(decided);
        collect(definition, child, depth + 1, found);
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
pub(super) fn promote_reason(job: &mut Job) {
    if !matches!(job.state, JobState::Failed | JobState::Partial) {
        return;
    }
    if let Some(child) = job.children.iter().find(|child| has_failed(child)) {
        job.reason = job.reason.take().or_else(|| child.reason.clone());
        job.code = job.code.take().or_else(|| child.code.clone());
    }
}
