//! Compares the end of a case with its expectations.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::Duration;

use serde_json::Value;

use super::events::{end_of, follow, is_about, read, type_of};
use super::expectations::{ForRequests, ForWatch};
use super::play::Stage;
use super::stub::Asked;
use super::value::{Wanted, dig, instant};

/// The time from the end of a watch to the delivery of its last event.
const DELIVERY_LIMIT: Duration = Duration::from_secs(3);
/// Characters of a text in a finding.
const SHOWN: usize = 300;

/// The differences between a case and its expectations.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) wrong: Vec<String>,
    /// The states that the watches came to.
    pub(super) came: Vec<String>,
}

impl Findings {
    pub(super) fn check<A: Display, B: Display>(
        &mut self,
        holds: bool,
        what: &str,
        wanted: impl FnOnce() -> A,
        came: impl FnOnce() -> B,
    ) {
        if !holds {
            let (wanted, came) = (clipped(&wanted()), clipped(&came()));
            self.wrong.push(format!("{what}: {wanted} / {came}"));
        }
    }

    pub(super) fn value(&mut self, what: &str, wanted: &Wanted, came: &Value) {
        self.check(wanted.holds(came), what, || wanted.shown(), || came);
    }

    pub(super) fn text(&mut self, what: &str, text: &str, has: &[String], lacks: &[String]) {
        for part in has {
            self.check(
                text.contains(part),
                what,
                || format!("`{part}` in it"),
                || text,
            );
        }
        for part in lacks {
            self.check(
                !text.contains(part),
                what,
                || format!("no `{part}` in it"),
                || "it is",
            );
        }
    }
}

fn clipped(text: &impl Display) -> String {
    let text = text.to_string();
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

/// Judges the watches, the requests and the log.
pub(super) fn judge(stage: &mut Stage<'_>) -> Result<(), String> {
    let case = stage.case;
    let mut views = Vec::new();
    for (name, wanted) in &case.watches {
        let view = if wanted.outcome.list() == ["watching"] {
            stage.view(name)?
        } else {
            stage.last_view(name)?
        };
        let absent = || "there is none";
        stage.found.check(
            view.is_some(),
            &format!("watch {name}"),
            || "a watch",
            absent,
        );
        views.extend(view.map(|view| (name, wanted, view)));
    }
    await_ends(stage, views.iter().map(|(_, _, view)| view))?;
    let events = read(stage.daemon.events());
    let ids: BTreeSet<&str> = events
        .iter()
        .filter_map(|it| dig(it, "id").as_str())
        .collect();
    let is_one_each = ids.len() == events.len();
    stage.found.check(
        is_one_each,
        "event ids",
        || "one for each fact",
        || "one for two facts",
    );
    for (name, wanted, view) in &views {
        let about: Vec<&Value> = events
            .iter()
            .filter(|event| is_about(event, view["id"].as_str().unwrap_or_default()))
            .collect();
        judge_watch(&mut stage.found, name, wanted, view, &about);
    }
    for (key, wanted) in &case.requests {
        let asked = stage.stub.asked(key);
        judge_requests(&mut stage.found, key, wanted, &asked);
    }
    let log = stage.daemon.log();
    stage
        .found
        .text("the log", &log, &case.log.has, &case.log.lacks);
    Ok(())
}

/// Waits for the last events of the watches that have ended: deliveries come a moment later.
fn await_ends<'v>(
    stage: &mut Stage<'_>,
    views: impl Iterator<Item = &'v Value>,
) -> Result<(), String> {
    let over: Vec<&str> = views
        .filter(|view| view["state"] != "watching")
        .filter_map(|view| view["id"].as_str())
        .collect();
    let delivered = stage.daemon.look(DELIVERY_LIMIT, |daemon| {
        let events = read(daemon.events());
        let is_delivered = |id: &&&str| {
            events
                .iter()
                .any(|it| end_of(it).is_some() && is_about(it, id))
        };
        Ok((over.iter().filter(is_delivered).count() == over.len()).then_some(()))
    });
    delivered.map(drop)
}

fn judge_watch(
    found: &mut Findings,
    name: &str,
    wanted: &ForWatch,
    view: &Value,
    events: &[&Value],
) {
    let state = view["state"].as_str().unwrap_or_default();
    found.came.push(format!("{name} {state}"));
    let outcomes = wanted.outcome.list();
    found.check(
        outcomes.contains(&state),
        &format!("outcome of {name}"),
        || outcomes.join(" or "),
        || summary(state, view),
    );
    judge_ends(found, name, state, events);
    if let Some(patterns) = &wanted.events {
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let types: Vec<&str> = events.iter().map(|event| type_of(event)).collect();
        found.check(
            follow(&types, &patterns),
            &format!("events of {name}"),
            || patterns.join(" "),
            || types.join(" "),
        );
    }
    judge_numbers(found, name, wanted, view);
    for (path, sought) in &wanted.view {
        found.value(&format!("{path} of {name}"), sought, dig(view, path));
    }
    judge_members(found, name, wanted, events);
}

/// Each watch has one end, the one that the API shows.
fn judge_ends(found: &mut Findings, name: &str, state: &str, events: &[&Value]) {
    let ends: Vec<&str> = events.iter().filter_map(|event| end_of(event)).collect();
    let wanted: Vec<&str> = [state].into_iter().filter(|it| *it != "watching").collect();
    found.check(
        ends == wanted,
        &format!("ends of {name}"),
        || wanted.join(" "),
        || ends.join(" "),
    );
}

fn judge_numbers(found: &mut Findings, name: &str, wanted: &ForWatch, view: &Value) {
    if let Some(span) = wanted.polls {
        let polls = &view["polls"];
        let holds = polls.as_f64().is_some_and(|polls| span.holds(polls));
        found.check(
            holds,
            &format!("polls of {name}"),
            || span.shown(),
            || polls,
        );
    }
    let times = instant(&view["submitted_at"]).zip(instant(&view["finished_at"]));
    if let Some((span, (from, to))) = wanted.took.zip(times) {
        let took = Duration::from_millis((to - from).unsigned_abs()).as_secs_f64();
        let what = format!("seconds that {name} took");
        found.check(span.holds(took), &what, || span.shown(), || took);
    }
}

/// Members of the final event, and of some event.
fn judge_members(found: &mut Findings, name: &str, wanted: &ForWatch, events: &[&Value]) {
    let is_end = |event: &&&Value| end_of(event).is_some();
    let end = events
        .iter()
        .rev()
        .find(is_end)
        .map_or(&Value::Null, |event| *event);
    let fields = [("code", &wanted.code), ("status", &wanted.status)];
    for (field, sought) in fields {
        if let Some(sought) = sought {
            let came = dig(end, &format!("data.{field}"));
            found.value(&format!("{field} of {name}"), sought, came);
        }
    }
    if let Some(sought) = &wanted.reason {
        let came = dig(end, "data.reason");
        let what = format!("reason of {name}");
        found.check(sought.is_within(came), &what, || sought.shown(), || came);
    }
    for (path, sought) in &wanted.event {
        found.value(
            &format!("{path} of the last event of {name}"),
            sought,
            dig(end, path),
        );
    }
    if let Some(members) = &wanted.some_event {
        let has_all = |event: &&Value| members.iter().all(|(path, it)| it.holds(dig(event, path)));
        let shown: Vec<String> = members
            .iter()
            .map(|(path, it)| format!("{path} {}", it.shown()))
            .collect();
        let what = format!("some event of {name}");
        found.check(
            events.iter().any(has_all),
            &what,
            || shown.join(", "),
            || "none is so",
        );
    }
}

fn summary(state: &str, view: &Value) -> String {
    let problem = &view["last_problem"];
    let (status, reason) = (&view["status"], &view["reason"]);
    format!("{state}, status {status}, reason {reason}, last problem {problem}")
}

fn judge_requests(found: &mut Findings, key: &str, wanted: &ForRequests, asked: &[Asked]) {
    if let Some(span) = wanted.hits {
        let hits = asked.len();
        let count = u32::try_from(hits).map_or(f64::INFINITY, f64::from);
        found.check(
            span.holds(count),
            &format!("requests {key}"),
            || span.shown(),
            || hits,
        );
    }
    for gap in &wanted.gaps {
        let pair = asked.get(gap.number - 1).zip(asked.get(gap.number));
        let seconds = pair.map(|(one, next)| next.at.saturating_sub(one.at).as_secs_f64());
        found.check(
            seconds.is_some_and(|seconds| gap.seconds.holds(seconds)),
            &format!("seconds after request {} of {key}", gap.number),
            || gap.seconds.shown(),
            || seconds.map_or("no further request".to_owned(), |it| format!("{it:.2}")),
        );
    }
    let first = asked.first();
    if let (Some(body), Some(first)) = (&wanted.body, first) {
        found.check(
            *body == first.body,
            &format!("body of {key}"),
            || body,
            || &first.body,
        );
    }
    for (header, sought) in &wanted.headers {
        let came = first.and_then(|first| first.headers.get(header));
        let came = came.cloned().map_or(Value::Null, Value::String);
        found.value(&format!("{header} of {key}"), sought, &came);
    }
}
