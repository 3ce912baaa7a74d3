//! What an observation does to a watch: the one place where outcomes are decided.
//!
//! [`decide`] is a function of what polling has taught so far, one observation, the terms
//! of the watch and the time. It reads and writes only [`Tracking`], the small part of a
//! watch that stays in memory; [`record`] then carries a step that is worth telling over
//! to the whole [`Watch`].

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

/// How many `not_found` in a row end a watch on a job that was once seen.
pub const NOT_FOUND_CONFIRMATIONS: u8 = 3;

/// What polling has taught about one watch. Small: a million of them stay in memory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tracking {
    /// The job has been seen at least once.
    pub seen: bool,
    /// The last sighting was of a job waiting for a person.
    pub held: bool,
    /// What the last sighting looked like; see [`fingerprint`].
    pub fingerprint: u64,
    /// Polls made.
    pub polls: u32,
    /// Polls that were problems.
    pub problems: u32,
    /// Sightings so far: the number of the interval that follows.
    pub sightings: u32,
    /// Problems in a row: they back off by their own count.
    pub problems_in_a_row: u32,
    /// `not_found` since the last sighting.
    pub not_found_run: u8,
    /// Since when the service has given nothing but refusals.
    pub refused_since: Option<Timestamp>,
    /// The last problem met.
    pub last_problem: Option<Box<ProblemNote>>,
}

impl Tracking {
    /// What is known of `watch` from the store alone, as after a restart.
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

/// What it means that the service does not know the job, once that is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotFoundMeans {
    /// Nobody knows how it ended.
    #[default]
    Lost,
    /// It is gone, and that was the purpose: a deletion.
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

/// The constants of one watch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms<'a> {
    /// When the watch was accepted.
    pub submitted_at: Timestamp,
    /// When it times out.
    pub deadline: Timestamp,
    /// How long its service may refuse, or not know the job.
    pub timing: &'a Timing,
    /// What it means that the service does not know the job.
    pub not_found_means: NotFoundMeans,
}

/// What an observation does to a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing worth telling, and nothing to write (invariant 6).
    Unchanged,
    /// The job looks different; `kind` is the event that says so.
    Changed(EventKind),
    /// The watch is over.
    Finished(Outcome),
}

/// Decides what `observation`, made at `now`, does to a watch that is still watching.
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

/// A job never seen is lost once its grace is over: some services list a job only
/// seconds after they named it. A job once seen is lost when its absence is confirmed.
fn is_lost(tracking: &Tracking, terms: &Terms<'_>, now: Timestamp) -> bool {
    if tracking.seen {
        tracking.not_found_run >= NOT_FOUND_CONFIRMATIONS
    } else {
        until(terms.submitted_at, now) >= terms.timing.not_found_grace()
    }
}

/// A number that differs when two sightings differ in what subscribers care about: the
/// normalised state, the service's status, and the same of each child.
///
/// It never leaves the process, so it need not be stable between versions.
pub fn fingerprint(job: &Job) -> u64 {
    let mut hasher = DefaultHasher::new();
    (job.state, job.status.as_deref()).hash(&mut hasher);
    for child in &job.children {
        (child.job_id.as_deref(), child.status.as_deref()).hash(&mut hasher);
    }
    hasher.finish()
}

/// Whether the stored watch shows the job as it was just seen.
fn is_told(watch: &Watch, observation: Option<&Observation>) -> bool {
    let Some(Observation::Sighting(sighting)) = observation else {
        return false;
    };
    let stored = watch.job.as_ref();
    stored.is_some_and(|stored| fingerprint(stored) == fingerprint(&sighting.job))
}

/// Carries `step` over to `watch`: the record as it is to be stored, and the event that
/// tells of it. `None` for a step that is not worth telling, or was told already: a commit
/// that seemed to fail may have gone through.
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

/// A verdict seen after `watch` ended without one: the watch with the job as it is seen
/// now, for the event that tells of it. Its outcome stays (invariant 5), and nothing but
/// the service saying how the job ended is a verdict.
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

/// Whether a sighting says how the job ended.
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
        Observation::Sighting(Sighting {
            unknown_status: false,
            job: Job {
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
            },
            warnings: Vec::new(),
            retry_after: None,
        })
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
    fn a_late_result_is_a_verdict_of_the_service_on_a_watch_that_ended_without_one() {
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

    /// Decides on `observations`, each at its second, up to the first end.
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
    fn each_final_state_is_its_outcome() {
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
    fn only_what_is_new_is_worth_telling() {
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
    fn being_held_is_told_once_each_time() {
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
    fn problems_that_pass_never_end_a_watch_before_its_deadline() {
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
    fn a_refusal_ends_it_after_fifteen_minutes_of_nothing_else() {
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
    fn a_job_never_seen_is_lost_after_its_grace() {
        let unknown = |secs| (secs, met(ProblemKind::NotFound));
        assert_eq!(
            last(&[unknown(1), unknown(60), unknown(119)]),
            Step::Unchanged
        );
        assert_eq!(last(&[unknown(120)]), Step::Finished(Outcome::Lost));
    }

    #[test]
    fn a_job_once_seen_is_lost_when_its_absence_is_confirmed_three_times() {
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
    fn a_verdict_at_the_deadline_counts() {
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
    fn a_child_that_changes_is_worth_telling() {
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
