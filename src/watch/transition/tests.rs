//! The effect of sequences of observations; `freshness` has those with several runs.

mod freshness;

use std::time::Duration;

use super::*;
use crate::clock::later;
use crate::timing::sample::least;
use crate::timing::{PollSettings, Timing};

fn start() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

fn at(secs: u64) -> Timestamp {
    later(start(), Duration::from_secs(secs))
}

fn moment(secs: u64) -> Moment {
    Moment {
        at: at(secs),
        uptime: Duration::from_secs(secs),
    }
}

fn timing() -> Timing {
    let settings = PollSettings {
        not_found_grace: Some(Duration::from_mins(2)),
        gone_after: Some(Duration::from_mins(1)),
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
        definition: "dcs",
        hands_over: false,
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
    let id = crate::watch::WatchId(uuid::Uuid::from_u128(1));
    Watch {
        state,
        polls: 3,
        revision: 1,
        ..Watch::new(id, ("dcs", "dcs"), "j", start(), at(3600))
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
        let mut observation = observation.clone();
        let now = moment(*secs);
        let step = decide(&mut tracking, &mut observation, &terms(&timing), now);
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
    assert_eq!(
        last(&[unknown(300), unknown(420)]),
        Step::Unchanged,
        "not confirmed"
    );
    assert_eq!(
        last(&[unknown(300), unknown(360), unknown(420)]),
        Step::Finished(Outcome::Lost)
    );
}

#[test]
fn job_once_seen_is_lost_after_gone_after() {
    let running = |secs| (secs, seen(JobState::Running, "RUNNING"));
    let unknown = |secs| (secs, met(ProblemKind::NotFound));
    assert_eq!(
        last(&[running(1), unknown(500), unknown(510), unknown(559)]),
        Step::Unchanged
    );
    assert_eq!(
        last(&[running(1), unknown(500), unknown(560)]),
        Step::Unchanged,
        "not confirmed"
    );
    assert_eq!(
        last(&[running(1), unknown(500), unknown(510), unknown(560)]),
        Step::Finished(Outcome::Lost)
    );
    let found_again = [
        running(1),
        unknown(2),
        unknown(3),
        running(4),
        unknown(500),
        unknown(600),
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
