//! The facts of one watch, as names and values.

use std::collections::BTreeMap;

use crate::api::view::WatchView;
use crate::cli::age::{Times, rounded_age};
use crate::cli::change;
use crate::cli::paint::Paint;
use crate::cli::table::{Table, plain};
use crate::watch::note::Note;
use crate::watch::observation::ProblemNote;

/// A name and its value; a row without a value is not shown.
pub(super) type Row = (&'static str, Option<String>);

pub(super) fn of(watch: &WatchView, times: Times) -> Table {
    let paint = Paint::for_stdout();
    let rows = [
        job_rows(watch, paint),
        end_rows(watch, times),
        poll_rows(watch, times, paint),
        given_rows(watch),
    ];
    facts_table(paint, rows.into_iter().flatten())
}

pub(super) fn facts_table(paint: Paint, rows: impl IntoIterator<Item = Row>) -> Table {
    let mut table = Table::default();
    for (name, value) in rows {
        if let Some(value) = value {
            table.row(vec![paint.dim(name), value]);
        }
    }
    table
}

/// The job and its status.
fn job_rows(watch: &WatchView, paint: Paint) -> Vec<Row> {
    let stale = "yes: the status is that of an earlier run";
    vec![
        ("id", Some(watch.id.clone())),
        ("service", Some(plain(&watch.service))),
        ("job", Some(plain(&watch.job_id))),
        ("type", watch.job_type.as_deref().map(plain)),
        ("group", watch.group.as_deref().map(plain)),
        ("state", Some(paint.state(&watch.state))),
        ("status", watch.status.as_deref().map(plain)),
        ("stale", watch.stale.then(|| stale.to_owned())),
        ("run", watch.run.as_deref().map(plain)),
        ("unknown status", watch.unknown_status.as_deref().map(plain)),
        ("progress", watch.progress.as_deref().map(plain)),
    ]
}

/// The end of the job, and the times.
fn end_rows(watch: &WatchView, times: Times) -> Vec<Row> {
    let confirmed = watch.confirmations.filter(|count| *count > 1);
    let is_watched = watch.finished_at.is_none();
    let show = |at| times.show(at);
    vec![
        ("code", watch.code.as_deref().map(plain)),
        ("reason", watch.reason.as_deref().map(plain)),
        (
            "confirmed by",
            confirmed.map(|count| format!("{count} polls")),
        ),
        ("submitted", Some(times.show(watch.submitted_at))),
        ("since", watch.since.map(show)),
        ("began", watch.began_at.map(show)),
        ("ended", watch.ended_at.map(show)),
        ("finished", watch.finished_at.map(show)),
        ("took", took(watch)),
        ("deadline", is_watched.then(|| times.show(watch.deadline))),
    ]
}

/// Returns how long the job ran, as the service says, or else how long it was watched.
fn took(watch: &WatchView) -> Option<String> {
    let end = watch.ended_at.or(watch.finished_at)?;
    let begin = watch.began_at.unwrap_or(watch.submitted_at);
    let seconds = end.as_second() - begin.as_second();
    (seconds >= 0).then(|| rounded_age(seconds))
}

fn poll_rows(watch: &WatchView, times: Times, paint: Paint) -> Vec<Row> {
    let polls = format!("{}, {} with a problem", watch.polls, watch.problems);
    let notes: Vec<&str> = watch.notes.iter().map(Note::as_str).collect();
    let last = watch.last_problem.as_ref();
    let last = last.map(|last| problem(last, times));
    let (failing, last) = match watch.problems_in_a_row {
        0 => (None, last),
        1 => (last, None),
        count => (last.map(|last| format!("{count} in a row: {last}")), None),
    };
    vec![
        ("next poll", watch.next_poll_at.map(|at| times.show(at))),
        ("polls", Some(polls)),
        ("problem", failing.map(|text| paint.warn(&text))),
        ("last problem", last),
        ("notes", (!notes.is_empty()).then(|| notes.join(", "))),
    ]
}

fn problem(problem: &ProblemNote, times: Times) -> String {
    let text = change::problem(problem);
    plain(&format!("{text} ({})", times.show(problem.at)))
}

/// The rest: mostly as the submitter gave it.
fn given_rows(watch: &WatchView) -> Vec<Row> {
    let resources = watch.resources.as_ref();
    let resources = resources.filter(|value| **value != serde_json::json!({}));
    let expect = watch.expect.map(|expect| expect.as_str().to_owned());
    vec![
        ("expect", expect),
        ("callback", watch.callback_host.as_deref().map(plain)),
        ("labels", pairs(&watch.labels)),
        ("params", pairs(&watch.params)),
        (
            "resources",
            resources.map(|value| plain(&value.to_string())),
        ),
    ]
}

fn pairs(map: &BTreeMap<String, String>) -> Option<String> {
    let each: Vec<String> = map
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    (!each.is_empty()).then(|| plain(&each.join(" ")))
}
