//! Shows the demo: a table that is drawn over itself on a terminal, lines elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::demo::progress::{Progress, Update};
use crate::cli::demo::table;
use crate::cli::output::say;
use crate::cli::paint::Paint;
use crate::cli::table::{plain, width};
use crate::cli::terminal;

/// The place where the demo is shown.
pub(super) enum Display {
    Terminal(Screen),
    /// A file or a pipe, which gets one line for each update.
    Lines,
    /// A program, which gets one JSON object for each update.
    Json,
}

/// A part of a terminal that is drawn over itself.
pub(super) struct Screen {
    paint: Paint,
    /// The lines that the terminal shows now.
    drawn: Vec<String>,
}

impl Display {
    /// Chooses JSON, or by where standard output goes.
    pub(super) fn open(json: bool) -> Self {
        if json {
            return Self::Json;
        }
        // A dumb terminal cannot move its cursor.
        if terminal::is_dumb() || !std::io::stdout().is_terminal() {
            return Self::Lines;
        }
        Self::Terminal(Screen {
            paint: Paint::for_stdout(),
            drawn: Vec::new(),
        })
    }

    /// Shows the progress; lines show only the updates.
    pub(super) fn show(&mut self, progress: &Progress, updates: &[Update], elapsed: Duration) {
        match self {
            Self::Terminal(screen) => {
                let size = terminal::size_or_usual();
                let lines = table::lines(progress, elapsed, size, screen.paint);
                screen.draw(lines, size.columns);
            }
            Self::Lines => {
                for update in updates {
                    say(&line(progress, update, elapsed));
                }
            }
            Self::Json => {
                for update in updates {
                    say(&object(progress, update, elapsed).to_string());
                }
            }
        }
    }

    /// Ends the display, with an empty line after lines.
    pub(super) fn close(self) {
        match self {
            Self::Terminal(screen) => drop(screen),
            Self::Lines => say(""),
            Self::Json => {}
        }
    }
}

impl Screen {
    fn draw(&mut self, lines: Vec<String>, columns: usize) {
        say(&over(&self.drawn, &lines, columns));
        self.drawn = lines;
    }
}

impl Drop for Screen {
    /// Shows the cursor again, also after a panic, below the `^C` that a terminal may show.
    fn drop(&mut self) {
        if !self.drawn.is_empty() {
            say("\u{1b}[?25h");
        }
    }
}

/// Returns the text that draws `lines` over `drawn`, with the cursor hidden. A line end
/// must follow.
fn over(drawn: &[String], lines: &[String], columns: usize) -> String {
    // A terminal that was made narrower has wrapped these lines.
    let height = |line: &String| width(line).div_ceil(columns.max(1)).max(1);
    let up: usize = drawn.iter().map(height).sum();
    let move_up = match up {
        0 => String::new(),
        up => format!("\u{1b}[{up}A"),
    };
    let lines: Vec<String> = lines.iter().map(|line| format!("{line}\u{1b}[K")).collect();
    // One write, so that no half of a table is ever seen.
    format!("\u{1b}[?25l\r{move_up}{}\u{1b}[J", lines.join("\n"))
}

fn line(progress: &Progress, update: &Update, elapsed: Duration) -> String {
    let case = &progress.rows[update.row].case;
    let (service, elapsed) = (case.job.service.name(), elapsed.as_secs_f64());
    let text = plain(&update.text);
    format!("{elapsed:>5.1}s  {service:<9}  {:<22}  {text}", case.name)
}

fn object(progress: &Progress, update: &Update, elapsed: Duration) -> Value {
    let row = &progress.rows[update.row];
    json!({
        "elapsed_ms": elapsed.as_millis(),
        "service": row.case.job.service.name(),
        "case": row.case.name,
        "watch_id": row.watch.as_ref().map(|watch| &watch.id),
        "state": row.state(),
        "change": update.text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::progress::tests::begun;

    #[test]
    fn a_table_replaces_one_that_has_wrapped() {
        let lines = |text: &[&str]| text.iter().map(|&t| t.to_owned()).collect::<Vec<_>>();
        let first = over(&[], &lines(&["a"]), 10);
        assert_eq!(first, "\u{1b}[?25l\ra\u{1b}[K\u{1b}[J");
        let before = lines(&["0123456789abc", "", "short"]);
        assert!(over(&before, &lines(&["a", "b"]), 10).starts_with("\u{1b}[?25l\r\u{1b}[4A"));
    }

    #[test]
    fn an_update_is_one_object_for_a_program() {
        let update = Update {
            row: 1,
            text: "watching → failed".into(),
        };
        let wanted = json!({
            "elapsed_ms": 1500, "service": "dcs", "case": "slow success", "watch_id": "w1",
            "state": "watching", "change": "watching → failed",
        });
        let elapsed = Duration::from_millis(1500);
        assert_eq!(object(&begun(), &update, elapsed), wanted);
    }

    #[test]
    fn an_update_is_one_line_with_its_time_and_case() {
        let update = Update {
            row: 1,
            text: "watching → failed (no\ndisk)".into(),
        };
        assert_eq!(
            line(&begun(), &update, Duration::from_millis(12_340)),
            " 12.3s  dcs        slow success            watching → failed (no\u{fffd}disk)"
        );
    }
}
