//! The output of commands: tables, colours only on a terminal, errors on standard error.

use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal, Write as _};

use jiff::Timestamp;
use serde::Serialize;

use crate::cli::Exit;
use crate::cli::complaint::finish;
use crate::watch::{Severity, State};

pub(super) use crate::cli::complaint::complain;

/// Prints a line to standard output; a closed pipe is not an error. Any other failure, such as
/// a full disk, ends the program: its caller must not take half of an output for the whole.
pub(super) fn say(text: &str) {
    if let Err(error) = writeln!(std::io::stdout(), "{text}")
        && error.kind() != ErrorKind::BrokenPipe
    {
        complain(&format!("cannot write to standard output: {error}"));
        finish(Exit::Failed);
        std::process::exit(1);
    }
}

/// Prints a value as JSON: indented on a terminal, otherwise on one line.
pub(super) fn say_json(value: &impl Serialize) {
    let text = if std::io::stdout().is_terminal() {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    say(&text.expect("string keys and no failing serializer"));
}

/// Adds colours to words if standard output is a terminal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    is_on: bool,
}

impl Paint {
    /// Colours standard output, unless `NO_COLOR` (no-color.org) is set.
    pub(super) fn for_stdout() -> Self {
        let is_wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            is_on: is_wanted && std::io::stdout().is_terminal(),
        }
    }

    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { is_on: false }
    }

    /// Colours a state: green succeeded, red failed, yellow needs a person, cyan is watching.
    pub(super) fn state(self, state: &str) -> String {
        self.as_state(state, state)
    }

    /// Writes `word` in the colour of `state`.
    pub(super) fn as_state(self, state: &str, word: &str) -> String {
        let code = match state.parse() {
            Ok(State::Watching) => "36",
            Ok(State::Final(outcome)) => match outcome.severity() {
                Severity::Good => "32",
                Severity::Bad => "31",
                Severity::Unclear => "33",
                Severity::Neutral => "2",
            },
            Err(_) => "2",
        };
        self.with(code, word)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.is_on {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Aligns rows: each column is as wide as its widest cell.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn with_header(header: &[&str]) -> Self {
        let paint = Paint::for_stdout();
        let mut table = Self::default();
        table.row(header.iter().map(|name| paint.dim(name)).collect());
        table
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(super) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let widths: Vec<usize> = (0..columns)
            .map(|n| {
                self.rows
                    .iter()
                    .filter_map(|row| row.get(n))
                    .map(|cell| width(cell))
                    .max()
            })
            .map(Option::unwrap_or_default)
            .collect();
        let lines: Vec<String> = self.rows.iter().map(|row| line(row, &widths)).collect();
        lines.join("\n")
    }
}

fn line(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, wanted) in row.iter().zip(widths) {
        let padding = wanted.saturating_sub(width(cell)) + 2;
        let _ = write!(line, "{cell}{:padding$}", "");
    }
    line.trim_end().to_owned()
}

/// Counts the characters that a terminal shows: colour codes have no width.
pub(super) fn width(text: &str) -> usize {
    let mut width = 0;
    let mut in_code = false;
    for c in text.chars() {
        match c {
            '\u{1b}' => in_code = true,
            'm' if in_code => in_code = false,
            _ if !in_code => width += 1,
            _ => {}
        }
    }
    width
}

/// Makes foreign text safe for a terminal: control characters are replaced by U+FFFD.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Formats a time as RFC 3339 in UTC, to the second.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Returns the text, safe for a terminal; a dash if absent.
pub(super) fn or_dash(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_do_not_change_the_width_of_columns() {
        let mut table = Table::default();
        table.row(vec!["\u{1b}[32mok\u{1b}[0m".into(), "x".into()]);
        table.row(vec!["longer".into(), "y".into()]);
        assert_eq!(table.render(), "\u{1b}[32mok\u{1b}[0m      x\nlonger  y");
    }

    #[test]
    fn foreign_text_cannot_control_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
