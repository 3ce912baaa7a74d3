//! Shows a wait: live lines on a terminal, one line a change elsewhere, or nothing.
//!
//! The progress goes to standard error and the results to standard output, so that a pipe gets
//! only the results.

use jiff::Timestamp;

use crate::api::view::WatchView;
use crate::cli::change::change;
use crate::cli::complaint::note;
use crate::cli::output::say;
use crate::cli::paint::Paint;
use crate::cli::screen::Screen;
use crate::cli::table::plain;
use crate::cli::wait::view::{ended, lines, name, present_problem, summary};
use crate::watch::State;

/// More watches are not listed one by one at the start.
const LISTED_MAX: usize = 10;

/// The form of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    /// The same text on standard error.
    Notes,
    Json,
}

/// The way in which the progress is shown.
enum Progress {
    Live(Screen),
    Lines,
    /// With `--json`: standard error is for errors.
    Silent,
}

pub(super) struct Display {
    form: Form,
    progress: Progress,
    paint: Paint,
    /// A line about the wait itself.
    note: Option<String>,
}

impl Display {
    pub(super) fn open(form: Form) -> Self {
        let screen = Screen::open();
        let progress = match (screen, form) {
            (Some(screen), _) => Progress::Live(screen),
            (None, Form::Text | Form::Notes) => Progress::Lines,
            (None, Form::Json) => Progress::Silent,
        };
        Self {
            form,
            progress,
            paint: Paint::for_stderr(),
            note: None,
        }
    }

    /// True if the view should be fresh at each second.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.progress, Progress::Live(_))
    }

    /// Names the watches when the wait begins.
    pub(super) fn begin(&self, watches: &[WatchView]) {
        if !matches!(self.progress, Progress::Lines) {
            return;
        }
        if watches.len() > LISTED_MAX {
            note(&format!("waiting for {}", summary(watches.iter())));
            return;
        }
        for watch in watches.iter().filter(|watch| watch.finished_at.is_none()) {
            note(&format!("waiting for {} ({})", name(watch), watch.id));
        }
    }

    /// Shows a change in a line, unless a live view shows it anyway.
    pub(super) fn changed(&self, before: &WatchView, after: &WatchView) {
        if matches!(self.progress, Progress::Lines)
            && let Some(text) = line(before, after)
        {
            note(&format!("{}: {}", name(after), plain(&text)));
        }
    }

    pub(super) fn draw(&mut self, watches: &[WatchView], now: Timestamp) {
        if let Progress::Live(screen) = &mut self.progress {
            let lines = lines(
                watches,
                self.note.as_deref(),
                now,
                Screen::size(),
                self.paint,
            );
            screen.draw(lines);
        }
    }

    /// Leaves the view where it is, because the terminal shows something else now.
    pub(super) fn resumed(&mut self) {
        if let Progress::Live(screen) = &mut self.progress {
            screen.leave();
        }
    }

    /// Shows a note about the wait itself, or removes it.
    pub(super) fn note(&mut self, text: Option<&str>) {
        if let (Progress::Lines, Some(text)) = (&self.progress, text) {
            note(text);
        }
        self.note = text.map(str::to_owned);
    }

    /// Ends the progress; then the results are printed.
    pub(super) fn close(&mut self) {
        if let Progress::Live(screen) = &mut self.progress {
            screen.erase();
        }
    }

    /// Prints the result of one watch: how it ended, or that it goes on.
    pub(super) fn result(&self, watch: &WatchView) {
        match self.form {
            Form::Json => say(&serde_json::to_string(watch).expect("string keys only")),
            Form::Text => say(&result(watch, Paint::for_stdout())),
            Form::Notes => note(&result(watch, self.paint)),
        }
    }
}

/// Describes a change; a problem only when it is the first in a row.
fn line(before: &WatchView, after: &WatchView) -> Option<String> {
    let is_open = before.state == after.state;
    if is_open && after.problems > before.problems {
        let is_first = before.problems_in_a_row == 0;
        return present_problem(after).filter(|_| is_first);
    }
    // The result says how it ended.
    change(before, after).filter(|_| is_open)
}

fn result(watch: &WatchView, paint: Paint) -> String {
    let state = paint.state(&watch.state);
    match watch.state.parse() {
        Ok(State::Watching) => {
            let status = plain(watch.status.as_deref().unwrap_or("not seen yet"));
            format!("{} {state}: {status}", name(watch))
        }
        _ => format!("{} {state} {}", name(watch), ended(watch)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::change::tests::watch;

    fn with_problems(count: u32, in_a_row: u32) -> WatchView {
        let note = json!({
            "kind": "unreachable", "http_status": null, "code": null, "message": "it timed out",
            "at": "2026-01-01T00:00:00Z",
        });
        WatchView {
            problems: count,
            problems_in_a_row: in_a_row,
            last_problem: serde_json::from_value(note).unwrap(),
            ..watch("w", "watching")
        }
    }

    #[test]
    fn only_the_first_problem_in_a_row_gets_a_line() {
        let fine = watch("w", "watching");
        let first = line(&fine, &with_problems(1, 1)).unwrap();
        assert_eq!(first, "unreachable: it timed out");
        assert_eq!(line(&with_problems(1, 1), &with_problems(2, 2)), None);
    }

    #[test]
    fn a_result_names_the_job_its_state_and_its_reason() {
        let failed = WatchView {
            reason: Some("no\nquota".into()),
            finished_at: Some("2026-01-01T00:02:05Z".parse().unwrap()),
            ..watch("w", "failed")
        };
        assert_eq!(
            result(&failed, Paint::none()),
            "dcs/j failed after 2m 5s: no\u{fffd}quota"
        );
        assert_eq!(line(&watch("w", "watching"), &failed), None);
        let open = watch("w", "watching");
        assert_eq!(result(&open, Paint::none()), "dcs/j watching: not seen yet");
    }
}
