//! The cases of the demo: one for each situation that a poller of a cloud must handle.

use std::time::Duration;

use crate::simulator::{Ending, Faults, JobSpec, RetryAfter, Service, SubJobSpec, Throttle};
use crate::watch::Outcome;

/// The time at which a good token replaces the one in the file. The first token expires for
/// one job well before, so that a few of its polls are refused.
pub(super) const TOKEN_RENEWED_AT: Duration = Duration::from_millis(7500);

/// One job and the expected outcome of its watch.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// The situation in a few words.
    pub(super) name: &'static str,
    /// The job of the simulator.
    pub(super) job: JobSpec,
    /// The deadline of the submission; the configured one if absent.
    pub(super) deadline: Option<&'static str>,
    /// The outcome with which the watch must end.
    pub(super) expected: Outcome,
}

/// Returns all cases in the order in which they are shown and submitted.
pub(super) fn cases() -> Vec<Case> {
    let mut cases = dcs();
    cases.extend(sfs_turbo());
    cases.extend(sdrs());
    cases
}

fn dcs() -> Vec<Case> {
    let job = |millis, ending| job(Service::Dcs, millis, ending);
    vec![
        case("quick success", job(2000, Ending::Succeeded)),
        case("slow success", job(12_000, Ending::Succeeded)),
        case(
            "fails, with a reason",
            JobSpec {
                reason: Some("The standby node does not answer.".into()),
                ..job(5000, Ending::Failed)
            },
        ),
        case(
            "not found at first",
            job(6000, Ending::Succeeded).with(Faults {
                not_found_for: Duration::from_millis(3500),
                ..Faults::default()
            }),
        ),
        case(
            "throttled for a while",
            job(6000, Ending::Succeeded).with(Faults {
                throttle: Some(Throttle {
                    polls: 2,
                    retry_after: RetryAfter::Seconds(2),
                }),
                ..Faults::default()
            }),
        ),
    ]
}

fn sfs_turbo() -> Vec<Case> {
    let job = |millis, ending| job(Service::SfsTurbo, millis, ending);
    vec![
        case("success", job(4000, Ending::Succeeded)),
        case(
            "fails, code and reason",
            JobSpec {
                reason: Some("No free address in the subnet".into()),
                ..job(5000, Ending::Failed)
            },
        ),
        case(
            "a storm of 5xx",
            job(5000, Ending::Succeeded).with(Faults {
                server_errors: 5,
                ..Faults::default()
            }),
        ),
        case(
            "answers that break off",
            job(5000, Ending::Succeeded).with(Faults {
                torn: 2,
                ..Faults::default()
            }),
        ),
        case(
            "the token expires",
            job(8000, Ending::Succeeded).with(Faults {
                token_expires_after: Some(Duration::from_millis(1500)),
                ..Faults::default()
            }),
        ),
    ]
}

fn sdrs() -> Vec<Case> {
    let job = |millis, ending| job(Service::Sdrs, millis, ending);
    let (good, bad) = (part(Ending::Succeeded), part(Ending::Failed));
    let parent = job(6000, Ending::Succeeded);
    vec![
        case(
            "parent of three parts",
            JobSpec {
                sub_jobs: vec![good.clone(), good.clone(), good.clone()],
                ..parent.clone()
            },
        ),
        Case {
            // The service itself calls the parent a success.
            expected: Outcome::Partial,
            ..case(
                "parent, one part fails",
                JobSpec {
                    sub_jobs: vec![good.clone(), bad, good],
                    ..parent
                },
            )
        },
        case(
            "an unlisted status",
            job(7000, Ending::Succeeded).with(Faults {
                unknown_status: Some("SYNCING".into()),
                ..Faults::default()
            }),
        ),
        Case {
            deadline: Some("7s"),
            ..case("never ends", job(0, Ending::Never))
        },
    ]
}

/// Returns a case whose watch must end as its job does.
fn case(name: &'static str, job: JobSpec) -> Case {
    let expected = match job.outcome {
        Ending::Succeeded => Outcome::Succeeded,
        Ending::Failed => Outcome::Failed,
        Ending::Never => Outcome::TimedOut,
    };
    Case {
        name,
        job,
        deadline: None,
        expected,
    }
}

fn job(service: Service, millis: u64, ending: Ending) -> JobSpec {
    JobSpec::new(service, Duration::from_millis(millis), ending)
}

fn part(outcome: Ending) -> SubJobSpec {
    SubJobSpec {
        job_type: None,
        outcome,
        code: None,
        reason: None,
    }
}

trait With {
    fn with(self, faults: Faults) -> Self;
}

impl With for JobSpec {
    fn with(self, faults: Faults) -> Self {
        Self { faults, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_case_has_its_own_name_and_each_service_has_cases() {
        let cases = cases();
        let of = |wanted: Service| {
            cases
                .iter()
                .filter(|case| case.job.service == wanted)
                .count()
        };
        assert!([Service::Dcs, Service::SfsTurbo, Service::Sdrs].map(of) >= [4, 4, 4]);
        let names: BTreeSet<_> = cases
            .iter()
            .map(|case| (case.job.service.name(), case.name))
            .collect();
        assert_eq!(names.len(), cases.len());
    }

    #[test]
    fn every_outcome_that_the_demo_promises_occurs() {
        let expected: Vec<Outcome> = cases().iter().map(|case| case.expected).collect();
        for outcome in [
            Outcome::Succeeded,
            Outcome::Failed,
            Outcome::Partial,
            Outcome::TimedOut,
        ] {
            assert!(expected.contains(&outcome), "{outcome}");
        }
    }
}
