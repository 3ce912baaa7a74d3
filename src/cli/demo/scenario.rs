//! What the demo plays: one act for each thing that polling a cloud is about.

use std::time::Duration;

use crate::simulator::{Ending, Faults, JobSpec, RetryAfter, Service, SubJobSpec, Throttle};
use crate::watch::Outcome;

/// When the token in the file is replaced by a good one. The first token expires for one
/// job well before, so that a few of its polls are refused.
pub(super) const TOKEN_RENEWED_AT: Duration = Duration::from_millis(7500);

/// One job, and how its watch must end.
#[derive(Debug, Clone)]
pub(super) struct Act {
    /// What it shows, in a few words.
    pub(super) name: &'static str,
    /// What the simulator does.
    pub(super) job: JobSpec,
    /// The deadline asked for, if not the configured one.
    pub(super) deadline: Option<&'static str>,
    /// How the watch must end.
    pub(super) expected: Outcome,
}

/// All acts, in the order in which they are shown and begin.
pub(super) fn acts() -> Vec<Act> {
    let mut acts = dcs();
    acts.extend(sfs_turbo());
    acts.extend(sdrs());
    acts
}

fn dcs() -> Vec<Act> {
    let job = |millis, ending| job(Service::Dcs, millis, ending);
    vec![
        act("quick success", job(2000, Ending::Succeeded)),
        act("slow success", job(12_000, Ending::Succeeded)),
        act(
            "fails, with a reason",
            JobSpec {
                reason: Some("The standby node does not answer.".into()),
                ..job(5000, Ending::Failed)
            },
        ),
        act(
            "not found at first",
            job(6000, Ending::Succeeded).with(Faults {
                not_found_for: Duration::from_millis(3500),
                ..Faults::default()
            }),
        ),
        act(
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

fn sfs_turbo() -> Vec<Act> {
    let job = |millis, ending| job(Service::SfsTurbo, millis, ending);
    vec![
        act("success", job(4000, Ending::Succeeded)),
        act(
            "fails, code and reason",
            JobSpec {
                reason: Some("No free address in the subnet".into()),
                ..job(5000, Ending::Failed)
            },
        ),
        act(
            "a storm of 5xx",
            job(5000, Ending::Succeeded).with(Faults {
                server_errors: 5,
                ..Faults::default()
            }),
        ),
        act(
            "answers that break off",
            job(5000, Ending::Succeeded).with(Faults {
                torn: 2,
                ..Faults::default()
            }),
        ),
        act(
            "the token expires",
            job(8000, Ending::Succeeded).with(Faults {
                token_expires_after: Some(Duration::from_millis(1500)),
                ..Faults::default()
            }),
        ),
    ]
}

fn sdrs() -> Vec<Act> {
    let job = |millis, ending| job(Service::Sdrs, millis, ending);
    let (good, bad) = (part(Ending::Succeeded), part(Ending::Failed));
    let parent = job(6000, Ending::Succeeded);
    vec![
        act(
            "parent of three parts",
            JobSpec {
                sub_jobs: vec![good.clone(), good.clone(), good.clone()],
                ..parent.clone()
            },
        ),
        Act {
            // The service itself calls the parent a success.
            expected: Outcome::Partial,
            ..act(
                "parent, one part fails",
                JobSpec {
                    sub_jobs: vec![good.clone(), bad, good],
                    ..parent
                },
            )
        },
        act(
            "a status nobody lists",
            job(7000, Ending::Succeeded).with(Faults {
                unknown_status: Some("SYNCING".into()),
                ..Faults::default()
            }),
        ),
        Act {
            deadline: Some("7s"),
            ..act("never ends", job(0, Ending::Never))
        },
    ]
}

/// An act that must end as its job does.
fn act(name: &'static str, job: JobSpec) -> Act {
    let expected = match job.outcome {
        Ending::Succeeded => Outcome::Succeeded,
        Ending::Failed => Outcome::Failed,
        Ending::Never => Outcome::TimedOut,
    };
    Act {
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
    fn each_act_has_its_own_name_and_every_service_its_acts() {
        let acts = acts();
        let of = |wanted: Service| acts.iter().filter(|act| act.job.service == wanted).count();
        assert!([Service::Dcs, Service::SfsTurbo, Service::Sdrs].map(of) >= [4, 4, 4]);
        let names: BTreeSet<_> = acts
            .iter()
            .map(|act| (act.job.service.name(), act.name))
            .collect();
        assert_eq!(names.len(), acts.len());
    }

    #[test]
    fn every_way_to_end_that_the_demo_promises_is_played() {
        let expected: Vec<Outcome> = acts().iter().map(|act| act.expected).collect();
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
