//! One frame of `top`, as lines: a pure function of its state, the time and the terminal's size.

use jiff::Timestamp;

use crate::api::view::WatchView;
use crate::cli::change;
use crate::cli::duration::two_units;
use crate::cli::paint::Paint;
use crate::cli::table::{Column, Room, Table, clip, plain};
use crate::cli::terminal::Size;
use crate::cli::top::state::{Service, State, problem};
use crate::clock::until;

/// The title, two headings, one service, one watch, and the keys.
const LINES_LEAST: usize = 6;
const HELP: &str = "q quit  j k scroll  / filter";

/// A frame, and the number of watches that fit it.
pub(super) struct Frame {
    pub(super) lines: Vec<String>,
    pub(super) page: usize,
}

/// The place for a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) size: Size,
    pub(super) paint: Paint,
    pub(super) now: Timestamp,
    /// The address of the daemon.
    pub(super) daemon: &'a str,
}

/// Composes the frame. It has at most as many lines as the terminal, and no wider ones.
pub(super) fn frame(state: &State, place: Place<'_>) -> Frame {
    let Size { columns, lines } = place.size;
    let mut all = vec![title(state, place)];
    let is_low = lines < LINES_LEAST;
    if !is_low {
        all.extend(services(&state.reading.services, place, lines / 3));
    }
    let is_typing = state.is_typing || !state.filter.is_empty();
    let foot = (!is_low || is_typing).then(|| foot(state, place.paint));
    let shown = state.shown();
    // A heading stands above the watches.
    let taken = all.len() + 1 + usize::from(foot.is_some());
    let page = lines.saturating_sub(taken).max(1);
    let offset = state.offset.min(shown.len().saturating_sub(page));
    let visible = shown.iter().skip(offset).take(page);
    all.extend(watches(visible.copied(), place));
    if shown.is_empty() {
        all.push(place.paint.dim("no watch to show"));
    }
    let room = lines.saturating_sub(usize::from(foot.is_some()));
    all.truncate(room);
    all.extend(foot);
    let lines = all.iter().map(|line| clip(line, columns)).collect();
    Frame { lines, page }
}

fn title(state: &State, place: Place<'_>) -> String {
    let paint = place.paint;
    let all = state.reading.watches.len();
    let failing = state.reading.watches.iter();
    let failing = failing.filter(|watch| problem(watch).is_some()).count();
    let more = if state.reading.has_more { "+" } else { "" };
    let mut parts = vec![paint.bold("jobwatch"), format!("{all}{more} watching")];
    if failing > 0 {
        parts.push(paint.warn(&format!("{failing} with a problem")));
    }
    if let Some(reason) = &state.lost {
        parts.insert(1, paint.warn("reconnecting"));
        parts.push(plain(reason));
    } else {
        parts.push(paint.dim(place.daemon));
    }
    parts.join("  ")
}

/// Shows the services, those with trouble first, in at most `room` lines.
fn services(all: &[Service], place: Place<'_>, room: usize) -> Vec<String> {
    let mut order: Vec<&Service> = all.iter().collect();
    order.sort_by_key(|service| !is_troubled(service, place.now));
    let mut table = Table::new([
        Column::new("SERVICE").keeping_ends(),
        Column::new("HEALTH").whole(),
        Column::new("POLLS/S").whole().right().gives_way(1),
        Column::new("WAITING").whole().right().gives_way(2),
        Column::new("LAST ANSWER").gives_way(3),
    ]);
    let room = room.max(2) - 1;
    let is_cut = order.len() > room;
    let fit = if is_cut {
        room.saturating_sub(1).max(1)
    } else {
        room
    };
    for service in order.iter().take(fit) {
        table.row(cells_of_service(service, place));
    }
    let mut lines = table.lines(Room {
        columns: Some(place.size.columns),
        paint: place.paint,
    });
    let left = order.len().saturating_sub(fit);
    if left > 0 && room > 1 {
        lines.push(place.paint.dim(&format!("and {left} more services")));
    }
    lines
}

fn is_troubled(service: &Service, now: Timestamp) -> bool {
    let health = service.health.as_deref().unwrap_or("ok");
    !matches!(health, "ok" | "idle") || paused(service, now).is_some()
}

/// Returns how long the service has asked us to wait.
fn paused(service: &Service, now: Timestamp) -> Option<String> {
    let until_then = service.budget.paused_until.filter(|at| *at > now)?;
    Some(format!("paused for {}", two_units(until(now, until_then))))
}

fn cells_of_service(service: &Service, place: Place<'_>) -> Vec<String> {
    let health = service.health.as_deref().unwrap_or("-");
    let health = match health {
        "ok" => place.paint.as_state("succeeded", health),
        "failing" => place.paint.as_state("failed", health),
        "throttled" => place.paint.warn(health),
        other => place.paint.dim(&plain(other)),
    };
    vec![
        plain(&service.name),
        health,
        format!("{:.1}", service.budget.rate),
        service.budget.waiting.to_string(),
        answer(service, place.now),
    ]
}

fn answer(service: &Service, now: Timestamp) -> String {
    let last = service.last_answer.as_ref().map(|last| {
        let status = last.http_status.map(|status| status.to_string());
        let kind = last.problem.as_ref().map(|problem| plain(&problem.kind));
        let words: Vec<String> = status.into_iter().chain(kind).collect();
        format!("{} {} ago", words.join(" "), two_units(until(last.at, now)))
    });
    let parts: Vec<String> = last.into_iter().chain(paused(service, now)).collect();
    parts.join(", ")
}

fn watches<'a>(watches: impl Iterator<Item = &'a WatchView>, place: Place<'_>) -> Vec<String> {
    let mut table = Table::new([
        Column::new("JOB").keeping_ends(),
        Column::new("STATUS").at_least(9),
        Column::new("AGE").whole().right().gives_way(1),
        Column::new("NEXT").whole().right().gives_way(3),
        Column::new("PROBLEM").if_used().gives_way(2),
    ]);
    for watch in watches {
        table.row(cells_of_watch(watch, place));
    }
    table.lines(Room {
        columns: Some(place.size.columns),
        paint: place.paint,
    })
}

fn cells_of_watch(watch: &WatchView, place: Place<'_>) -> Vec<String> {
    let Place { now, paint, .. } = place;
    let status = watch.status.as_deref().unwrap_or("not seen yet");
    let status = match &watch.progress {
        Some(progress) => format!("{status} {progress}"),
        None => status.to_owned(),
    };
    let problem = problem(watch).map(|note| plain(&change::problem(note)));
    let status = match &problem {
        Some(_) => paint.warn(&plain(&status)),
        None => paint.as_state("watching", &plain(&status)),
    };
    let next = watch.next_poll_at.map(|at| two_units(until(now, at)));
    vec![
        plain(&format!("{}/{}", watch.service, watch.job_id)),
        status,
        two_units(until(watch.submitted_at, now)),
        next.unwrap_or_default(),
        problem.map(|text| paint.warn(&text)).unwrap_or_default(),
    ]
}

fn foot(state: &State, paint: Paint) -> String {
    if state.is_typing {
        return format!("/{}_  Enter keeps it, Esc drops it", state.filter);
    }
    if state.filter.is_empty() {
        return paint.dim(HELP);
    }
    let count = state.shown().len();
    paint.dim(&format!("/{}: {count} shown  Esc shows all", state.filter))
}
