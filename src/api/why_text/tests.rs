//! The sentences of an explanation, for watches that go on and for those that have ended.

use super::*;
use crate::api::service_view::CredentialView;
use crate::api::why_words::TEXT_CHARS;

const START: &str = "2026-11-22T10:00:00Z";

fn at(time_of_day: &str) -> Timestamp {
    format!("2026-11-22T{time_of_day}Z").parse().unwrap()
}

/// A watch that was polled a minute ago and goes well.
fn facts() -> Facts {
    Facts {
        at: at("10:05:00"),
        watch_id: "0199".to_owned(),
        service: "dcs".to_owned(),
        job_id: "ff80".to_owned(),
        job_type: Some("createDcs".to_owned()),
        state: "watching".to_owned(),
        submitted_at: START.parse().unwrap(),
        deadline: at("12:00:00"),
        usual: None,
        last_answer: Some(WatchAnswer {
            at: Some(at("10:04:30")),
            status: Some("RUNNING".to_owned()),
            progress: None,
            is_unknown_status: false,
            is_held: false,
            is_stale: false,
            confirmations: 0,
        }),
        problem: None,
        next_poll: Some(NextPoll {
            at: at("10:05:30"),
            because: Reason::Interval,
            ends_watch: false,
        }),
        service_state: Some(ServiceFacts {
            credential: "otc".to_owned(),
            credential_state: CredentialView {
                kind: "keystone".to_owned(),
                expires_at: None,
                refused: None,
                failing: None,
                again_at: None,
            },
            paused_until: None,
            waiting: 0,
            rate: 5.0,
            concurrency: 8,
            failing_since: None,
            problem: None,
            blind: None,
        }),
        receivers: Receivers {
            sinks: vec!["ops".to_owned()],
            ..Receivers::default()
        },
        end: None,
    }
}

fn problem(kind: ProblemKind, http_status: Option<u16>, in_a_row: u32) -> ProblemRow {
    ProblemRow {
        last: ProblemView {
            kind,
            code: Some("DCS.5000".to_owned()),
            message: "Internal error.".to_owned(),
        },
        http_status,
        at: at("10:04:50"),
        in_a_row,
    }
}

fn ended(outcome: Outcome) -> Facts {
    Facts {
        state: outcome.as_str().to_owned(),
        next_poll: None,
        end: Some(End {
            at: at("10:04:00"),
            outcome,
            code: None,
            reason: None,
            has_evidence: true,
            late_result: None,
            late_poll_at: None,
        }),
        ..facts()
    }
}

fn change(mut facts: Facts, change: impl FnOnce(&mut Facts)) -> Facts {
    change(&mut facts);
    facts
}

fn answer(facts: &mut Facts) -> &mut WatchAnswer {
    facts.last_answer.as_mut().unwrap()
}

fn service(facts: &mut Facts) -> &mut ServiceFacts {
    facts.service_state.as_mut().unwrap()
}

fn next(facts: &mut Facts) -> &mut NextPoll {
    facts.next_poll.as_mut().unwrap()
}

fn end(facts: &mut Facts) -> &mut End {
    facts.end.as_mut().unwrap()
}

const BEGINNING: &str =
    "jobwatch has watched the job `ff80` of the service `dcs` since 2026-11-22T10:00:00Z, for 5m.";
const DEADLINE: &str =
    "Without a verdict it ends as `timed_out` at 2026-11-22T12:00:00Z, in 1h 55m.";

/// The sentences between the beginning and the deadline, and those after it.
#[track_caller]
fn says(facts: &Facts, middle: &str, last: &str) {
    let expected = format!("{BEGINNING} {middle} {DEADLINE} {last}");
    assert_eq!(why(facts), expected);
}

const RUNNING: &str = "The last answer, 30s ago, shows the status `RUNNING`.";
const NEXT: &str = "The next poll comes in 30s, after the usual interval between two polls.";
const TO_OPS: &str = "Its end goes to `ops`.";

#[test]
fn a_watch_that_goes_well_is_explained_in_full() {
    says(&facts(), &format!("{RUNNING} {NEXT}"), TO_OPS);
    let usual = change(facts(), |facts| {
        facts.usual = Some(UsualView {
            count: 20,
            p50_s: 600.2,
            p90_s: 905.0,
        });
    });
    let usually = "Of the last 20 jobs of the type `createDcs`, half took at most 10m and nine of ten at most 15m 5s.";
    says(&usual, &format!("{RUNNING} {usually} {NEXT}"), TO_OPS);
    let slow = change(usual, |facts| {
        facts.job_type = None;
        facts.usual.as_mut().unwrap().p90_s = 240.0;
    });
    let slower = "Of the last 20 jobs of this service, half took at most 10m and nine of ten at most 4m; this one takes longer than usual.";
    says(&slow, &format!("{RUNNING} {slower} {NEXT}"), TO_OPS);
}

#[test]
fn the_last_answer_is_told_in_the_words_of_the_service() {
    type Case = (fn(&mut Facts), &'static str);
    let cases: [Case; 7] = [
        (|it| it.last_answer = None, "It has not been polled yet."),
        (
            |it| answer(it).at = None,
            "It has not been polled since the daemon started; the last known answer had the status `RUNNING`.",
        ),
        (
            |it| answer(it).progress = Some("40 %".to_owned()),
            "The last answer, 30s ago, shows the status `RUNNING` and the progress `40 %`.",
        ),
        (
            |it| answer(it).is_unknown_status = true,
            "The last answer, 30s ago, shows the status `RUNNING`. The definition does not list this status, so the job counts as running.",
        ),
        (
            |it| answer(it).is_held = true,
            "The last answer, 30s ago, shows the status `RUNNING`. The job waits for a person, such as for an approval or a payment.",
        ),
        (
            |it| answer(it).is_stale = true,
            "The last answer, 30s ago, shows the status `RUNNING`. That is the end of an earlier run, so the job counts as pending.",
        ),
        (
            |it| answer(it).confirmations = 2,
            "The last answer, 30s ago, shows the status `RUNNING`. An end was seen 2 times, and it must hold before it counts.",
        ),
    ];
    for (edit, expected) in cases {
        says(
            &change(facts(), edit),
            &format!("{expected} {NEXT}"),
            TO_OPS,
        );
    }
}

#[test]
fn a_problem_is_told_with_its_row() {
    type Case = (ProblemKind, Option<u16>, u32, &'static str);
    let cases: [Case; 3] = [
        (
            ProblemKind::ServerError,
            Some(502),
            3,
            "because the service failed, HTTP 502: Internal error (DCS.5000). That was problem 3 in a row.",
        ),
        (
            ProblemKind::Unreachable,
            None,
            1,
            "because there was no complete answer: Internal error (DCS.5000).",
        ),
        (
            ProblemKind::NotFound,
            Some(404),
            2,
            "because the service does not know the job, HTTP 404: Internal error (DCS.5000). That was problem 2 in a row.",
        ),
    ];
    for (kind, http_status, in_a_row, expected) in cases {
        let facts = change(facts(), |facts| {
            facts.problem = Some(problem(kind, http_status, in_a_row));
        });
        let poll = "The last poll, 10s ago, did not show the job,";
        let before = "Before that, the service gave the status `RUNNING`.";
        says(
            &facts,
            &format!("{poll} {expected} {before} {NEXT}"),
            TO_OPS,
        );
    }
    let unseen = change(facts(), |facts| {
        facts.problem = Some(problem(ProblemKind::Forbidden, Some(403), 1));
        facts.last_answer = None;
    });
    let middle = "The last poll, 10s ago, did not show the job, because the service refused the request, HTTP 403: Internal error (DCS.5000). The job has not been seen yet.";
    says(&unseen, &format!("{middle} {NEXT}"), TO_OPS);
}

#[test]
fn the_time_of_the_next_poll_has_its_reason() {
    let cases = [
        (Reason::First, "after the delay before the first poll"),
        (
            Reason::Restart,
            "because the daemon has started and spreads its first polls",
        ),
        (Reason::Pace, "because the last answer named this time"),
        (
            Reason::RetryAfter,
            "because the service asked for this pause (Retry-After)",
        ),
        (Reason::Confirm, "to see whether the end holds"),
        (Reason::Deadline, "exactly at the deadline"),
        (
            Reason::Unsaved,
            "because the last decision about it could not be saved",
        ),
        (
            Reason::Alone,
            "for this job alone, because the list did not show it",
        ),
        (
            Reason::Sighted,
            "because the service can be asked again, and its polls are spread",
        ),
        (Reason::Asked, "because a person or a hint asked for it"),
    ];
    for (reason, expected) in cases {
        let facts = change(facts(), |facts| next(facts).because = reason);
        let next = format!("The next poll comes in 30s, {expected}.");
        says(&facts, &format!("{RUNNING} {next}"), TO_OPS);
    }
}

#[test]
fn a_poll_that_does_not_come_is_explained() {
    type Case = (fn(&mut Facts), &'static str);
    let cases: [Case; 6] = [
        (
            |it| {
                next(it).because = Reason::Pause;
                service(it).paused_until = Some(at("10:06:00"));
            },
            "The next poll comes in 1m: the service was asked too often, and all polls of its budget pause until 2026-11-22T10:06:00Z.",
        ),
        (
            |it| {
                next(it).at = at("10:04:15");
                service(it).waiting = 40;
            },
            "The next poll has been due for 45s. It waits for its budget (5 polls a second, 8 at once), where 40 polls wait.",
        ),
        (|it| next(it).at = at("10:04:59"), "A poll is in progress."),
        (
            |it| next(it).ends_watch = true,
            "It will not be polled again before its deadline, because the service asked for a pause that is longer.",
        ),
        (
            |it| it.service_state = None,
            "It is not polled, because the service `dcs` is not configured any more.",
        ),
        (
            |it| it.next_poll = None,
            "No poll is planned: either the daemon is still loading its watches, or its last decision about this watch is not stored yet.",
        ),
    ];
    for (edit, expected) in cases {
        says(
            &change(facts(), edit),
            &format!("{RUNNING} {expected}"),
            TO_OPS,
        );
    }
}

#[test]
fn the_credential_and_the_service_are_told() {
    type Case = (fn(&mut Facts), &'static str);
    let cases: [Case; 4] = [
        (
            |it| service(it).credential_state.expires_at = Some(at("20:00:00")),
            "The credential `otc` is valid until 2026-11-22T20:00:00Z; it will be renewed before that.",
        ),
        (
            |it| service(it).credential_state.refused = Some("wrong password".to_owned()),
            "The credential `otc` is refused: wrong password; change it or its settings.",
        ),
        (
            |it| service(it).credential_state.failing = Some("no answer".to_owned()),
            "The credential `otc` could not be renewed: no answer.",
        ),
        (
            |it| {
                service(it).failing_since = Some(at("10:03:00"));
                service(it).problem = Some(problem(ProblemKind::ServerError, None, 1).last);
            },
            "All polls of this service have failed since 2026-11-22T10:03:00Z, because the service failed: Internal error (DCS.5000).",
        ),
    ];
    for (edit, expected) in cases {
        let middle = format!("{RUNNING} {NEXT} {expected}");
        says(&change(facts(), edit), &middle, TO_OPS);
    }
}

#[test]
fn the_receivers_and_their_deliveries_are_told() {
    type Case = (fn(&mut Receivers), &'static str);
    let cases: [Case; 4] = [
        (|it| it.sinks.clear(), "No sink receives its end."),
        (
            |it| {
                it.sinks.push("log".to_owned());
                it.callback_host = Some("ci.example.com".to_owned());
            },
            "Its end goes to `ops`, `log` and its callback at ci.example.com.",
        ),
        (
            |it| it.some_ends.push("pager".to_owned()),
            "Its end goes to `ops`. `pager` receives only some outcomes, because of `events` in its settings.",
        ),
        (
            |it| {
                it.delivered = 1;
                it.pending = 2;
                it.dead = 1;
            },
            "Its end goes to `ops`. So far, 1 delivery was made, 2 are pending and 1 is a dead letter.",
        ),
    ];
    for (edit, expected) in cases {
        let facts = change(facts(), |facts| edit(&mut facts.receivers));
        says(&facts, &format!("{RUNNING} {NEXT}"), expected);
    }
}

#[test]
fn an_end_is_told_with_its_cause() {
    type Case = (Outcome, fn(&mut Facts), &'static str);
    let cases: [Case; 8] = [
        (
            Outcome::Failed,
            |it| {
                answer(it).status = Some("FAIL".to_owned());
                end(it).reason = Some("no capacity.".to_owned());
                end(it).code = Some("DCS.4203".to_owned());
            },
            "The service said `FAIL`. The reason: no capacity (DCS.4203). The answer behind it is kept as evidence.",
        ),
        (
            Outcome::Succeeded,
            |it| it.receivers.delivered = 2,
            "The service said `RUNNING`. The answer behind it is kept as evidence. So far, 2 deliveries were made.",
        ),
        (
            Outcome::TimedOut,
            |it| end(it).late_poll_at = Some(at("11:00:00")),
            "Its deadline passed without a verdict; the last status was `RUNNING`. The answer behind it is kept as evidence. It is still polled for a late result, next in 55m.",
        ),
        (
            Outcome::TimedOut,
            |it| {
                it.last_answer = None;
                end(it).late_result = Some("succeeded".to_owned());
                end(it).has_evidence = false;
            },
            "Its deadline passed, and the job was never seen. No answer is kept as evidence. A late result came after the end: the job `succeeded`.",
        ),
        (
            Outcome::Lost,
            |it| end(it).reason = Some("not found 3 times".to_owned()),
            "The service does not know the job any more. The reason: not found 3 times. The answer behind it is kept as evidence.",
        ),
        (
            Outcome::Unknown,
            |it| end(it).code = Some("403".to_owned()),
            "jobwatch could not find out how the job ended. The error code is 403. The answer behind it is kept as evidence.",
        ),
        (
            Outcome::Unwatched,
            |it| end(it).has_evidence = false,
            "A person stopped the watch. The job itself was not changed.",
        ),
        (
            Outcome::Cancelled,
            |it| answer(it).status = None,
            "The service said so. The answer behind it is kept as evidence.",
        ),
    ];
    for (outcome, edit, expected) in cases {
        let beginning = format!(
            "The watch of the job `ff80` of the service `dcs` ended as `{outcome}` at 2026-11-22T10:04:00Z, 4m after it was accepted."
        );
        let facts = change(ended(outcome), edit);
        assert_eq!(why(&facts), format!("{beginning} {expected}"));
    }
}

#[test]
fn a_long_message_is_cut_to_one_short_line() {
    let long = format!("first\nsecond {}", "é".repeat(400));
    let shown = cut(&long);
    assert_eq!(shown.chars().count(), TEXT_CHARS + 1);
    assert!(shown.starts_with("first second éé") && shown.ends_with("é…"));
}

#[test]
fn a_blind_service_is_explained_and_the_deadline_stands_still() {
    let mut facts = facts();
    let service = facts.service_state.as_mut().unwrap();
    service.blind = Some(BlindView {
        since: at("09:50:00"),
        problem: problem(ProblemKind::Unauthorized, Some(401), 1).last,
        next_probe_at: at("10:05:40"),
    });
    let text = why(&facts);
    let expected = "No job of the service can be seen since 2026-11-22T09:50:00Z, because the credential was not accepted: Internal error (DCS.5000). Only one poll at a time tests it; the next comes in 40s.";
    assert!(text.contains(expected), "{text}");
    let deadline =
        "Its deadline stands still meanwhile: 1h 55m are left once jobs can be seen again.";
    assert!(text.contains(deadline), "{text}");
}
