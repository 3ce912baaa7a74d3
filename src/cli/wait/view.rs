//! The live view of a wait: a pure function of the watches, the time and the terminal's size.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::api::view::WatchView;
use crate::cli::change::{problem, reason};
use crate::cli::duration::two_units;
use crate::cli::paint::Paint;
use crate::cli::table::{clip, clip_middle, plain, width};
use crate::cli::terminal::Size;
use crate::clock::until;
use crate::watch::State;

/// A terminal that is narrower shows a job in two lines.
const WIDE: usize = 60;
/// The most places for the name of a job on a wide terminal, as a share of its columns.
const NAME_SHARE: usize = 3;
/// The least places for a status, so that the lines do not jump at each change.
const STATUS_LEAST: usize = 9;

/// Returns the lines for these watches. `note` is about the wait itself, such as a lost connection.
pub(super) fn lines(
    watches: &[WatchView],
    note: Option<&str>,
    now: Timestamp,
    size: Size,
    paint: Paint,
) -> Vec<String> {
    // The cursor stands in the line below.
    let room = size
        .lines
        .saturating_sub(1 + usize::from(note.is_some()))
        .max(1);
    let height = if size.columns < WIDE { 2 } else { 1 };
    let mut lines = if watches.len() * height <= room {
        lines_of(watches.iter(), now, size, paint)
    } else {
        let chosen = chosen(watches, (room - 1) / height);
        let mut lines = lines_of(chosen.into_iter(), now, size, paint);
        lines.push(summary(watches.iter()));
        lines
    };
    lines.extend(note.map(|note| paint.dim(note)));
    lines.iter().map(|line| clip(line, size.columns)).collect()
}

/// Chooses the watches that a person should see first, in their own order.
fn chosen(watches: &[WatchView], count: usize) -> Vec<&WatchView> {
    let mut order: Vec<usize> = (0..watches.len()).collect();
    order.sort_by_key(|at| rank(&watches[*at]));
    order.truncate(count);
    order.sort_unstable();
    order.into_iter().map(|at| &watches[at]).collect()
}

/// The lower, the more a person should see it: a bad end, then a problem, then a job that goes on,
/// then a success; the latest first.
fn rank(watch: &WatchView) -> (u8, Reverse<Timestamp>) {
    let class = match watch.state.parse() {
        Ok(State::Final(outcome)) if outcome.as_str() == "succeeded" => 3,
        Ok(State::Final(_)) => 0,
        _ if present_problem(watch).is_some() => 1,
        _ => 2,
    };
    let at = watch.finished_at.unwrap_or(watch.submitted_at);
    (class, Reverse(at))
}

fn lines_of<'a>(
    watches: impl Iterator<Item = &'a WatchView>,
    now: Timestamp,
    size: Size,
    paint: Paint,
) -> Vec<String> {
    let cells: Vec<(String, String, String)> =
        watches.map(|watch| cells(watch, now, paint)).collect();
    if size.columns < WIDE {
        let two = |(name, status, details): &(String, String, String)| {
            let room = size.columns.saturating_sub(width(status) + 1);
            [
                format!("{} {status}", clip_middle(name, room)),
                format!("  {details}"),
            ]
        };
        return cells.iter().flat_map(two).collect();
    }
    let longest = |pick: fn(&(String, String, String)) -> &String| {
        cells
            .iter()
            .map(|each| width(pick(each)))
            .max()
            .unwrap_or_default()
    };
    let name_width = longest(|each| &each.0).min(size.columns / NAME_SHARE);
    let status_width = longest(|each| &each.1).max(STATUS_LEAST);
    let one = |(name, status, details): &(String, String, String)| {
        let name = pad(&clip_middle(name, name_width), name_width);
        format!("{name}  {}  {details}", pad(status, status_width))
    };
    cells.iter().map(one).collect()
}

/// Returns the name, the status, and the rest.
fn cells(watch: &WatchView, now: Timestamp, paint: Paint) -> (String, String, String) {
    let status = match watch.finished_at {
        Some(_) => paint.state(&watch.state),
        None => paint.as_state(&watch.state, &status(watch)),
    };
    let details = if watch.finished_at.is_some() {
        ended(watch)
    } else {
        goes_on(watch, now, paint)
    };
    (name(watch), status, details)
}

/// Returns the name of the job for people: the service and the job id.
pub(super) fn name(watch: &WatchView) -> String {
    plain(&format!("{}/{}", watch.service, watch.job_id))
}

fn status(watch: &WatchView) -> String {
    let status = watch.status.as_deref().unwrap_or("not seen yet");
    match &watch.progress {
        Some(progress) => plain(&format!("{status} {progress}")),
        None => plain(status),
    }
}

/// Returns the time that the job took, and the reason of its end.
pub(super) fn ended(watch: &WatchView) -> String {
    let at = watch.finished_at.unwrap_or(watch.submitted_at);
    let took = two_units(until(watch.submitted_at, at));
    match reason(watch) {
        Some(reason) => format!("after {took}: {}", plain(&reason)),
        None => format!("after {took}"),
    }
}

fn goes_on(watch: &WatchView, now: Timestamp, paint: Paint) -> String {
    let elapsed = until(watch.began_at.unwrap_or(watch.submitted_at).min(now), now);
    let mut parts = vec![two_units(elapsed)];
    let usual = watch
        .usual
        .and_then(|usual| Duration::try_from_secs_f64(usual.p50_s).ok());
    parts.extend(usual.map(|usual| remaining(usual, elapsed)));
    if let Some(problem) = present_problem(watch) {
        parts.push(paint.warn(&problem));
    }
    parts.extend(watch.next_poll_at.map(|at| next_poll(at, now)));
    parts.join(", ")
}

/// Compares with the time that half of such jobs took at most.
fn remaining(usual: Duration, elapsed: Duration) -> String {
    let median = two_units(usual);
    match usual.checked_sub(elapsed) {
        Some(left) => format!("usually {median}: {} left", two_units(left)),
        None => format!(
            "usually {median}: {} over",
            two_units(elapsed.saturating_sub(usual))
        ),
    }
}

fn next_poll(at: Timestamp, now: Timestamp) -> String {
    match until(now, at) {
        left if left < Duration::from_secs(1) => "polls now".to_owned(),
        left => format!("next poll in {}", two_units(left)),
    }
}

/// Returns the problem of the last poll in words; `None` if that poll showed the job.
pub(super) fn present_problem(watch: &WatchView) -> Option<String> {
    let note = watch.last_problem.as_ref()?;
    let is_present = watch.finished_at.is_none() && watch.problems_in_a_row > 0;
    is_present.then(|| plain(&problem(note)))
}

/// Fills `text` with blanks up to `columns` places.
fn pad(text: &str, columns: usize) -> String {
    let blanks = columns.saturating_sub(width(text));
    format!("{text}{:blanks$}", "")
}

/// Counts the watches by state: "3 watches: 2 watching, 1 failed".
pub(super) fn summary<'a>(watches: impl Iterator<Item = &'a WatchView>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut all = 0;
    for watch in watches {
        *counts.entry(watch.state.as_str()).or_default() += 1;
        all += 1;
    }
    let words = State::words().filter_map(|word| {
        let count = counts.get(word)?;
        Some(format!("{count} {word}"))
    });
    let words: Vec<String> = words.collect();
    let noun = if all == 1 { "watch" } else { "watches" };
    format!("{all} {noun}: {}", words.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::view::UsualView;
    use crate::cli::change::tests::watch;

    fn at(text: &str) -> Timestamp {
        format!("2026-01-01T{text}Z").parse().unwrap()
    }

    fn running() -> WatchView {
        WatchView {
            job_id: "ff8080826b45d4a5016b5036242c0025".into(),
            status: Some("RUNNING".into()),
            progress: Some("45%".into()),
            usual: Some(UsualView {
                count: 9,
                p50_s: 1500.0,
                p90_s: 1600.0,
            }),
            next_poll_at: Some(at("00:12:11")),
            ..watch("w", "watching")
        }
    }

    fn throttled() -> WatchView {
        let note = json!({
            "kind": "throttled", "http_status": 429, "code": null, "message": "slowly",
            "at": "2026-01-01T00:12:00Z",
        });
        WatchView {
            last_problem: serde_json::from_value(note).unwrap(),
            problems: 3,
            problems_in_a_row: 1,
            ..running()
        }
    }

    fn failed() -> WatchView {
        WatchView {
            reason: Some("quota exceeded".into()),
            finished_at: Some(at("00:03:00")),
            ..watch("v", "failed")
        }
    }

    fn shown(watches: &[WatchView], columns: usize, lines: usize) -> Vec<String> {
        let size = Size { columns, lines };
        super::lines(watches, None, at("00:12:03"), size, Paint::none())
    }

    #[test]
    fn a_wide_terminal_shows_a_job_in_one_line() {
        assert_eq!(
            shown(&[running(), failed()], 120, 24),
            [
                "dcs/ff8080826b45d4a5016b5036242c0025  RUNNING 45%  12m 3s, usually 25m: 12m 57s left, next poll in 8s",
                "dcs/j                                 failed       after 3m: quota exceeded",
            ]
        );
    }

    #[test]
    fn a_narrow_terminal_shows_a_job_in_two_lines() {
        assert_eq!(
            shown(&[throttled()], 40, 24),
            [
                "dcs/ff8080826b…b5036242c0025 RUNNING 45%",
                "  12m 3s, usually 25m: 12m 57s left, th…",
            ]
        );
    }

    #[test]
    fn no_line_is_wider_and_no_view_higher_than_the_terminal() {
        let many: Vec<WatchView> = (0..30).map(|_| throttled()).collect();
        for columns in [1, 10, 40, 59, 60, 80, 200] {
            for height in [1, 2, 5, 10] {
                let lines = shown(&many, columns, height);
                assert!(lines.len() < height.max(2), "{columns}×{height}: {lines:?}");
                assert!(lines.iter().all(|line| width(line) <= columns));
            }
        }
    }

    #[test]
    fn bad_ends_and_problems_are_chosen_before_the_rest() {
        let mut watches = vec![running(); 20];
        watches.insert(3, failed());
        watches.insert(9, throttled());
        let lines = shown(&watches, 120, 5);
        assert_eq!(lines.len(), 4);
        let has = |word: &str| lines[..3].iter().any(|line| line.contains(word));
        assert!(has("failed") && has("throttled"), "{lines:?}");
        assert_eq!(lines[3], "22 watches: 21 watching, 1 failed");
    }

    #[test]
    fn a_problem_that_has_passed_is_not_shown() {
        let passed = WatchView {
            problems_in_a_row: 0,
            ..throttled()
        };
        assert_eq!(present_problem(&passed), None);
        assert!(present_problem(&throttled()).is_some());
    }

    #[test]
    fn a_job_that_takes_longer_than_usual_says_so() {
        let usual = Duration::from_mins(5);
        assert_eq!(
            remaining(usual, Duration::from_mins(7)),
            "usually 5m: 2m over"
        );
    }
}
