//! Verdicts about resources with several runs, under any settings and with clocks that are set:
//! none comes from another run, and none before it is confirmed. The model here keeps the whole
//! history, where the program keeps a few bytes.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jobwatch::clock::{Moment, later};
use jobwatch::timing::{PollSettings, Timing};
use jobwatch::watch::observation::{JobState, Observation, Sighting};
use jobwatch::watch::tracking::Tracking;
use jobwatch::watch::transition::{self, Step};
use jobwatch::watch::{Outcome, State, Watch};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::observations::{STATES, any_problem, sighting};
use super::terms;
use crate::harness::timing::least;
use crate::store::samples;

/// One poll: the seconds since the last one, a jump of the wall clock, and its observation.
#[derive(Debug, Clone)]
struct Poll {
    after: u64,
    jump: i64,
    observation: Observation,
}

fn any_sighting() -> impl Strategy<Value = Observation> {
    let run = option::weighted(0.8, select(vec!["a", "b"]));
    let run_at = option::weighted(0.5, -200_i64..200);
    (select(&STATES[..]), 0_u8..2, run, run_at).prop_map(|(state, status, run, run_at)| {
        let Observation::Sighting(seen) = sighting(state, status) else {
            unreachable!("`sighting` makes sightings");
        };
        let start = samples::at(0);
        Observation::Sighting(Sighting {
            run: run.map(str::to_owned),
            run_at: run_at.map(|secs| start + SignedDuration::from_secs(secs)),
            ..seen
        })
    })
}

fn polls() -> impl Strategy<Value = Vec<Poll>> {
    let observation = prop_oneof![4 => any_sighting(), 1 => any_problem()];
    let jump = prop_oneof![6 => Just(0_i64), 1 => -4000_i64..4000];
    let poll = (0_u64..40, jump, observation).prop_map(|(after, jump, observation)| Poll {
        after,
        jump,
        observation,
    });
    prop::collection::vec(poll, 1..50)
}

fn timing(settle: u64, confirm: u32) -> Timing {
    let settings = PollSettings {
        not_found_grace: Some(Duration::from_mins(2)),
        gone_after: Some(Duration::from_mins(1)),
        give_up_after: Some(Duration::from_mins(15)),
        settle: Some(Duration::from_secs(settle)),
        confirm: Some(confirm),
        ..least()
    };
    settings.complete().unwrap()
}

/// The history of one watch, as the contract tells it.
struct Model {
    ours: Option<String>,
    is_ours_seen: bool,
    has_progress: bool,
    since: Timestamp,
    /// The sightings of the same end in a row, with the uptime of the first.
    streak: Option<(String, Duration, u32)>,
}

impl Model {
    fn of(watch: &Watch) -> Self {
        Self {
            ours: watch.named_run.clone(),
            is_ours_seen: false,
            has_progress: false,
            since: watch.submitted_at - SignedDuration::from_mins(1),
            streak: None,
        }
    }

    /// Returns the outcomes that the watch may end with after this sighting.
    fn see(&mut self, seen: &Sighting, uptime: Duration, timing: &Timing) -> Option<Outcome> {
        let outcome = seen.job.state.outcome();
        let is_other = matches!((&self.ours, &seen.run), (Some(ours), Some(run)) if ours != run);
        if is_other && !self.is_ours_seen {
            self.streak = None;
            return None;
        }
        if !is_other && seen.run.is_some() {
            if outcome.is_none() && self.ours.is_none() {
                self.ours.clone_from(&seen.run);
            }
            self.is_ours_seen = self.ours.is_some();
        }
        let (end, outcome) = match (is_other, outcome) {
            (true, _) => (format!("replaced {:?}", seen.run), Outcome::Lost),
            (false, None) => {
                self.has_progress = true;
                self.streak = None;
                return None;
            }
            (false, Some(outcome)) => {
                let is_old = seen.run_at.is_some_and(|at| at < self.since);
                if !self.has_progress && is_old {
                    self.streak = None;
                    return None;
                }
                let job = &seen.job;
                let end = (job.state, &job.status, &seen.run, seen.run_at);
                (format!("{end:?}"), outcome)
            }
        };
        let (since, count) = match self.streak.take() {
            Some((before, since, count)) if before == end => (since, count + 1),
            _ => (uptime, 1),
        };
        self.streak = Some((end, since, count));
        let settle = if self.has_progress {
            Duration::ZERO
        } else {
            timing.settle()
        };
        let is_believed = uptime.saturating_sub(since) >= settle && count >= timing.confirm();
        is_believed.then_some(outcome)
    }
}

/// Returns the step of each poll, and the ends that the model allows.
fn play(
    watch: &Watch,
    timing: &Timing,
    polls: &[Poll],
) -> Vec<(Step, Option<Outcome>, Observation)> {
    let terms = terms(watch, timing);
    let mut tracking = Tracking::resume(watch);
    let mut model = Model::of(watch);
    let mut now = Moment {
        at: watch.submitted_at,
        uptime: Duration::ZERO,
    };
    let mut steps = Vec::new();
    for poll in polls {
        let after = Duration::from_secs(poll.after);
        now.uptime += after;
        now.at = later(now.at, after) + SignedDuration::from_secs(poll.jump);
        let mut observation = poll.observation.clone();
        let allowed = match &observation {
            Observation::Sighting(seen) => model.see(seen, now.uptime, timing),
            Observation::Problem(_) => None,
        };
        let step = transition::decide(&mut tracking, &mut observation, &terms, now);
        steps.push((step, allowed, poll.observation.clone()));
        if matches!(step, Step::Finished(_)) {
            break;
        }
    }
    steps
}

proptest! {
    #[test]
    fn a_verdict_is_ours_and_confirmed(
        polls in polls(), settle in select(vec![0_u64, 30, 100]), confirm in 1_u32..4,
        named in option::of(select(vec!["a", "b"])),
    ) {
        let watch = Watch {
            named_run: named.map(str::to_owned),
            run: named.map(str::to_owned),
            ..samples::watch(1)
        };
        let timing = timing(settle, confirm);
        for (step, allowed, observation) in play(&watch, &timing, &polls) {
            match step {
                Step::Finished(outcome) if outcome.is_verdict() => {
                    prop_assert_eq!(allowed, Some(outcome));
                }
                Step::Finished(Outcome::Lost) => {
                    let is_problem = matches!(observation, Observation::Problem(_));
                    prop_assert!(is_problem || allowed == Some(Outcome::Lost));
                }
                Step::Finished(_) => {}
                _ => prop_assert_eq!(allowed, None, "an end that counts was not told"),
            }
        }
    }

    #[test]
    fn a_restart_needs_no_fewer_confirmations(
        polls in polls(), restart in 0_usize..50, settle in select(vec![0_u64, 30]), confirm in 1_u32..4,
    ) {
        let timing = timing(settle, confirm);
        let mut watch = samples::watch(1);
        let terms = terms(&samples::watch(1), &timing);
        let mut tracking = Tracking::resume(&watch);
        let mut now = Moment { at: watch.submitted_at, uptime: Duration::ZERO };
        let mut run = None;
        for (n, poll) in polls.iter().enumerate() {
            if n == restart {
                tracking = Tracking::resume(&watch);
                now.uptime = Duration::ZERO;
            }
            let after = Duration::from_secs(poll.after);
            now = Moment { at: later(now.at, after), uptime: now.uptime + after };
            let mut observation = poll.observation.clone();
            let step = transition::decide(&mut tracking, &mut observation, &terms, now);
            let recorded = transition::record(&watch, &tracking, Some(&observation), step, now.at);
            watch = recorded.map_or(watch, |(next, _)| next);
            let is_progress = matches!(&observation, Observation::Sighting(seen)
                if seen.job.state.outcome().is_none() && watch.has_progress);
            if is_progress && run.is_none() {
                run.clone_from(&watch.run);
            }
            if let State::Final(outcome) = watch.state {
                if outcome.is_verdict() {
                    let Observation::Sighting(seen) = &poll.observation else {
                        panic!("a problem is not a verdict");
                    };
                    let is_ours = run.is_none() || seen.run.is_none() || seen.run == run;
                    prop_assert!(is_ours, "the verdict of {:?}, not of {run:?}", seen.run);
                    prop_assert!(watch.confirmations >= confirm);
                    prop_assert_ne!(seen.job.state, JobState::Pending);
                }
                break;
            }
        }
    }
}
