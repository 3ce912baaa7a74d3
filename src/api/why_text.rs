//! Puts the facts about a watch into one paragraph. Pure.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::service_view::ProblemView;
use crate::api::view::UsualView;
use crate::api::why_facts::{
    End, Facts, NextPoll, ProblemRow, Receivers, ServiceFacts, WatchAnswer,
};
use crate::clock::{show_duration, until};
use crate::watch::Outcome;
use crate::watch::observation::ProblemKind;
use crate::workers::poller::Reason;

/// The longest reason or message in the paragraph, in characters; the fact has all of it.
const TEXT_CHARS: usize = 300;

/// Explains a watch in one paragraph.
pub(crate) fn why(facts: &Facts) -> String {
    let mut sentences = vec![beginning(facts)];
    if let Some(end) = &facts.end {
        sentences.extend(ending(end, facts));
    } else {
        sentences.extend(present(facts));
        sentences.extend(facts.usual.map(|usual| usual_in_words(usual, facts)));
        sentences.push(next_in_words(facts));
        if let Some(service) = &facts.service_state {
            sentences.extend(service_in_words(service, facts));
        }
        sentences.push(format!(
            "Without a verdict it ends as `timed_out` at {}, in {}.",
            time(facts.deadline),
            time_between(facts.at, facts.deadline)
        ));
    }
    sentences.extend(receivers_in_words(&facts.receivers, facts.end.is_some()));
    sentences.join(" ")
}

fn beginning(facts: &Facts) -> String {
    let Facts {
        service,
        job_id,
        submitted_at,
        ..
    } = facts;
    let Some(end) = &facts.end else {
        return format!(
            "jobwatch has watched the job `{job_id}` of the service `{service}` since {}, for {}.",
            time(*submitted_at),
            time_between(*submitted_at, facts.at)
        );
    };
    format!(
        "The watch of the job `{job_id}` of the service `{service}` ended as `{}` at {}, {} after it was accepted.",
        end.outcome,
        time(end.at),
        time_between(*submitted_at, end.at)
    )
}

/// Describes the job by the last answer, or the problem in its place.
fn present(facts: &Facts) -> Vec<String> {
    let mut sentences = Vec::new();
    let answer = facts.last_answer.as_ref();
    if let Some(problem) = &facts.problem {
        sentences.push(problem_in_words(problem, facts.at));
        sentences.push(match answer.and_then(|it| it.status.as_deref()) {
            Some(status) => format!("Before that, the service gave the status `{status}`."),
            None => "The job has not been seen yet.".to_owned(),
        });
        return sentences;
    }
    match answer {
        Some(answer) => sentences.extend(answer_in_words(answer, facts.at)),
        None => sentences.push("It has not been polled yet.".to_owned()),
    }
    sentences
}

fn answer_in_words(answer: &WatchAnswer, now: Timestamp) -> Vec<String> {
    let mut sentences = Vec::new();
    let progress = answer.progress.as_deref();
    let progress = progress.map_or_else(String::new, |it| format!(" and the progress `{it}`"));
    let status = match &answer.status {
        Some(status) => format!("the status `{status}`{progress}"),
        None => format!("no status{progress}"),
    };
    sentences.push(match answer.at {
        Some(at) => format!(
            "The last answer, {} ago, shows {status}.",
            time_between(at, now)
        ),
        None => format!(
            "It has not been polled since the daemon started; the last known answer had {status}."
        ),
    });
    let mut add = |is_so: bool, sentence: &str| {
        if is_so {
            sentences.push(sentence.to_owned());
        }
    };
    add(
        answer.is_unknown_status,
        "The definition does not list this status, so the job counts as running.",
    );
    add(
        answer.is_held,
        "The job waits for a person, such as for an approval or a payment.",
    );
    add(
        answer.is_stale,
        "That is the end of an earlier run, so the job counts as pending.",
    );
    if answer.confirmations > 0 {
        sentences.push(format!(
            "An end was seen {}, and it must hold before it counts.",
            times(answer.confirmations)
        ));
    }
    sentences
}

fn problem_in_words(problem: &ProblemRow, now: Timestamp) -> String {
    let ProblemRow {
        last,
        http_status,
        at,
        in_a_row,
    } = problem;
    let status = http_status.map(|status| format!("HTTP {status}"));
    let status = status.map_or_else(String::new, |status| format!(", {status}"));
    let row = match in_a_row {
        0 | 1 => String::new(),
        count => format!(" That was problem {count} in a row."),
    };
    format!(
        "The last poll, {} ago, did not show the job, because {}{status}: {}.{row}",
        time_between(*at, now),
        words_of(last.kind),
        said(last)
    )
}

/// Returns the message of a problem with its code, without a full stop.
fn said(problem: &ProblemView) -> String {
    let message = cut(&problem.message);
    match &problem.code {
        Some(code) => format!("{message} ({code})"),
        None => message,
    }
}

fn words_of(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::Throttled => "the service was asked too often",
        ProblemKind::Unreachable => "there was no complete answer",
        ProblemKind::ServerError => "the service failed",
        ProblemKind::Unreadable => "the answer does not describe the job",
        ProblemKind::Unauthorized => "the credential was not accepted",
        ProblemKind::Forbidden => "the service refused the request",
        ProblemKind::NotFound => "the service does not know the job",
        ProblemKind::Misconfigured => "the request is wrong",
    }
}

fn usual_in_words(usual: UsualView, facts: &Facts) -> String {
    let UsualView {
        count,
        p50_s,
        p90_s,
    } = usual;
    let kind = match &facts.job_type {
        Some(job_type) => format!("jobs of the type `{job_type}`"),
        None => "jobs of this service".to_owned(),
    };
    let age = until(facts.submitted_at, facts.at).as_secs_f64();
    let compared = if age > p90_s {
        "; this one takes longer than usual"
    } else {
        ""
    };
    format!(
        "Of the last {count} {kind}, half took at most {} and nine of ten at most {}{compared}.",
        seconds(p50_s),
        seconds(p90_s)
    )
}

fn next_in_words(facts: &Facts) -> String {
    let Some(next) = &facts.next_poll else {
        return "No poll is planned: either the daemon is still loading its watches, or its last decision about this watch is not stored yet.".to_owned();
    };
    let Some(service) = &facts.service_state else {
        return format!(
            "It is not polled, because the service `{}` is not configured any more.",
            facts.service
        );
    };
    if next.ends_watch {
        return "It will not be polled again before its deadline, because the service asked for a pause that is longer.".to_owned();
    }
    let resumes = service.paused_until.filter(|end| *end >= next.at);
    if let Some(resumes) = resumes {
        return format!(
            "The next poll comes in {}: the service was asked too often, and all polls of its budget pause until {}.",
            time_between(facts.at, resumes),
            time(resumes)
        );
    }
    if next.at > facts.at {
        return format!(
            "The next poll comes in {}, {}.",
            time_between(facts.at, next.at),
            because(next)
        );
    }
    if service.waiting == 0 {
        return "A poll is in progress.".to_owned();
    }
    format!(
        "The next poll has been due for {}. It waits for its budget ({} polls a second, {} at once), where {}.",
        time_between(next.at, facts.at),
        rate(service.rate),
        service.concurrency,
        counted(service.waiting, "poll waits", "polls wait")
    )
}

fn because(next: &NextPoll) -> &'static str {
    match next.because {
        Reason::First => "after the delay before the first poll",
        Reason::Restart => "because the daemon has started and spreads its first polls",
        Reason::Interval | Reason::Pause => "after the usual interval between two polls",
        Reason::Pace => "because the last answer named this time",
        Reason::RetryAfter => "because the service asked for this pause (Retry-After)",
        Reason::Confirm => "to see whether the end holds",
        Reason::Deadline => "exactly at the deadline",
        Reason::Unsaved => "because the last decision about it could not be saved",
        Reason::Alone => "for this job alone, because the list did not show it",
        Reason::Asked => "because a person or a hint asked for it",
    }
}

fn service_in_words(service: &ServiceFacts, facts: &Facts) -> Vec<String> {
    let mut sentences = Vec::new();
    let (name, state) = (&service.credential, &service.credential_state);
    if let Some(reason) = &state.refused {
        sentences.push(format!(
            "The credential `{name}` is refused: {}; change it or its settings.",
            cut(reason)
        ));
    } else if let Some(reason) = &state.failing {
        sentences.push(format!(
            "The credential `{name}` has no new secret for now: {}.",
            cut(reason)
        ));
    } else if let Some(end) = state.expires_at {
        sentences.push(format!(
            "The credential `{name}` is valid until {}; it will be renewed before that.",
            time(end)
        ));
    }
    if let (Some(since), Some(problem), None) =
        (service.failing_since, &service.problem, &facts.problem)
    {
        sentences.push(format!(
            "All polls of this service have failed since {}, because {}: {}.",
            time(since),
            words_of(problem.kind),
            said(problem)
        ));
    }
    sentences
}

fn ending(end: &End, facts: &Facts) -> Vec<String> {
    let mut sentences = vec![cause_in_words(end, facts)];
    if let Some(reason) = &end.reason {
        let code = end.code.as_ref();
        let code = code.map_or_else(String::new, |code| format!(" ({code})"));
        sentences.push(format!("The reason: {}{code}.", cut(reason)));
    } else if let Some(code) = &end.code {
        sentences.push(format!("The error code is {code}."));
    }
    sentences.push(
        if end.has_evidence {
            "The answer that proved it is kept as evidence."
        } else if end.outcome == Outcome::Unwatched {
            "The job itself was not changed."
        } else {
            "No answer is kept as evidence."
        }
        .to_owned(),
    );
    if let Some(verdict) = &end.late_result {
        sentences.push(format!(
            "A late result came after the end: the job `{verdict}`."
        ));
    } else if let Some(at) = end.late_poll_at {
        sentences.push(format!(
            "It is still polled for a late result, next in {}.",
            time_between(facts.at, at)
        ));
    }
    sentences
}

fn cause_in_words(end: &End, facts: &Facts) -> String {
    let answer = facts.last_answer.as_ref();
    let status = answer.and_then(|answer| answer.status.as_deref());
    match end.outcome {
        Outcome::Succeeded | Outcome::Failed | Outcome::Partial | Outcome::Cancelled => {
            match status {
                Some(status) => format!("The service said `{status}`."),
                None => "The service said so.".to_owned(),
            }
        }
        Outcome::TimedOut => match status {
            Some(status) => {
                format!("Its deadline passed without a verdict; the last status was `{status}`.")
            }
            None => "Its deadline passed, and the job was never seen.".to_owned(),
        },
        Outcome::Lost => "The service does not know the job any more.".to_owned(),
        Outcome::Unknown => "jobwatch could not find out how the job ended.".to_owned(),
        Outcome::Unwatched => "A person stopped the watch.".to_owned(),
    }
}

fn receivers_in_words(receivers: &Receivers, is_over: bool) -> Vec<String> {
    let mut sentences = Vec::new();
    let callback = receivers.callback_host.as_ref();
    let callback = callback.map(|host| format!("its callback at {host}"));
    let all: Vec<String> = receivers
        .sinks
        .iter()
        .map(|sink| format!("`{sink}`"))
        .chain(callback)
        .collect();
    let some: Vec<String> = receivers
        .some_ends
        .iter()
        .map(|sink| format!("`{sink}`"))
        .collect();
    if !is_over {
        if all.is_empty() && some.is_empty() {
            sentences.push("No sink receives its end.".to_owned());
        }
        if !all.is_empty() {
            sentences.push(format!("Its end goes to {}.", listed(&all)));
        }
        if !some.is_empty() {
            let (verb, their) = match some.as_slice() {
                [_] => ("receives", "its"),
                _ => ("receive", "their"),
            };
            sentences.push(format!(
                "{} {verb} only some outcomes, because of `events` in {their} settings.",
                listed(&some)
            ));
        }
    }
    let Receivers {
        delivered,
        pending,
        dead,
        ..
    } = *receivers;
    let counts = [
        (delivered, "delivery was made", "deliveries were made"),
        (pending, "is pending", "are pending"),
        (dead, "is a dead letter", "are dead letters"),
    ];
    let counted: Vec<String> = counts
        .into_iter()
        .filter(|(count, _, _)| *count > 0)
        .map(|(count, one, many)| counted(count, one, many))
        .collect();
    if !counted.is_empty() {
        let more = if receivers.more {
            ", of the newest deliveries"
        } else {
            ""
        };
        sentences.push(format!("So far{more}, {}.", listed(&counted)));
    }
    sentences
}

fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

fn time(at: Timestamp) -> String {
    format!("{at:.0}")
}

/// Returns the time between two instants in whole seconds.
fn time_between(from: Timestamp, to: Timestamp) -> String {
    show_duration(Duration::from_secs(until(from, to).as_secs()))
}

fn seconds(seconds: f64) -> String {
    let rounded = Duration::try_from_secs_f64(seconds.round());
    show_duration(rounded.unwrap_or_default())
}

/// Returns a rate without a fraction where it has none.
fn rate(rate: f64) -> String {
    let text = format!("{rate:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Returns a message that fits into the paragraph: one line, and no full stop at its end.
fn cut(message: &str) -> String {
    let one_line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = one_line.trim_end_matches('.');
    if shown.chars().count() <= TEXT_CHARS {
        return shown.to_owned();
    }
    let beginning: String = shown.chars().take(TEXT_CHARS).collect();
    format!("{beginning}…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::service_view::CredentialView;

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

    const BEGINNING: &str = "jobwatch has watched the job `ff80` of the service `dcs` since 2026-11-22T10:00:00Z, for 5m.";
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
                "The credential `otc` has no new secret for now: no answer.",
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
                "The service said `FAIL`. The reason: no capacity (DCS.4203). The answer that proved it is kept as evidence.",
            ),
            (
                Outcome::Succeeded,
                |it| it.receivers.delivered = 2,
                "The service said `RUNNING`. The answer that proved it is kept as evidence. So far, 2 deliveries were made.",
            ),
            (
                Outcome::TimedOut,
                |it| end(it).late_poll_at = Some(at("11:00:00")),
                "Its deadline passed without a verdict; the last status was `RUNNING`. The answer that proved it is kept as evidence. It is still polled for a late result, next in 55m.",
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
                "The service does not know the job any more. The reason: not found 3 times. The answer that proved it is kept as evidence.",
            ),
            (
                Outcome::Unknown,
                |it| end(it).code = Some("403".to_owned()),
                "jobwatch could not find out how the job ended. The error code is 403. The answer that proved it is kept as evidence.",
            ),
            (
                Outcome::Unwatched,
                |it| end(it).has_evidence = false,
                "A person stopped the watch. The job itself was not changed.",
            ),
            (
                Outcome::Cancelled,
                |it| answer(it).status = None,
                "The service said so. The answer that proved it is kept as evidence.",
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
}
