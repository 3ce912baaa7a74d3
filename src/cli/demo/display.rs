//! How the demo is shown: a table drawn over itself on a terminal, lines elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use crate::cli::demo::progress::{News, Progress};
use crate::cli::demo::table;
use crate::cli::demo::table::Size;
use crate::cli::output::{Paint, plain, say, width};

/// The size of a terminal that does not say.
const SIZE_USUAL: Size = Size {
    columns: 80,
    lines: 24,
};

/// Where the demo is shown.
pub(super) enum Display {
    /// A terminal.
    Terminal(Screen),
    /// A file or a pipe: one line for each piece of news.
    Lines,
}

/// A part of a terminal that is drawn over itself.
pub(super) struct Screen {
    paint: Paint,
    /// What stands there now.
    drawn: Vec<String>,
}

impl Display {
    /// Finds out where standard output goes.
    pub(super) fn open() -> Self {
        // A dumb terminal cannot move its cursor.
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if is_dumb || !std::io::stdout().is_terminal() {
            return Self::Lines;
        }
        Self::Terminal(Screen {
            paint: Paint::for_stdout(),
            drawn: Vec::new(),
        })
    }

    /// Shows how far the demo is, and what is new.
    pub(super) fn show(&mut self, progress: &Progress, news: &[News], elapsed: Duration) {
        match self {
            Self::Terminal(screen) => {
                let size = size();
                let lines = table::lines(progress, elapsed, size, screen.paint);
                screen.draw(lines, size.columns);
            }
            Self::Lines => {
                for news in news {
                    say(&line(progress, news, elapsed));
                }
            }
        }
    }

    /// Ends the show; the line that follows stands apart.
    pub(super) fn close(self) {
        match self {
            Self::Terminal(screen) => drop(screen),
            Self::Lines => say(""),
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
    /// Shows the cursor again, also after a panic, below what a `^C` may have left.
    fn drop(&mut self) {
        if !self.drawn.is_empty() {
            say("\u{1b}[?25h");
        }
    }
}

/// What draws `lines` over what was drawn, the cursor hidden; a line end must follow.
fn over(drawn: &[String], lines: &[String], columns: usize) -> String {
    // A terminal that was made narrower has wrapped what stood there.
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

fn line(progress: &Progress, news: &News, elapsed: Duration) -> String {
    let act = &progress.rows[news.row].act;
    let (service, elapsed) = (act.job.service.name(), elapsed.as_secs_f64());
    let text = plain(&news.text);
    format!("{elapsed:>5.1}s  {service:<9}  {:<22}  {text}", act.name)
}

fn size() -> Size {
    let Ok(size) = rustix::termios::tcgetwinsize(std::io::stdout()) else {
        return SIZE_USUAL;
    };
    // Nobody told the terminal its size: zero.
    let or = |told: u16, usual| if told == 0 { usual } else { told.into() };
    Size {
        columns: or(size.ws_col, SIZE_USUAL.columns),
        lines: or(size.ws_row, SIZE_USUAL.lines),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::progress::tests::begun;

    #[test]
    fn a_table_is_drawn_over_the_one_before_even_if_that_has_wrapped() {
        let lines = |text: &[&str]| text.iter().map(|&t| t.to_owned()).collect::<Vec<_>>();
        let first = over(&[], &lines(&["a"]), 10);
        assert_eq!(first, "\u{1b}[?25l\ra\u{1b}[K\u{1b}[J");
        let before = lines(&["0123456789abc", "", "short"]);
        assert!(over(&before, &lines(&["a", "b"]), 10).starts_with("\u{1b}[?25l\r\u{1b}[4A"));
    }

    #[test]
    fn news_is_one_line_that_says_when_and_of_what() {
        let news = News {
            row: 1,
            text: "watching → failed (no\ndisk)".into(),
        };
        assert_eq!(
            line(&begun(), &news, Duration::from_millis(12_340)),
            " 12.3s  dcs        slow success            watching → failed (no\u{fffd}disk)"
        );
    }
}
