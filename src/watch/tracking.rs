//! The knowledge of one watch from its polls: the part of a watch that stays in memory.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::watch::note::Notes;
use crate::watch::observation::{Job, JobState, ProblemNote};
use crate::watch::stage::Stage;
use crate::watch::{Cause, Expect, Labels, Watch};

/// The knowledge of one watch from its polls. Small: a million of them stay in memory.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each in one byte of an entry that a million watches have"
)]
pub struct Tracking {
    /// True if at least one poll has shown the job.
    pub seen: bool,
    /// True if the run of this watch was seen pending, running or held.
    pub has_progress: bool,
    /// True if the job waited for a person at the last sighting.
    pub held: bool,
    /// True if the last sighting counted: an end that waits to be believed does not, nor does a
    /// run that has taken the place of ours.
    pub is_counted: bool,
    /// The number of `not_found` since the last sighting.
    pub not_found_run: u8,
    /// The words about how the job was seen.
    pub notes: Notes,
    /// The [`fingerprint`](Job::fingerprint) of the job at the last sighting that counted.
    pub fingerprint: u64,
    /// The polls made since the submission.
    pub polls: u32,
    /// The polls that were problems since the submission.
    pub problems: u32,
    /// The sightings since the start: the number of the interval that follows a sighting.
    pub sightings: u32,
    /// The problems in a row: the number of the interval that follows a problem.
    pub problems_in_a_row: u32,
    /// The uptime of the first refusal, if the service has only refused since then.
    pub refused_since: Option<Duration>,
    /// The last problem since the submission.
    pub last_problem: Option<Box<ProblemNote>>,
    /// The knowledge that most watches do not need.
    pub extra: Option<Box<Extra>>,
}

/// The knowledge that only some watches need, apart from the others so that it costs them
/// nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extra {
    /// The run that the watch is about: named by the submission, or learned from the first
    /// progress.
    pub run: Option<Box<str>>,
    /// True once our run was seen by its name.
    pub is_run_seen: bool,
    /// Ends from before this time are not believed, if the submission says so.
    pub since: Option<Timestamp>,
    /// The end that the watch is about, if it is not that of the job.
    pub expect: Option<Expect>,
    /// The end that waits to be believed.
    pub candidate: Option<Candidate>,
    /// The uptime since which the job is not found.
    pub absent_since: Option<Duration>,
    /// The uptime since which each sighting is an end that cannot be ours.
    pub unusable_since: Option<Duration>,
    /// The URL of the next poll, if an answer named it.
    pub follow: Option<Box<str>>,
    /// The present stage after a hand-over.
    pub stage: Option<Box<Stage>>,
    /// The labels of the watch, if its definition asks for them.
    pub labels: Option<Arc<Labels>>,
    /// The cause of the end, if the job itself does not explain it.
    pub cause: Option<Box<Cause>>,
}

/// An end that waits to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// A number that differs when two sightings differ in their end.
    pub end: u64,
    /// The uptime of the first sighting of this end.
    pub since: Duration,
    /// The number of sightings of this end, without another one in between.
    pub sightings: u32,
}

impl Tracking {
    /// Returns the tracking of a stored watch, as after a restart.
    pub fn resume(watch: &Watch) -> Self {
        let job = watch.job.as_ref();
        let held = job.is_some_and(|job| job.state == JobState::Held);
        Self {
            seen: job.is_some(),
            has_progress: watch.has_progress,
            held,
            fingerprint: job.map_or(0, Job::fingerprint),
            polls: watch.polls,
            problems: watch.problems,
            notes: watch.notes,
            last_problem: watch.last_problem.clone().map(Box::new),
            extra: Extra::resume(watch).map(Box::new),
            ..Self::default()
        }
    }

    /// Returns the tracking of the next stage: a job that was not seen yet, under the same terms.
    pub(super) fn at_stage(&self, stage: Stage) -> Self {
        let before = self.extra.as_deref();
        Self {
            polls: self.polls,
            problems: self.problems,
            notes: self.notes,
            last_problem: self.last_problem.clone(),
            extra: Some(Box::new(Extra {
                since: before.and_then(|extra| extra.since),
                expect: before.and_then(|extra| extra.expect),
                labels: before.and_then(|extra| extra.labels.clone()),
                stage: Some(Box::new(stage)),
                ..Extra::default()
            })),
            ..Self::default()
        }
    }

    /// Returns the run that the watch is about, as far as it is known.
    pub fn run(&self) -> Option<&str> {
        self.extra.as_ref()?.run.as_deref()
    }

    /// Returns the present stage; `None` before a hand-over.
    pub fn stage(&self) -> Option<&Stage> {
        self.extra.as_ref()?.stage.as_deref()
    }

    /// Returns the labels of the watch, if its definition asks for them.
    pub fn labels(&self) -> Option<&Labels> {
        self.extra.as_ref()?.labels.as_deref()
    }

    /// Returns the labels as they are kept, to share them with other watches.
    pub fn shared_labels(&self) -> Option<Arc<Labels>> {
        self.extra.as_ref()?.labels.clone()
    }

    /// Keeps the labels of the watch for its definition.
    pub fn keep_labels(&mut self, labels: Arc<Labels>) {
        self.extra_mut().labels = Some(labels);
    }

    /// Returns the URL of the next poll, if an answer named it.
    pub fn follow(&self) -> Option<&str> {
        self.extra.as_ref()?.follow.as_deref()
    }

    /// Returns the number of sightings that agree on the end which was seen last.
    pub fn confirmations(&self) -> u32 {
        let candidate = self.extra.as_ref().and_then(|extra| extra.candidate);
        candidate.map_or(1, |candidate| candidate.sightings)
    }

    /// True if an end waits to be believed. The next poll then comes soon.
    pub fn waits_for_confirmation(&self) -> bool {
        self.extra
            .as_ref()
            .is_some_and(|extra| extra.candidate.is_some())
    }

    /// Lets no time before `uptime` count for the time limits: those of refusals, of an
    /// absent job, and of ends that cannot be used.
    pub fn begin_limits_at(&mut self, uptime: Duration) {
        let (absent, unusable) = match self.extra.as_deref_mut() {
            Some(extra) => (extra.absent_since.as_mut(), extra.unusable_since.as_mut()),
            None => (None, None),
        };
        let limits = [self.refused_since.as_mut(), absent, unusable];
        for since in limits.into_iter().flatten() {
            *since = (*since).max(uptime);
        }
    }

    /// True if the submission says that the job ends by its absence.
    pub(super) fn expects_gone(&self) -> bool {
        let expect = self.extra.as_ref().and_then(|extra| extra.expect);
        expect == Some(Expect::Gone)
    }

    /// Notes the cause of the end.
    pub fn explain_end(&mut self, cause: Cause) {
        self.extra_mut().cause = Some(Box::new(cause));
    }

    /// Returns the cause of the end, if the job itself does not explain it.
    pub fn cause(&self) -> Option<&Cause> {
        self.extra.as_ref()?.cause.as_deref()
    }

    /// Returns the rare part for changes, and makes it if necessary.
    pub(super) fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }
}

impl Extra {
    /// Returns the rare part of a stored watch; `None` if the watch needs none.
    fn resume(watch: &Watch) -> Option<Self> {
        let extra = Self {
            run: watch.run.as_deref().map(Box::from),
            is_run_seen: watch.run.is_some() && watch.has_progress,
            since: watch.since,
            expect: watch.expect,
            follow: watch.follow.as_deref().map(Box::from),
            stage: watch.stage.clone().map(Box::new),
            ..Self::default()
        };
        (extra != Self::default()).then_some(extra)
    }
}
