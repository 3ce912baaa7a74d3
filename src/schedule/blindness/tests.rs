//! The sight of services on stepped time.

use super::*;
use crate::clock::later;
use crate::watch::observation::{Job, JobState, Problem, ProblemKind, Sighting};
use uuid::Uuid;

const AFTER: Duration = Duration::from_mins(5);

fn at(secs: u64) -> Moment {
    let uptime = Duration::from_secs(secs);
    Moment {
        at: later(Timestamp::UNIX_EPOCH, uptime),
        uptime,
    }
}

fn id(n: u128) -> WatchId {
    WatchId(Uuid::from_u128(n))
}

fn services() -> Blindness {
    Blindness::new(["dcs", "sdrs", "sfs"].map(|name| (Arc::from(name), AFTER)))
}

fn seen() -> Observation {
    Observation::Sighting(Sighting::of(Job {
        state: JobState::Running,
        job_type: None,
        status: None,
        code: None,
        reason: None,
        began_at: None,
        ended_at: None,
        progress: None,
        resources: None,
        children: Vec::new(),
    }))
}

fn problem(kind: ProblemKind, http_status: Option<u16>) -> Observation {
    Observation::Problem(Problem {
        http_status,
        ..Problem::new(kind, "why")
    })
}

fn unauthorized() -> Observation {
    problem(ProblemKind::Unauthorized, Some(401))
}

fn unreachable() -> Observation {
    problem(ProblemKind::Unreachable, None)
}

/// Notes an observation of watch `n` at this second.
fn note(
    blindness: &mut Blindness,
    (service, n): (&str, u128),
    observation: &Observation,
    secs: u64,
) -> Option<Finding> {
    blindness.note((service, id(n)), observation, None, at(secs))
}

/// The kind, the service and the number of services of a report.
fn report(found: Option<Finding>) -> Option<(EventKind, Option<String>, usize)> {
    let report = found?.report?;
    Some((report.kind, report.service, report.services.len()))
}

fn of_one(kind: EventKind, service: &str) -> (EventKind, Option<String>, usize) {
    (kind, Some(service.to_owned()), 1)
}

#[test]
fn refusals_are_reported_once_after_blind_after() {
    let mut blindness = services();
    for secs in (10..310).step_by(10) {
        assert_eq!(
            note(&mut blindness, ("dcs", 1), &unauthorized(), secs),
            None
        );
    }
    let found = note(&mut blindness, ("dcs", 1), &unauthorized(), 310).unwrap();
    assert_eq!(found.periods[0].since, at(10).at);
    assert_eq!(found.periods[0].reported, Reported::Alone);
    assert_eq!(report(Some(found)), Some(of_one(EventKind::Blind, "dcs")));
    for secs in (320..3000).step_by(10) {
        assert_eq!(
            note(&mut blindness, ("dcs", 1), &unauthorized(), secs),
            None
        );
    }
    let found = note(&mut blindness, ("dcs", 2), &seen(), 3000).unwrap();
    assert!(found.is_sighted);
    assert_eq!(found.periods[0].until, Some(at(3000).at));
    assert_eq!(report(Some(found)), Some(of_one(EventKind::Sighted, "dcs")));
    assert_eq!(note(&mut blindness, ("dcs", 2), &seen(), 3001), None);
}

#[test]
fn an_answer_about_any_job_begins_the_period_anew() {
    for answer in [seen(), problem(ProblemKind::NotFound, Some(404))]
        .into_iter()
        .chain(refusals())
    {
        let mut blindness = services();
        note(&mut blindness, ("dcs", 1), &unauthorized(), 10);
        note(&mut blindness, ("dcs", 2), &answer, 200);
        note(&mut blindness, ("dcs", 1), &unauthorized(), 210);
        assert_eq!(note(&mut blindness, ("dcs", 1), &unauthorized(), 400), None);
        assert!(note(&mut blindness, ("dcs", 1), &unauthorized(), 510).is_some());
    }
}

/// The answers that refuse or misdescribe one job.
fn refusals() -> [Observation; 4] {
    [
        problem(ProblemKind::Forbidden, Some(403)),
        problem(ProblemKind::Misconfigured, Some(400)),
        problem(ProblemKind::Unreadable, Some(200)),
        problem(ProblemKind::Unreadable, None),
    ]
}

#[test]
fn a_failure_of_the_server_counts_once_a_second_watch_meets_one() {
    let mut blindness = services();
    let failed = problem(ProblemKind::ServerError, Some(503));
    for secs in [0, 100, 1000] {
        assert_eq!(note(&mut blindness, ("dcs", 1), &failed, secs), None);
    }
    let found = note(&mut blindness, ("dcs", 2), &failed, 1001);
    assert_eq!(report(found), Some(of_one(EventKind::Blind, "dcs")));
}

#[test]
fn refusals_of_every_job_make_no_service_blind() {
    for refusal in refusals() {
        let mut blindness = services();
        for secs in (0..3000).step_by(10) {
            let watch = u128::from(secs / 10 % 3);
            assert_eq!(note(&mut blindness, ("dcs", watch), &refusal, secs), None);
        }
        assert_eq!(
            blindness.limits_begin("dcs", at(3000).uptime),
            Duration::ZERO
        );
    }
}

#[test]
fn a_refusal_of_a_job_ends_a_blind_period() {
    for refusal in refusals() {
        let mut blindness = services();
        note(&mut blindness, ("dcs", 1), &unauthorized(), 0);
        note(&mut blindness, ("dcs", 1), &unauthorized(), 300);
        let found = note(&mut blindness, ("dcs", 1), &refusal, 400).unwrap();
        assert!(found.is_sighted);
        assert_eq!(report(Some(found)), Some(of_one(EventKind::Sighted, "dcs")));
        assert!(!blindness.is_blind("dcs"));
    }
}

#[test]
fn a_request_that_cannot_be_made_says_nothing_about_its_service() {
    let mut blindness = services();
    let unmade = problem(ProblemKind::Misconfigured, None);
    note(&mut blindness, ("dcs", 1), &unreachable(), 0);
    assert_eq!(note(&mut blindness, ("dcs", 2), &unmade, 300), None);
    assert!(note(&mut blindness, ("dcs", 1), &unreachable(), 301).is_some());
    assert_eq!(note(&mut blindness, ("dcs", 2), &unmade, 400), None);
    assert!(blindness.is_blind("dcs"));
}

fn throttled() -> Observation {
    problem(ProblemKind::Throttled, Some(429))
}

#[test]
fn throttling_ends_a_failure_of_network_or_server() {
    for failure in [unreachable(), problem(ProblemKind::ServerError, Some(503))] {
        let mut blindness = services();
        for (watch, secs) in [(1, 0), (2, 1)] {
            note(&mut blindness, ("dcs", watch), &failure, secs);
        }
        for secs in (2..3000).step_by(10) {
            assert_eq!(note(&mut blindness, ("dcs", 1), &throttled(), secs), None);
        }
        for (watch, secs) in [(1, 3000), (2, 3299)] {
            assert_eq!(note(&mut blindness, ("dcs", watch), &failure, secs), None);
        }
        let found = note(&mut blindness, ("dcs", 1), &failure, 3300).unwrap();
        assert_eq!(found.periods[0].since, at(3000).at);
        let found = note(&mut blindness, ("dcs", 1), &throttled(), 3400);
        assert_eq!(report(found), Some(of_one(EventKind::Sighted, "dcs")));
    }
}

#[test]
fn throttling_does_not_end_the_refusal_of_a_credential() {
    let mut blindness = services();
    note(&mut blindness, ("dcs", 1), &unauthorized(), 0);
    assert_eq!(note(&mut blindness, ("dcs", 1), &throttled(), 300), None);
    assert!(!blindness.is_blind("dcs"), "a 429 reports nothing");
    assert!(note(&mut blindness, ("dcs", 1), &unauthorized(), 301).is_some());
    assert_eq!(note(&mut blindness, ("dcs", 1), &throttled(), 400), None);
    assert!(blindness.is_blind("dcs"));
}

#[test]
fn the_page_of_a_gateway_changes_nothing() {
    let page = Observation::Problem(Problem {
        is_page: true,
        ..Problem::new(ProblemKind::NotFound, "a page")
    });
    let mut blindness = services();
    note(&mut blindness, ("dcs", 1), &unauthorized(), 0);
    for secs in [100, 299] {
        assert_eq!(note(&mut blindness, ("dcs", 2), &page, secs), None);
    }
    assert!(note(&mut blindness, ("dcs", 1), &unauthorized(), 300).is_some());
}

#[test]
fn without_blind_after_no_service_is_blind() {
    let mut blindness = Blindness::new([(Arc::from("dcs"), Duration::ZERO)]);
    for secs in [0, 1000, 100_000] {
        assert_eq!(note(&mut blindness, ("dcs", 1), &unreachable(), secs), None);
    }
    assert!(!blindness.is_blind("dcs"));
}

#[test]
fn a_service_without_blind_after_takes_no_part_in_an_outage() {
    let afters = [("dcs", AFTER), ("sdrs", Duration::ZERO)];
    let mut blindness = Blindness::new(afters.map(|(name, after)| (name.into(), after)));
    note(&mut blindness, ("sdrs", 2), &unreachable(), 0);
    note(&mut blindness, ("dcs", 1), &unreachable(), 0);
    let found = note(&mut blindness, ("dcs", 1), &unreachable(), 300);
    assert_eq!(report(found), Some(of_one(EventKind::Blind, "dcs")));
    assert_eq!(note(&mut blindness, ("sdrs", 2), &unreachable(), 900), None);
    assert!(!blindness.is_blind("sdrs"));
    let times = (at(0).at, at(600).at);
    assert_eq!(blindness.deadline("sdrs", times, at(900).at), times.1);
}

#[test]
fn a_blind_period_ends_where_blind_after_was_switched_off() {
    let mut before = services();
    note(&mut before, ("dcs", 1), &unauthorized(), 0);
    let found = note(&mut before, ("dcs", 1), &unauthorized(), 300).unwrap();
    let mut blindness = Blindness::new([(Arc::from("dcs"), Duration::ZERO)]);
    let ended = blindness.resume(found.periods, at(400));
    assert_eq!(ended[0].until, Some(at(400).at));
    assert!(!blindness.is_blind("dcs"));
    let moved = blindness.deadline("dcs", (at(0).at, at(600).at), at(900).at);
    assert_eq!(moved, at(1000).at);
}

fn due_probe(asked: Option<u128>, last: u128) -> DueProbe {
    DueProbe {
        service: "dcs".into(),
        asked: asked.map(id),
        last: Some(id(last)),
    }
}

#[test]
fn watches_that_a_person_asks_for_are_probed_one_by_one() {
    let mut blindness = services();
    assert!(!blindness.ask("dcs", id(5)), "it can be asked");
    note(&mut blindness, ("dcs", 1), &unauthorized(), 0);
    note(&mut blindness, ("dcs", 1), &unauthorized(), 300);
    for watch in [5, 6, 5] {
        assert!(blindness.ask("dcs", id(watch)));
    }
    assert_eq!(blindness.next_due(), Some(Duration::ZERO));
    assert_eq!(blindness.take_due(at(301).uptime), [due_probe(Some(5), 1)]);
    blindness.probe_with("dcs", Some(id(5)));
    assert_eq!(blindness.take_due(at(302).uptime), [], "one is under way");
    note(&mut blindness, ("dcs", 5), &unauthorized(), 303);
    assert_eq!(blindness.take_due(at(303).uptime), [due_probe(Some(6), 5)]);
    // The second brings no answer.
    assert_eq!(blindness.next_due(), Some(at(363).uptime));
    assert_eq!(blindness.take_due(at(363).uptime), [due_probe(None, 5)]);
    assert!(blindness.ask("dcs", id(7)), "it goes before another probe");
    assert_eq!(blindness.take_due(at(364).uptime), [due_probe(Some(7), 5)]);
}

/// The network fails at 0; the services notice it one after the other.
fn offline() -> Blindness {
    let mut blindness = services();
    for (n, service) in ["dcs", "sdrs", "sfs"].into_iter().enumerate() {
        let n = n as u64 + 1;
        note(&mut blindness, (service, n.into()), &seen(), n);
        note(&mut blindness, (service, n.into()), &unreachable(), 60 * n);
    }
    let found = note(&mut blindness, ("dcs", 1), &unreachable(), 360);
    assert_eq!(report(found), Some((EventKind::Blind, None, 3)));
    blindness
}

#[test]
fn services_that_all_cannot_be_reached_have_one_report() {
    let mut blindness = offline();
    for service in ["sdrs", "sfs"] {
        assert!(blindness.is_blind(service));
        assert_eq!(
            note(&mut blindness, (service, 9), &unreachable(), 900),
            None
        );
    }
    let found = note(&mut blindness, ("sdrs", 2), &seen(), 1000);
    let found = found.unwrap().report.unwrap();
    assert_eq!((found.kind, found.service), (EventKind::Sighted, None));
    assert_eq!(found.services, ["sdrs"], "the others are still blind");
    assert_eq!(found.since, at(60).at, "that of the report");
}

#[test]
fn services_that_stay_unreachable_are_reported_later() {
    let mut blindness = offline();
    note(&mut blindness, ("sdrs", 2), &seen(), 1000);
    let due = blindness.take_due(at(1000).uptime);
    assert_eq!(due.len(), 2, "both are probed at once");
    let found = note(&mut blindness, ("sfs", 3), &seen(), 1001).unwrap();
    assert!(found.is_sighted);
    assert_eq!(report(Some(found)), Some(of_one(EventKind::Sighted, "sfs")));
    assert_eq!(note(&mut blindness, ("dcs", 1), &unreachable(), 1299), None);
    assert!(blindness.is_blind("dcs"));
    let found = note(&mut blindness, ("dcs", 1), &unreachable(), 1300);
    assert_eq!(report(found), Some(of_one(EventKind::Blind, "dcs")));
}

#[test]
fn an_answer_of_another_service_shows_that_the_network_works() {
    let mut blindness = services();
    for secs in (0..300).step_by(10) {
        assert_eq!(note(&mut blindness, ("dcs", 1), &unreachable(), secs), None);
        note(&mut blindness, ("sdrs", 2), &unauthorized(), secs);
    }
    let found = note(&mut blindness, ("dcs", 1), &unreachable(), 300);
    assert_eq!(report(found), Some(of_one(EventKind::Blind, "dcs")));
}

#[test]
fn probes_come_one_at_a_time_and_ever_more_rarely() {
    let mut blindness = services();
    note(&mut blindness, ("dcs", 1), &unauthorized(), 0);
    note(&mut blindness, ("dcs", 2), &unauthorized(), 300);
    let mut times = Vec::new();
    for _ in 0..5 {
        let due = blindness.next_due().unwrap();
        times.push(due.as_secs());
        assert_eq!(blindness.take_due(due), [due_probe(None, 2)]);
        assert_eq!(blindness.take_due(due), []);
        blindness.probe_with("dcs", Some(id(2)));
        assert!(blindness.may_poll("dcs", id(2)) && !blindness.may_poll("dcs", id(1)));
        note(&mut blindness, ("dcs", 2), &unauthorized(), due.as_secs());
        assert!(!blindness.may_poll("dcs", id(2)));
    }
    assert_eq!(times, [315, 330, 360, 420, 480]);
    assert!(blindness.may_poll("sdrs", id(3)));
}

#[test]
fn a_probe_without_an_answer_is_repeated() {
    let mut blindness = services();
    note(&mut blindness, ("dcs", 1), &unauthorized(), 0);
    note(&mut blindness, ("dcs", 1), &unauthorized(), 300);
    assert_eq!(blindness.take_due(at(315).uptime).len(), 1);
    blindness.probe_with("dcs", None);
    assert_eq!(blindness.next_due(), Some(at(375).uptime));
    assert!(blindness.may_poll("dcs", id(7)), "the first that is due");
    assert!(!blindness.may_poll("dcs", id(8)));
}

#[test]
fn a_service_that_fails_is_asked_again_when_it_would_be_blind() {
    let mut blindness = services();
    note(&mut blindness, ("dcs", 1), &unauthorized(), 0);
    assert_eq!(blindness.next_due(), Some(AFTER));
    assert_eq!(blindness.take_due(AFTER), [due_probe(None, 1)]);
    assert_eq!(blindness.next_due(), None);
}

#[test]
fn a_blind_period_survives_a_restart_without_a_second_report() {
    let mut before = services();
    note(&mut before, ("dcs", 1), &unauthorized(), 0);
    let found = note(&mut before, ("dcs", 1), &unauthorized(), 300).unwrap();
    let mut blindness = services();
    assert_eq!(blindness.resume(found.periods, at(0)), []);
    assert_eq!(blindness.next_due(), Some(Duration::ZERO));
    assert_eq!(
        note(&mut blindness, ("dcs", 1), &unauthorized(), 9000),
        None
    );
    let deadline = (at(0).at, at(3600).at);
    let moved = blindness.deadline("dcs", deadline, at(9000).at);
    assert_eq!(moved, at(3600 + 9000).at);
    let found = note(&mut blindness, ("dcs", 1), &seen(), 9001);
    assert_eq!(report(found), Some(of_one(EventKind::Sighted, "dcs")));
    let moved = blindness.deadline("dcs", deadline, at(20_000).at);
    assert_eq!(moved, at(3600 + 9001).at);
}

#[test]
fn limits_begin_when_jobs_are_seen_again() {
    let mut blindness = services();
    let begins = |blindness: &Blindness, secs| blindness.limits_begin("dcs", at(secs).uptime);
    note(&mut blindness, ("dcs", 1), &unauthorized(), 0);
    assert_eq!(begins(&blindness, 100), Duration::ZERO);
    note(&mut blindness, ("dcs", 1), &unauthorized(), 300);
    assert_eq!(begins(&blindness, 700), at(700).uptime);
    note(&mut blindness, ("dcs", 1), &seen(), 800);
    assert_eq!(begins(&blindness, 900), at(800).uptime);
}

#[test]
fn a_probe_respects_the_pause_that_the_service_asks_for() {
    let mut blindness = services();
    note(&mut blindness, ("dcs", 1), &unauthorized(), 0);
    note(&mut blindness, ("dcs", 1), &unauthorized(), 300);
    blindness.take_due(at(315).uptime);
    blindness.probe_with("dcs", Some(id(1)));
    let asked = Some(Duration::from_mins(10));
    blindness.note(("dcs", id(1)), &unauthorized(), asked, at(315));
    assert_eq!(blindness.next_due(), Some(at(915).uptime));
}
