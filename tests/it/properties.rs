//! Invariants of any sequence of observations at any times.
//! `runs` has those of resources with several runs, `signing` those of signed requests.

mod observations;
mod runs;
mod signing;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jobwatch::clock::{Moment, later, until};
use jobwatch::store::{Applied, SharedStore};
use jobwatch::timing::{PollSettings, Timing};
use jobwatch::watch::change::Change;
use jobwatch::watch::event::{Event, Instance};
use jobwatch::watch::observation::{JobState, Observation, ProblemKind};
use jobwatch::watch::terms::{NotFoundMeans, Terms};
use jobwatch::watch::tracking::Tracking;
use jobwatch::watch::transition::Step;
use jobwatch::watch::{Outcome, Watch, transition};
use proptest::prelude::*;
use proptest::sample::select;

use self::observations::{
    STATES, TRANSIENT, any_observation, any_problem, problem, sequence, sighting,
};
use crate::harness::timing::least;
use crate::store::samples;
use crate::store::sqlite::opened;

/// The limits for refusals and unknown jobs of the service of [`samples::watch`].
fn timing() -> Timing {
    let settings = PollSettings {
        not_found_grace: Some(Duration::from_mins(2)),
        gone_after: Some(Duration::from_mins(1)),
        give_up_after: Some(Duration::from_mins(15)),
        ..least()
    };
    settings.complete().unwrap()
}

/// The settings of [`samples::watch`].
fn terms<'a>(watch: &Watch, timing: &'a Timing) -> Terms<'a> {
    Terms {
        submitted_at: watch.submitted_at,
        deadline: watch.deadline,
        timing,
        not_found_means: NotFoundMeans::Lost,
        definition: "dcs",
        hands_over: false,
    }
}

/// The time `now`, in a process that began when the watch was submitted.
fn since(watch: &Watch, now: Timestamp) -> Moment {
    Moment {
        at: now,
        uptime: until(watch.submitted_at, now),
    }
}

/// The result of one observation.
struct Turn {
    observation: Observation,
    now: Timestamp,
    step: Step,
    watch: Watch,
    event: Option<Event>,
}

/// Polls until the end, as the poller does: decide, and record each transition.
fn drive(observations: &[(u64, Observation)]) -> (Vec<Turn>, Tracking) {
    let mut watch = samples::watch(1);
    let timing = timing();
    let terms = terms(&watch, &timing);
    let mut tracking = Tracking::resume(&watch);
    let mut now = watch.submitted_at;
    let mut turns = Vec::new();
    for (secs, observation) in observations {
        now = later(now, Duration::from_secs(*secs));
        let mut observation = observation.clone();
        let moment = since(&watch, now);
        let step = transition::decide(&mut tracking, &mut observation, &terms, moment);
        let recorded = transition::record(&watch, &tracking, Some(&observation), step, now);
        let event = recorded.map(|(next, kind)| {
            watch = next;
            Event::of(&watch, kind, &Instance("test".to_owned()), now)
        });
        turns.push(Turn {
            observation,
            now,
            step,
            watch: watch.clone(),
            event,
        });
        if watch.state.outcome().is_some() {
            break;
        }
    }
    (turns, tracking)
}

fn state_of(observation: &Observation) -> Option<JobState> {
    match observation {
        Observation::Sighting(sighting) => Some(sighting.job.state),
        Observation::Problem(_) => None,
    }
}

fn kind_of(observation: &Observation) -> Option<ProblemKind> {
    match observation {
        Observation::Sighting(_) => None,
        Observation::Problem(problem) => Some(problem.kind),
    }
}

proptest! {
    #[test]
    fn a_verdict_needs_a_sighting_of_it(observations in sequence(any_observation())) {
        for turn in drive(&observations).0 {
            let Step::Finished(outcome) = turn.step else { continue };
            let said = state_of(&turn.observation).and_then(JobState::outcome);
            match outcome {
                Outcome::Succeeded | Outcome::Failed | Outcome::Partial | Outcome::Cancelled => {
                    prop_assert_eq!(said, Some(outcome));
                }
                Outcome::TimedOut => {
                    prop_assert_eq!(said, None);
                    prop_assert!(turn.now >= turn.watch.deadline);
                }
                Outcome::Lost => {
                    prop_assert_eq!(kind_of(&turn.observation), Some(ProblemKind::NotFound));
                }
                Outcome::Unknown => prop_assert!(matches!(
                    kind_of(&turn.observation),
                    Some(ProblemKind::Forbidden | ProblemKind::Misconfigured)
                )),
                Outcome::Unwatched => prop_assert!(false, "only an operator does that"),
            }
        }
    }

    #[test]
    fn a_sighting_of_a_verdict_ends_the_watch(
        observations in sequence(any_observation()), state in select(&STATES[3..]),
    ) {
        let mut observations = observations;
        observations.push((1, sighting(state, 9)));
        let (turns, _) = drive(&observations);
        let last = turns.last().unwrap();
        prop_assert!(last.watch.state.outcome().is_some());
        if turns.len() == observations.len() {
            prop_assert_eq!(last.watch.state.outcome(), state.outcome());
        }
    }

    #[test]
    fn no_problem_ever_leads_to_failed(observations in sequence(any_problem())) {
        for turn in drive(&observations).0 {
            let allowed = [None, Some(Outcome::TimedOut), Some(Outcome::Lost), Some(Outcome::Unknown)];
            prop_assert!(allowed.contains(&turn.watch.state.outcome()));
            prop_assert_eq!(turn.watch.job, None);
        }
    }

    #[test]
    fn transient_problems_end_a_watch_only_at_its_deadline(
        observations in sequence(select(&TRANSIENT[..]).prop_map(problem)),
    ) {
        for turn in drive(&observations).0 {
            let expected = if turn.now >= turn.watch.deadline {
                Step::Finished(Outcome::TimedOut)
            } else {
                Step::Unchanged
            };
            prop_assert_eq!(turn.step, expected);
        }
    }

    #[test]
    fn a_watch_never_outlives_its_deadline(observations in sequence(any_observation())) {
        for turn in drive(&observations).0 {
            prop_assert!(turn.now < turn.watch.deadline || turn.watch.state.outcome().is_some());
        }
    }

    #[test]
    fn a_job_is_lost_only_after_three_misses(observations in sequence(any_observation())) {
        let mut missed = 0;
        let mut missed_since = None;
        let mut seen = false;
        for turn in drive(&observations).0 {
            match kind_of(&turn.observation) {
                None => { seen = true; missed = 0; missed_since = None; }
                Some(ProblemKind::NotFound) => { missed += 1; missed_since.get_or_insert(turn.now); }
                Some(_) => {}
            }
            if turn.step == Step::Finished(Outcome::Lost) {
                let minutes = if seen { 1 } else { 2 };
                let must_last = Duration::from_mins(minutes);
                prop_assert!(missed >= 3);
                prop_assert!(turn.now >= later(missed_since.unwrap(), must_last));
            }
        }
    }

    #[test]
    fn only_continuous_refusals_end_as_unknown(observations in sequence(any_observation())) {
        let mut since = None;
        for turn in drive(&observations).0 {
            match kind_of(&turn.observation) {
                Some(ProblemKind::Forbidden | ProblemKind::Misconfigured) => {
                    since = since.or(Some(turn.now));
                }
                _ => since = None,
            }
            if turn.step == Step::Finished(Outcome::Unknown) {
                prop_assert!(turn.now >= later(since.unwrap(), Duration::from_mins(15)));
            }
        }
    }

    #[test]
    fn polls_and_problems_are_counted(observations in sequence(any_observation())) {
        let (turns, tracking) = drive(&observations);
        let problems = turns.iter().filter(|turn| kind_of(&turn.observation).is_some()).count();
        prop_assert_eq!(tracking.polls as usize, turns.len());
        prop_assert_eq!(tracking.problems as usize, problems);
        if let Some(last) = turns.iter().rfind(|turn| turn.event.is_some()) {
            prop_assert!(last.watch.polls as usize <= turns.len());
        }
        let ended = turns.last().unwrap();
        if ended.watch.state.outcome().is_some() {
            prop_assert_eq!(ended.watch.polls as usize, turns.len());
        }
    }

    #[test]
    fn event_ids_of_a_watch_are_unique(observations in sequence(any_observation())) {
        let (turns, _) = drive(&observations);
        let events: Vec<&Event> = turns.iter().filter_map(|turn| turn.event.as_ref()).collect();
        let ids: BTreeSet<_> = events.iter().map(|event| event.id).collect();
        prop_assert_eq!(ids.len(), events.len());
        let last = &turns.last().unwrap().watch;
        prop_assert_eq!(last.revision as usize, events.len());
    }

    #[test]
    fn a_repeated_observation_makes_one_event(state in select(&STATES[..3]), status in 0_u8..3, times in 2_usize..20) {
        let observations = vec![(1, sighting(state, status)); times];
        let (turns, _) = drive(&observations);
        prop_assert!(turns[0].event.is_some());
        prop_assert!(turns[1..].iter().all(|turn| turn.step == Step::Unchanged));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn later_observations_never_change_an_outcome(
        before in prop::collection::vec((0_u64..200, any_observation()), 0..8),
        end in select(&STATES[3..]),
        after in prop::collection::vec((0_u64..200, any_observation()), 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store: SharedStore = Arc::new(opened(&folder.path().join("db")).unwrap());
            let first = samples::accepted(&store, samples::watch(1)).await;
            let all: Vec<_> = before.iter().cloned().chain([(1, sighting(end, 9))]).chain(after.iter().cloned()).collect();
            let ended = observe_all(&store, &first, &all).await;
            assert_eq!(store.watch(first.id).await.unwrap(), ended);
        });
    }
}

/// Applies every observation to the stored watch, like a poller that does not see the end;
/// returns the watch as it was when it first ended.
async fn observe_all(
    store: &SharedStore,
    first: &Watch,
    all: &[(u64, Observation)],
) -> Option<Watch> {
    let mut ended: Option<Watch> = None;
    let mut tracking = Tracking::resume(first);
    let mut now = first.submitted_at;
    let timing = timing();
    let terms = terms(first, &timing);
    for (secs, observation) in all {
        now = later(now, Duration::from_secs(*secs));
        let mut observation = observation.clone();
        let moment = since(first, now);
        let step = transition::decide(&mut tracking, &mut observation, &terms, moment);
        let watch = store.watch(first.id).await.unwrap().unwrap();
        let recorded = transition::record(&watch, &tracking, Some(&observation), step, now);
        let Some((next, kind)) = recorded else {
            continue;
        };
        let change = Change {
            event: Event::of(&next, kind, &Instance("test".to_owned()), now),
            owed: Vec::new(),
            watch: next.clone(),
            evidence: None,
        };
        let applied = store.apply(change).await.unwrap();
        let expected = if ended.is_some() {
            Applied::Refused
        } else {
            Applied::Applied
        };
        assert_eq!(applied, expected);
        if applied == Applied::Applied && next.state.outcome().is_some() {
            ended = Some(next);
        }
    }
    ended
}
