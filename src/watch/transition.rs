//! The effect of an observation on a watch: the only place that decides on outcomes.
//!
//! [`decide`] is a function of the tracking so far, one observation, the terms of the watch
//! and the time. It reads and writes only [`Tracking`], the small part of a watch that stays
//! in memory; [`record`] then carries a step that makes an event over to the whole [`Watch`].

use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::until;
use crate::timing::Timing;
use crate::watch::event::EventKind;
use crate::watch::observation::{
    Job, JobState, Observation, Problem, ProblemKind, ProblemNote, Sighting,
};
use crate::watch::{Outcome, State, Watch};

/// The number of `not_found` in a row that ends a watch whose job was seen before.
pub const NOT_FOUND_CONFIRMATIONS: u8 = 3;

/// The knowledge of one watch from its polls. Small: a million of them stay in memory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tracking {
    /// True if at least one poll has shown the job.
    pub seen: bool,
    /// True if the job waited for a person at the last sighting.
    pub held: bool,
    /// The [`fingerprint`] of the job at the last sighting.
    pub fingerprint: u64,
    /// The polls made since the submission.
    pub polls: u32,
    /// The polls that were problems since the submission.
    pub problems: u32,
    /// The sightings since the start: the number of the interval that follows a sighting.
    pub sightings: u32,
    /// The problems in a row: the number of the interval that follows a problem.
    pub problems_in_a_row: u32,
    /// The number of `not_found` since the last sighting.
    pub not_found_run: u8,
    /// The time of the first refusal, if the service has only refused since then.
    pub refused_since: Option<Timestamp>,
    /// The last problem since the submission.
    pub last_problem: Option<Box<ProblemNote>>,
}

impl Tracking {
    /// Returns the tracking of a stored watch, as after a restart.
    pub fn resume(watch: &Watch) -> Self {
        let job = watch.job.as_ref();
        let held = job.is_some_and(|job| job.state == JobState::Held);
        Self {
            seen: job.is_some(),
            held,
            fingerprint: job.map_or(0, fingerprint),
            polls: watch.polls,
            problems: watch.problems,
            last_problem: watch.last_problem.clone().map(Box::new),
            ..Self::default()
        }
    }
}

/// The outcome when the service certainly does not know the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotFoundMeans {
    /// The end of the job cannot be known.
    #[default]
    Lost,
    /// The job was a deletion, and it is done: the resource is gone.
    Succeeded,
}

impl NotFoundMeans {
    fn outcome(self) -> Outcome {
        match self {
            Self::Lost => Outcome::Lost,
            Self::Succeeded => Outcome::Succeeded,
        }
    }
}

/// The terms of one watch, which its polls do not change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms<'a> {
    /// The time at which the watch was accepted.
    pub submitted_at: Timestamp,
    /// The time at which the watch ends as `timed_out`.
    pub deadline: Timestamp,
    /// The timing of its service: how long it may refuse, or not know the job.
    pub timing: &'a Timing,
    /// The outcome when the service certainly does not know the job.
    pub not_found_means: NotFoundMeans,
}

/// The effect of an observation on a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is nothing new, so there is no event and nothing to write (invariant 6).
    Unchanged,
    /// The job changed, which makes an event of this kind.
    Changed(EventKind),
    /// The watch ends with this outcome.
    Finished(Outcome),
}

/// Decides on the effect of `observation`, made at `now`, on a watch without an outcome.
pub fn decide(
    tracking: &mut Tracking,
    observation: &Observation,
    terms: &Terms<'_>,
    now: Timestamp,
) -> Step {
    tracking.polls = tracking.polls.saturating_add(1);
    let step = match observation {
        Observation::Sighting(sighting) => on_sighting(tracking, sighting),
        Observation::Problem(problem) => on_problem(tracking, problem, terms, now),
    };
    match step {
        Step::Finished(_) => step,
        _ if now >= terms.deadline => Step::Finished(Outcome::TimedOut),
        _ => step,
    }
}

fn on_sighting(tracking: &mut Tracking, sighting: &Sighting) -> Step {
    let looks = fingerprint(&sighting.job);
    let is_new = !tracking.seen || looks != tracking.fingerprint;
    let was_held = tracking.held;
    tracking.seen = true;
    tracking.held = sighting.job.state == JobState::Held;
    tracking.fingerprint = looks;
    tracking.sightings = tracking.sightings.saturating_add(1);
    tracking.problems_in_a_row = 0;
    tracking.not_found_run = 0;
    tracking.refused_since = None;
    match sighting.job.state.outcome() {
        Some(outcome) => Step::Finished(outcome),
        None if tracking.held && !was_held => Step::Changed(EventKind::Held),
        None if is_new => Step::Changed(EventKind::Changed),
        None => Step::Unchanged,
    }
}

fn on_problem(
    tracking: &mut Tracking,
    problem: &Problem,
    terms: &Terms<'_>,
    now: Timestamp,
) -> Step {
    tracking.problems = tracking.problems.saturating_add(1);
    tracking.problems_in_a_row = tracking.problems_in_a_row.saturating_add(1);
    tracking.last_problem = Some(Box::new(ProblemNote::new(problem, now)));
    match problem.kind {
        ProblemKind::Forbidden | ProblemKind::Misconfigured => {
            let since = *tracking.refused_since.get_or_insert(now);
            if until(since, now) >= terms.timing.give_up_after() {
                return Step::Finished(Outcome::Unknown);
            }
        }
        ProblemKind::NotFound => {
            tracking.refused_since = None;
            tracking.not_found_run = tracking.not_found_run.saturating_add(1);
            if is_lost(tracking, terms, now) {
                return Step::Finished(terms.not_found_means.outcome());
            }
        }
        ProblemKind::Throttled
        | ProblemKind::Unreachable
        | ProblemKind::ServerError
        | ProblemKind::Unreadable
        | ProblemKind::Unauthorized => tracking.refused_since = None,
    }
    Step::Unchanged
}

/// A job that was never seen is lost after its grace: some services list a job only seconds
/// after they named it. A job that was seen is lost when its absence is confirmed.
fn is_lost(tracking: &Tracking, terms: &Terms<'_>, now: Timestamp) -> bool {
    if tracking.seen {
        tracking.not_found_run >= NOT_FOUND_CONFIRMATIONS
    } else {
        until(terms.submitted_at, now) >= terms.timing.not_found_grace()
    }
}

/// Returns a number that differs when two sightings differ in something that makes an event:
/// the state and the status of the job, and the id and the status of each child.
///
/// It stays within the process, so it need not be stable between versions.
pub fn fingerprint(job: &Job) -> u64 {
    let mut hasher = DefaultHasher::new();
    (job.state, job.status.as_deref()).hash(&mut hasher);
    for child in &job.children {
        (child.job_id.as_deref(), child.status.as_deref()).hash(&mut hasher);
    }
    hasher.finish()
}

/// True if the stored watch shows the job as this observation does: its event exists.
fn is_told(watch: &Watch, observation: Option<&Observation>) -> bool {
    let Some(Observation::Sighting(sighting)) = observation else {
        return false;
    };
    let stored = watch.job.as_ref();
    stored.is_some_and(|stored| fingerprint(stored) == fingerprint(&sighting.job))
}

/// Carries `step` over to `watch`. Returns the watch to store and the kind of its event;
/// `None` for a step that makes no event, or whose event exists: a commit that seemed to fail
/// may have gone through.
pub fn record(
    watch: &Watch,
    tracking: &Tracking,
    observation: Option<&Observation>,
    step: Step,
    now: Timestamp,
) -> Option<(Watch, EventKind)> {
    let kind = match step {
        Step::Unchanged => return None,
        Step::Changed(_) if is_told(watch, observation) => return None,
        Step::Changed(kind) => kind,
        Step::Finished(outcome) => EventKind::Finished(outcome),
    };
    let mut next = watch.clone();
    if let Some(Observation::Sighting(sighting)) = observation {
        next.unknown_status = sighting
            .unknown_status
            .then(|| sighting.job.status.clone())
            .flatten();
        next.job = Some(sighting.job.clone());
    }
    if let Step::Finished(outcome) = step {
        next.state = State::Final(outcome);
        next.finished_at = Some(now);
    }
    next.polls = tracking.polls;
    next.problems = tracking.problems;
    next.last_problem = tracking.last_problem.as_deref().cloned();
    next.revision = watch.revision.saturating_add(1);
    Some((next, kind))
}

/// Returns the watch with the job as it is seen now, for the event of a late result; `None`
/// unless the watch ended without a verdict and this observation is one. The outcome stays
/// (invariant 5). Only a service that says how the job ended gives a verdict.
pub fn late_result(watch: &Watch, observation: &Observation) -> Option<Watch> {
    let may_come = watch.state.outcome().is_some_and(Outcome::may_come_late);
    match observation {
        Observation::Sighting(sighting) if may_come && is_verdict(sighting) => Some(Watch {
            job: Some(sighting.job.clone()),
            ..watch.clone()
        }),
        _ => None,
    }
}

/// True if a sighting says how the job ended.
pub fn is_verdict(sighting: &Sighting) -> bool {
    sighting.job.state.outcome().is_some()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::later;
    use crate::timing::PollSettings;
    use crate::timing::sample::least;

    fn start() -> Timestamp {
        "2026-11-22T10:00:00Z".parse().unwrap()
    }

    fn at(secs: u64) -> Timestamp {
        later(start(), Duration::from_secs(secs))
    }

    fn timing() -> Timing {
        let settings = PollSettings {
            not_found_grace: Some(Duration::from_mins(2)),
            give_up_after: Some(Duration::from_mins(15)),
            ..least()
        };
        settings.complete().unwrap()
    }

    fn terms(timing: &Timing) -> Terms<'_> {
        Terms {
            submitted_at: start(),
            deadline: at(3600),
            timing,
            not_found_means: NotFoundMeans::Lost,
        }
    }

    fn seen(state: JobState, status: &str) -> Observation {
        Observation::Sighting(Sighting::of(Job {
            state,
            job_type: None,
            status: Some(status.to_owned()),
            code: None,
            reason: None,
            began_at: None,
            ended_at: None,
            progress: None,
            resources: None,
            children: Vec::new(),
        }))
    }

    fn met(kind: ProblemKind) -> Observation {
        Observation::Problem(Problem::new(kind, "words"))
    }

    fn watch_that_is(state: State) -> Watch {
        Watch {
            id: crate::watch::WatchId(uuid::Uuid::from_u128(1)),
            service: "dcs".to_owned(),
            definition: "dcs".to_owned(),
            job_id: "j".to_owned(),
            params: crate::watch::Params::new(),
            labels: crate::watch::Labels::new(),
            sinks: Vec::new(),
            callback_url: None,
            submitted_at: start(),
            deadline: at(3600),
            state,
            job: None,
            finished_at: None,
            polls: 3,
            problems: 0,
            last_problem: None,
            unknown_status: None,
            revision: 1,
        }
    }

    #[test]
    fn late_result_needs_a_verdict_and_a_watch_without_one() {
        let verdict = seen(JobState::Failed, "FAIL");
        for outcome in Outcome::ALL {
            let watch = watch_that_is(State::Final(outcome));
            let late = late_result(&watch, &verdict);
            let may_come = [Outcome::TimedOut, Outcome::Lost].contains(&outcome);
            assert_eq!(late.is_some(), may_come, "{outcome}");
            assert!(
                late.is_none_or(|late| late.state == watch.state),
                "{outcome}"
            );
        }
        assert_eq!(late_result(&watch_that_is(State::Watching), &verdict), None);
        let timed_out = watch_that_is(State::Final(Outcome::TimedOut));
        for nothing in [
            seen(JobState::Running, "RUNNING"),
            met(ProblemKind::NotFound),
            met(ProblemKind::Forbidden),
        ] {
            assert_eq!(late_result(&timed_out, &nothing), None);
        }
    }

    /// Decides on `observations`, each at its second, until the first end.
    fn decide_all(observations: &[(u64, Observation)]) -> Vec<Step> {
        let mut tracking = Tracking::default();
        let mut steps = Vec::new();
        let timing = timing();
        for (secs, observation) in observations {
            let step = decide(&mut tracking, observation, &terms(&timing), at(*secs));
            steps.push(step);
            if matches!(step, Step::Finished(_)) {
                break;
            }
        }
        steps
    }

    fn last(observations: &[(u64, Observation)]) -> Step {
        *decide_all(observations).last().unwrap()
    }

    #[test]
    fn each_final_state_gives_its_outcome() {
        for (state, outcome) in [
            (JobState::Succeeded, Outcome::Succeeded),
            (JobState::Failed, Outcome::Failed),
            (JobState::Partial, Outcome::Partial),
            (JobState::Cancelled, Outcome::Cancelled),
        ] {
            assert_eq!(last(&[(1, seen(state, "X"))]), Step::Finished(outcome));
        }
    }

    #[test]
    fn only_a_change_makes_an_event() {
        let running = || seen(JobState::Running, "RUNNING");
        let changed = Step::Changed(EventKind::Changed);
        assert_eq!(
            decide_all(&[
                (1, seen(JobState::Pending, "INIT")),
                (2, running()),
                (3, running()),
                (4, met(ProblemKind::Unreachable)),
                (5, running()),
            ]),
            [
                changed,
                changed,
                Step::Unchanged,
                Step::Unchanged,
                Step::Unchanged
            ]
        );
    }

    #[test]
    fn each_hold_makes_one_event() {
        let held = || seen(JobState::Held, "PENDING_PAYMENT");
        assert_eq!(
            decide_all(&[
                (1, held()),
                (2, held()),
                (3, seen(JobState::Running, "RUNNING")),
                (4, held())
            ]),
            [
                Step::Changed(EventKind::Held),
                Step::Unchanged,
                Step::Changed(EventKind::Changed),
                Step::Changed(EventKind::Held),
            ]
        );
    }

    #[test]
    fn passing_problems_never_end_a_watch_before_its_deadline() {
        for kind in [
            ProblemKind::Throttled,
            ProblemKind::Unreachable,
            ProblemKind::ServerError,
            ProblemKind::Unreadable,
            ProblemKind::Unauthorized,
        ] {
            let mut many: Vec<_> = (0..3600).map(|secs| (secs, met(kind))).collect();
            assert_eq!(last(&many), Step::Unchanged, "{kind}");
            many.push((3600, met(kind)));
            assert_eq!(last(&many), Step::Finished(Outcome::TimedOut), "{kind}");
        }
    }

    #[test]
    fn refusals_alone_end_a_watch_after_give_up_after() {
        for kind in [ProblemKind::Forbidden, ProblemKind::Misconfigured] {
            let refused = |secs| (secs, met(kind));
            assert_eq!(last(&[refused(0), refused(899)]), Step::Unchanged);
            assert_eq!(
                last(&[refused(0), refused(900)]),
                Step::Finished(Outcome::Unknown)
            );
            let interrupted = [
                refused(0),
                (500, met(ProblemKind::ServerError)),
                refused(900),
            ];
            assert_eq!(last(&interrupted), Step::Unchanged);
        }
    }

    #[test]
    fn job_never_seen_is_lost_after_its_grace() {
        let unknown = |secs| (secs, met(ProblemKind::NotFound));
        assert_eq!(
            last(&[unknown(1), unknown(60), unknown(119)]),
            Step::Unchanged
        );
        assert_eq!(last(&[unknown(120)]), Step::Finished(Outcome::Lost));
    }

    #[test]
    fn job_once_seen_is_lost_after_three_not_found() {
        let running = || (1, seen(JobState::Running, "RUNNING"));
        let unknown = |secs| (secs, met(ProblemKind::NotFound));
        assert_eq!(
            last(&[running(), unknown(500), unknown(510)]),
            Step::Unchanged
        );
        assert_eq!(
            last(&[running(), unknown(500), unknown(510), unknown(520)]),
            Step::Finished(Outcome::Lost)
        );
        let found_again = [
            running(),
            unknown(2),
            unknown(3),
            (4, seen(JobState::Running, "RUNNING")),
            unknown(5),
        ];
        assert_eq!(last(&found_again), Step::Unchanged);
    }

    #[test]
    fn verdict_at_the_deadline_counts() {
        assert_eq!(
            last(&[(3600, seen(JobState::Succeeded, "SUCCESS"))]),
            Step::Finished(Outcome::Succeeded)
        );
        assert_eq!(
            last(&[(3600, seen(JobState::Running, "RUNNING"))]),
            Step::Finished(Outcome::TimedOut)
        );
    }

    #[test]
    fn changed_child_makes_an_event() {
        let with_child = |status: &str| {
            let Observation::Sighting(mut sighting) = seen(JobState::Running, "RUNNING") else {
                unreachable!("`seen` makes sightings")
            };
            sighting
                .job
                .children
                .push(crate::watch::observation::Child {
                    job_id: Some("child".into()),
                    job_type: None,
                    status: Some(status.to_owned()),
                    outcome: None,
                    code: None,
                    reason: None,
                });
            Observation::Sighting(sighting)
        };
        assert_eq!(
            decide_all(&[
                (1, with_child("INIT")),
                (2, with_child("INIT")),
                (3, with_child("SUCCESS"))
            ]),
            [
                Step::Changed(EventKind::Changed),
                Step::Unchanged,
                Step::Changed(EventKind::Changed),
            ]
        );
    }
}
