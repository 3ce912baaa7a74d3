//! Puts the facts about a watch into one paragraph. Pure.

use jiff::Timestamp;

use crate::api::service_view::{BlindView, ProblemView};
use crate::api::view::UsualView;
use crate::api::why_facts::{
    End, Facts, NextPoll, ProblemRow, Receivers, ServiceFacts, WatchAnswer,
};
use crate::api::why_words::{counted, cut, listed, rate, seconds, time, time_between, times};
use crate::clock::until;
use crate::watch::Outcome;
use crate::watch::observation::ProblemKind;
use crate::workers::poller::Reason;

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
        sentences.push(deadline_in_words(facts));
    }
    sentences.extend(receivers_in_words(&facts.receivers, facts.end.is_some()));
    sentences.join(" ")
}

fn deadline_in_words(facts: &Facts) -> String {
    let left = time_between(facts.at, facts.deadline);
    if blind(facts).is_some() {
        return format!(
            "Its deadline stands still meanwhile: {left} are left once jobs can be seen again."
        );
    }
    format!(
        "Without a verdict it ends as `timed_out` at {}, in {left}.",
        time(facts.deadline)
    )
}

/// Returns the time in which the service is blind.
fn blind(facts: &Facts) -> Option<&BlindView> {
    facts.service_state.as_ref()?.blind.as_ref()
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
    if let Some(blind) = &service.blind {
        let comes = if blind.next_probe_at > facts.at {
            format!("in {}", time_between(facts.at, blind.next_probe_at))
        } else {
            "now".to_owned()
        };
        return format!(
            "No job of the service can be seen since {}, because {}: {}. Only one poll at a time tests it; the next comes {comes}.",
            time(blind.since),
            words_of(blind.problem.kind),
            said(&blind.problem)
        );
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
        Reason::Blind => "to test whether jobs of the service can be seen again",
        Reason::Sighted => "because the service can be asked again, and its polls are spread",
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
            "The credential `{name}` could not be renewed: {}.",
            cut(reason)
        ));
    } else if let Some(end) = state.expires_at {
        sentences.push(format!(
            "The credential `{name}` is valid until {}; it will be renewed before that.",
            time(end)
        ));
    }
    if let (Some(since), Some(problem), None, None) = (
        service.failing_since,
        &service.problem,
        &facts.problem,
        &service.blind,
    ) {
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
            "The answer behind it is kept as evidence."
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

#[cfg(test)]
mod tests;
