//! What commands print: tables, colours only on a terminal, errors on standard error.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};

use jiff::Timestamp;
use serde::Serialize;

/// Prints a line to standard output; a reader that went away is no error.
pub(super) fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints an error.
pub(super) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "jobwatch: {text}");
}

/// Prints a value as JSON: indented on a terminal, on one line for scripts.
pub(super) fn say_json(value: &impl Serialize) {
    let text = if std::io::stdout().is_terminal() {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    say(&text.expect("string keys and no failing serializer"));
}

/// Colours for a terminal, nothing for anybody else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    is_on: bool,
}

impl Paint {
    /// For standard output; `NO_COLOR` (no-color.org) switches colours off.
    pub(super) fn for_stdout() -> Self {
        let is_wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            is_on: is_wanted && std::io::stdout().is_terminal(),
        }
    }

    /// No colours, wherever it goes.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { is_on: false }
    }

    /// A state in its colour: green ended well, red badly, yellow is a person's business.
    pub(super) fn state(self, state: &str) -> String {
        self.as_state(state, state)
    }

    /// A word in the colour of a state.
    pub(super) fn as_state(self, state: &str, word: &str) -> String {
        let code = match state {
            "succeeded" => "32",
            "failed" | "partial" => "31",
            "timed_out" | "lost" | "unknown" | "cancelled" => "33",
            "watching" => "36",
            _ => "2",
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

/// Rows in columns, each as wide as its widest cell.
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

/// The width on a terminal: colour codes take none.
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

/// Text from elsewhere, safe for a terminal: control characters are shown, not obeyed.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// A time, to the second.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// An optional text, or a dash.
pub(super) fn or_dash(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_their_colours() {
        let mut table = Table::default();
        table.row(vec!["\u{1b}[32mok\u{1b}[0m".into(), "x".into()]);
        table.row(vec!["longer".into(), "y".into()]);
        assert_eq!(table.render(), "\u{1b}[32mok\u{1b}[0m      x\nlonger  y");
    }

    #[test]
    fn what_a_service_wrote_cannot_drive_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
