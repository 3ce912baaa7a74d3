//! Observations of every kind, and strategies for sequences of them.

use jobwatch::watch::observation::{Job, JobState, Observation, Problem, ProblemKind, Sighting};
use proptest::prelude::*;
use proptest::sample::select;

/// Problems that only cost time.
pub(crate) const TRANSIENT: [ProblemKind; 5] = [
    ProblemKind::Throttled,
    ProblemKind::Unreachable,
    ProblemKind::ServerError,
    ProblemKind::Unreadable,
    ProblemKind::Unauthorized,
];
/// Every state of a job; the final states begin at the fourth.
pub(crate) const STATES: [JobState; 7] = [
    JobState::Pending,
    JobState::Running,
    JobState::Held,
    JobState::Succeeded,
    JobState::Failed,
    JobState::Partial,
    JobState::Cancelled,
];

pub(crate) fn sighting(state: JobState, status: u8) -> Observation {
    let job = Job {
        state,
        job_type: None,
        status: Some(format!("STATUS-{status}")),
        code: None,
        reason: None,
        began_at: None,
        ended_at: None,
        progress: None,
        resources: None,
        children: Vec::new(),
    };
    Observation::Sighting(Sighting {
        unknown_status: status == 0,
        ..Sighting::of(job)
    })
}

pub(crate) fn problem(kind: ProblemKind) -> Observation {
    Observation::Problem(Problem::new(kind, "a problem"))
}

pub(crate) fn any_problem() -> impl Strategy<Value = Observation> {
    select(&ProblemKind::ALL[..]).prop_map(problem)
}

/// Mostly jobs that go on, because a sequence that ends at once tests little.
pub(crate) fn any_observation() -> impl Strategy<Value = Observation> {
    prop_oneof![
        6 => (select(&STATES[..2]), 0_u8..3).prop_map(|(state, status)| sighting(state, status)),
        1 => (select(&STATES[..]), 0_u8..3).prop_map(|(state, status)| sighting(state, status)),
        6 => any_problem(),
    ]
}

/// Observations, each with the seconds since the one before.
pub(crate) fn sequence(
    each: impl Strategy<Value = Observation>,
) -> impl Strategy<Value = Vec<(u64, Observation)>> {
    prop::collection::vec((0_u64..200, each), 1..60)
}
