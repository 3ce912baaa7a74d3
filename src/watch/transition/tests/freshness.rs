//! Runs of one resource: whose end is believed, and when.

use super::*;
use crate::watch::observation::NextJob;
use crate::watch::{Expect, Params};

/// A watch with its tracking, and the terms that a test may change.
struct Case {
    watch: Watch,
    tracking: Tracking,
    settings: PollSettings,
    hands_over: bool,
    not_found_means: NotFoundMeans,
}

impl Case {
    fn new(change: impl FnOnce(&mut Watch, &mut PollSettings)) -> Self {
        let mut watch = watch_that_is(State::Watching);
        let mut settings = PollSettings {
            not_found_grace: Some(Duration::from_mins(2)),
            gone_after: Some(Duration::from_mins(1)),
            give_up_after: Some(Duration::from_mins(15)),
            ..least()
        };
        change(&mut watch, &mut settings);
        Self {
            tracking: Tracking::resume(&watch),
            watch,
            settings,
            hands_over: false,
            not_found_means: NotFoundMeans::Lost,
        }
    }

    /// Decides on an observation, and records it.
    fn poll(&mut self, secs: u64, mut observation: Observation) -> Step {
        let timing = self.settings.complete().unwrap();
        let terms = Terms {
            not_found_means: self.not_found_means,
            hands_over: self.hands_over,
            ..terms(&timing)
        };
        let now = moment(secs);
        let step = decide(&mut self.tracking, &mut observation, &terms, now);
        let recorded = record(
            &self.watch,
            &self.tracking,
            Some(&observation),
            step,
            now.at,
        );
        if let Some((watch, _)) = recorded {
            self.watch = watch;
        }
        step
    }

    /// Begins anew from the stored watch, as a restart does.
    fn restart(&mut self) {
        self.tracking = Tracking::resume(&self.watch);
    }

    fn reason(&self) -> &str {
        self.watch.reason().unwrap_or_default()
    }
}

fn edited(observation: Observation, edit: impl FnOnce(&mut Sighting)) -> Observation {
    let Observation::Sighting(mut sighting) = observation else {
        panic!("only a sighting can be edited");
    };
    edit(&mut sighting);
    Observation::Sighting(sighting)
}

fn of_run(run: &str, state: JobState, status: &str) -> Observation {
    edited(seen(state, status), |sighting| {
        sighting.run = Some(run.to_owned());
    })
}

/// A success of a run that ended at this second, before or after the submission.
fn ended_at(secs: i64) -> Observation {
    edited(seen(JobState::Succeeded, "DONE"), |sighting| {
        sighting.run_at = Some(start() + jiff::SignedDuration::from_secs(secs));
    })
}

fn running() -> Observation {
    seen(JobState::Running, "RUNNING")
}

const FINISHED: Step = Step::Finished(Outcome::Succeeded);

#[test]
fn end_before_the_submission_counts_as_pending() {
    let mut case = Case::new(|_, _| {});
    assert_eq!(
        case.poll(1, ended_at(-61)),
        Step::Changed(EventKind::Changed)
    );
    assert!(case.watch.is_stale() && case.watch.notes.has(Note::Stale));
    assert_eq!(case.watch.job.as_ref().unwrap().state, JobState::Pending);
    assert_eq!(case.poll(60, ended_at(-61)), Step::Unchanged);
    assert_eq!(case.poll(61, running()), Step::Changed(EventKind::Changed));
    assert!(!case.watch.is_stale());
    assert_eq!(case.poll(62, ended_at(-61)), FINISHED, "ours was seen");
}

#[test]
fn old_end_that_stays_ends_as_unknown() {
    let mut case = Case::new(|_, _| {});
    case.poll(1, ended_at(-7200));
    case.restart();
    assert_eq!(case.poll(100, ended_at(-7200)), Step::Unchanged);
    assert_eq!(case.poll(219, ended_at(-7200)), Step::Unchanged);
    assert_eq!(
        case.poll(220, ended_at(-7200)),
        Step::Finished(Outcome::Unknown)
    );
    assert!(
        case.reason()
            .contains("the last run ended at 2026-11-22T08:00:00Z, before this watch's since"),
        "{}",
        case.reason()
    );
}

#[test]
fn end_within_a_minute_before_the_submission_counts() {
    assert_eq!(Case::new(|_, _| {}).poll(1, ended_at(-60)), FINISHED);
    let mut strict = Case::new(|watch, _| watch.since = Some(start()));
    assert_ne!(strict.poll(1, ended_at(-60)), FINISHED);
    let mut wide = Case::new(|watch, _| watch.since = Some(Timestamp::UNIX_EPOCH));
    assert_eq!(wide.poll(1, ended_at(-7200)), FINISHED);
}

#[test]
fn another_run_takes_the_place_of_ours() {
    let mut case = Case::new(|_, _| {});
    case.poll(1, of_run("a", JobState::Running, "R"));
    assert_eq!(case.watch.run.as_deref(), Some("a"));
    case.restart();
    let step = case.poll(2, of_run("b", JobState::Succeeded, "DONE"));
    assert_eq!(step, Step::Finished(Outcome::Lost));
    assert_eq!(case.reason(), "replaced by run b");
    assert!(case.watch.notes.has(Note::Replaced));
    let job = case.watch.job.as_ref().unwrap();
    assert_eq!(job.status.as_deref(), Some("R"), "our last sighting stays");
    assert_eq!(case.watch.run.as_deref(), Some("a"));
}

#[test]
fn run_that_is_learned_late_survives_a_restart() {
    let mut case = Case::new(|_, _| {});
    case.poll(1, running());
    let step = case.poll(2, of_run("a", JobState::Running, "RUNNING"));
    assert_eq!(step, Step::Changed(EventKind::Changed));
    assert_eq!(
        case.poll(3, of_run("a", JobState::Running, "RUNNING")),
        Step::Unchanged
    );
    case.restart();
    let step = case.poll(4, of_run("b", JobState::Succeeded, "DONE"));
    assert_eq!(step, Step::Finished(Outcome::Lost));
}

#[test]
fn replacement_is_confirmed_in_any_state() {
    let mut case = Case::new(|_, settings| settings.confirm = Some(3));
    case.poll(1, of_run("a", JobState::Running, "R"));
    case.poll(2, of_run("b", JobState::Succeeded, "DONE"));
    assert_eq!(
        case.poll(3, of_run("a", JobState::Running, "R")),
        Step::Unchanged
    );
    case.poll(4, of_run("b", JobState::Running, "R"));
    case.poll(5, of_run("b", JobState::Running, "R2"));
    assert_eq!(case.watch.state, State::Watching);
    let step = case.poll(6, of_run("b", JobState::Failed, "F"));
    assert_eq!(step, Step::Finished(Outcome::Lost));
}

#[test]
fn named_run_waits_for_its_own_end() {
    let name = |watch: &mut Watch, _: &mut PollSettings| {
        watch.named_run = Some("b".to_owned());
        watch.run = Some("b".to_owned());
    };
    let mut case = Case::new(name);
    case.poll(1, of_run("a", JobState::Failed, "F"));
    assert!(case.watch.is_stale());
    case.poll(2, of_run("a", JobState::Running, "R"));
    case.restart();
    case.poll(300, of_run("a", JobState::Failed, "F"));
    assert!(case.watch.is_stale() && case.watch.state == State::Watching);
    assert_eq!(
        case.poll(301, of_run("b", JobState::Succeeded, "DONE")),
        FINISHED
    );
    assert_eq!(case.watch.run.as_deref(), Some("b"));
    assert!(!case.watch.is_stale());
}

#[test]
fn answer_without_its_run_is_not_compared() {
    let mut case = Case::new(|_, _| {});
    case.poll(1, of_run("a", JobState::Running, "R"));
    assert_eq!(case.poll(2, seen(JobState::Succeeded, "DONE")), FINISHED);
}

#[test]
fn early_end_must_hold_for_settle() {
    let mut case = Case::new(|_, settings| settings.settle = Some(Duration::from_secs(30)));
    let failed = || seen(JobState::Failed, "ERROR");
    assert_eq!(case.poll(1, failed()), Step::Unchanged);
    assert!(case.tracking.waits_for_confirmation());
    assert_eq!(
        case.poll(2, seen(JobState::Succeeded, "ACTIVE")),
        Step::Unchanged
    );
    assert_eq!(
        case.poll(20, met(ProblemKind::Unreachable)),
        Step::Unchanged
    );
    assert_eq!(
        case.poll(31, seen(JobState::Succeeded, "ACTIVE")),
        Step::Unchanged
    );
    assert_eq!(case.poll(32, seen(JobState::Succeeded, "ACTIVE")), FINISHED);
    assert_eq!(case.watch.confirmations, 3);
}

#[test]
fn end_after_progress_needs_no_settle() {
    let mut case = Case::new(|_, settings| settings.settle = Some(Duration::from_secs(30)));
    case.poll(1, running());
    case.restart();
    assert_eq!(case.poll(2, seen(JobState::Succeeded, "ACTIVE")), FINISHED);
}

#[test]
fn set_clock_does_not_shorten_settle() {
    let mut case = Case::new(|_, settings| settings.settle = Some(Duration::from_secs(30)));
    case.poll(1, seen(JobState::Failed, "ERROR"));
    let timing = case.settings.complete().unwrap();
    let set = Moment {
        at: at(3000),
        uptime: Duration::from_secs(2),
    };
    let mut failed = seen(JobState::Failed, "ERROR");
    let step = decide(&mut case.tracking, &mut failed, &terms(&timing), set);
    assert_eq!(step, Step::Unchanged);
}

#[test]
fn flickering_end_is_not_believed() {
    let mut case = Case::new(|_, settings| settings.confirm = Some(2));
    case.poll(1, running());
    assert_eq!(
        case.poll(2, seen(JobState::Failed, "FAILED")),
        Step::Unchanged
    );
    assert_eq!(case.poll(3, running()), Step::Unchanged);
    assert_eq!(
        case.poll(4, seen(JobState::Failed, "FAILED")),
        Step::Unchanged
    );
    let step = case.poll(3600, seen(JobState::Succeeded, "DONE"));
    assert_eq!(step, Step::Finished(Outcome::TimedOut), "not confirmed");
    let job = case.watch.job.as_ref().unwrap();
    assert_eq!(job.status.as_deref(), Some("RUNNING"));
    assert_eq!(case.watch.confirmations, 0);
}

#[test]
fn deletion_succeeds_when_the_resource_is_gone() {
    let mut case = Case::new(|watch, _| watch.expect = Some(Expect::Gone));
    case.poll(1, seen(JobState::Succeeded, "ACTIVE"));
    assert_eq!(case.watch.job.as_ref().unwrap().state, JobState::Running);
    for secs in [2, 3] {
        assert_eq!(case.poll(secs, met(ProblemKind::NotFound)), Step::Unchanged);
    }
    assert_eq!(case.poll(4, met(ProblemKind::NotFound)), FINISHED);
    let mut case = Case::new(|watch, _| watch.expect = Some(Expect::Gone));
    case.poll(1, seen(JobState::Succeeded, "ACTIVE"));
    let step = case.poll(2, seen(JobState::Failed, "error_deleting"));
    assert_eq!(step, Step::Finished(Outcome::Failed));
}

#[test]
fn gone_is_success_only_for_a_known_job() {
    for (named, outcome) in [(None, Outcome::Lost), (Some("a"), Outcome::Succeeded)] {
        let mut case = Case::new(|watch, _| watch.run = named.map(str::to_owned));
        case.not_found_means = NotFoundMeans::Succeeded;
        case.poll(1, met(ProblemKind::NotFound));
        case.poll(60, met(ProblemKind::NotFound));
        let step = case.poll(121, met(ProblemKind::NotFound));
        assert_eq!(step, Step::Finished(outcome), "{named:?}");
    }
}

#[test]
fn page_of_a_gateway_does_not_say_not_found() {
    let page = || {
        Observation::Problem(Problem {
            is_page: true,
            ..Problem::new(ProblemKind::Misconfigured, "Not Found")
        })
    };
    let mut case = Case::new(|_, _| {});
    case.poll(1, page());
    assert_eq!(
        case.tracking.last_problem.as_ref().unwrap().kind,
        ProblemKind::Misconfigured
    );
    case.poll(2, running());
    for secs in [3, 1000, 2000] {
        assert_eq!(case.poll(secs, page()), Step::Unchanged);
    }
    assert_eq!(
        case.tracking.last_problem.as_ref().unwrap().kind,
        ProblemKind::ServerError
    );
}

#[test]
fn job_hands_over_to_the_next_one() {
    let mut case = Case::new(|watch, settings| {
        watch.named_run = Some("a".to_owned());
        watch.run = Some("a".to_owned());
        settings.settle = Some(Duration::from_secs(5));
    });
    case.hands_over = true;
    case.poll(1, of_run("a", JobState::Pending, "QUEUED"));
    let build = edited(of_run("a", JobState::Succeeded, "LEFT"), |sighting| {
        sighting.next = Some(NextJob {
            job_id: "811".to_owned(),
            definition: Some("build".to_owned()),
            params: Params::from([("job".to_owned(), "nightly".to_owned())]),
        });
    });
    assert_eq!(case.poll(2, build), Step::HandedOver);
    let stage = case.watch.stage.clone().unwrap();
    assert_eq!(
        (stage.index, &*stage.definition, &*stage.job_id),
        (1, "build", "811")
    );
    assert_eq!(case.watch.stages[0].status.as_deref(), Some("LEFT"));
    assert_eq!((&case.watch.job, &case.watch.run), (&None, &None));
    case.restart();
    assert_eq!(case.tracking.stage(), Some(&stage));
    case.hands_over = false;
    let failed = || of_run("x", JobState::Failed, "FAILURE");
    assert_eq!(
        case.poll(3, failed()),
        Step::Unchanged,
        "it must settle anew"
    );
    assert_eq!(case.poll(8, failed()), Step::Finished(Outcome::Failed));
    assert_eq!(case.watch.stages.len(), 1);
}

#[test]
fn success_without_a_next_job_ends_as_unknown() {
    let mut case = Case::new(|_, _| {});
    case.hands_over = true;
    let left = || seen(JobState::Succeeded, "LEFT");
    assert_eq!(case.poll(1, left()), Step::Changed(EventKind::Changed));
    assert_eq!(case.poll(120, left()), Step::Unchanged);
    assert_eq!(case.poll(121, left()), Step::Finished(Outcome::Unknown));
    assert_eq!(case.reason(), "no next job was named");
}

#[test]
fn next_job_that_cannot_be_asked_for_is_not_taken() {
    for (job_id, param) in [("..", "x"), ("a\nb", "x"), ("8", ".."), ("8", "a\u{0}b")] {
        let mut case = Case::new(|_, _| {});
        case.hands_over = true;
        let step = case.poll(
            1,
            edited(seen(JobState::Succeeded, "LEFT"), |sighting| {
                sighting.next = Some(NextJob {
                    job_id: job_id.to_owned(),
                    definition: None,
                    params: Params::from([("job".to_owned(), param.to_owned())]),
                });
            }),
        );
        assert_eq!(step, Step::Changed(EventKind::Changed), "{job_id} {param}");
        assert!(!case.watch.is_stale(), "it is ours");
    }
}

#[test]
fn circle_of_jobs_comes_to_an_end() {
    let mut case = Case::new(|_, _| {});
    case.hands_over = true;
    let mut steps = (0..).map(|n| {
        case.poll(
            n,
            edited(seen(JobState::Succeeded, "LEFT"), |sighting| {
                sighting.next = Some(NextJob {
                    job_id: "again".to_owned(),
                    definition: None,
                    params: Params::new(),
                });
            }),
        )
    });
    let handed_over = steps.by_ref().take_while(|step| *step == Step::HandedOver);
    assert_eq!(handed_over.count(), STAGES_MAX - 1);
}

#[test]
fn unknown_carries_its_cause() {
    let mut case = Case::new(|_, _| {});
    case.poll(
        1,
        edited(running(), |sighting| {
            sighting.job.reason = Some("still executing".to_owned());
        }),
    );
    let refused = || {
        Observation::Problem(Problem {
            code: Some("391903".to_owned()),
            ..Problem::new(ProblemKind::Misconfigured, "partition 7 is out of range")
        })
    };
    case.poll(2, refused());
    assert_eq!(case.poll(902, refused()), Step::Finished(Outcome::Unknown));
    assert_eq!(case.reason(), "partition 7 is out of range");
    assert_eq!(case.watch.code(), Some("391903"));
}

#[test]
fn late_verdict_is_about_our_run() {
    let timing = PollSettings {
        confirm: Some(2),
        ..least()
    }
    .complete()
    .unwrap();
    let mut watch = watch_that_is(State::Final(Outcome::TimedOut));
    watch.run = Some("a".to_owned());
    watch.has_progress = true;
    let mut tracking = Tracking::resume(&watch);
    let mut late = |secs, run, state| {
        let observation = of_run(run, state, "S");
        decide_late(&mut tracking, &observation, &terms(&timing), moment(secs))
    };
    assert!(!late(1, "b", JobState::Succeeded));
    assert!(!late(2, "b", JobState::Succeeded));
    assert!(!late(3, "a", JobState::Failed));
    assert!(!late(4, "a", JobState::Running));
    assert!(!late(5, "a", JobState::Failed));
    assert!(late(6, "a", JobState::Failed));
}

#[test]
fn url_of_the_next_poll_is_kept_over_a_restart() {
    let mut case = Case::new(|_, _| {});
    let named = |status: &str| {
        edited(seen(JobState::Running, status), |sighting| {
            sighting.follow = Some("https://h/ops/b".to_owned());
        })
    };
    case.poll(1, named("202"));
    case.restart();
    assert_eq!(case.tracking.follow(), Some("https://h/ops/b"));
    case.poll(2, seen(JobState::Running, "202"));
    assert_eq!(case.tracking.follow(), Some("https://h/ops/b"));
}

/// The tracking of a watch before there were runs. A million watches keep theirs in memory.
struct TrackingBefore {
    _flags: [bool; 2],
    _fingerprint: u64,
    _counters: [u32; 4],
    _not_found_run: u8,
    _refused_since: Option<Timestamp>,
    _last_problem: Option<Box<ProblemNote>>,
}

#[test]
fn rare_knowledge_takes_no_room_in_other_watches() {
    let plain = Tracking::resume(&watch_that_is(State::Watching));
    assert_eq!(plain.extra, None);
    let (before, now) = (size_of::<TrackingBefore>(), size_of::<Tracking>());
    assert!(now <= before + 16, "{before} bytes have become {now}");
}
