//! A part of the terminal behind standard error that is drawn over itself.
//!
//! The cursor stays visible in the line below, so a program that is stopped or killed leaves
//! a terminal that works.

use std::io::{IsTerminal, Write};

use crate::cli::table::width;
use crate::cli::terminal;
use crate::cli::terminal::Size;

pub(super) struct Screen {
    /// The lines that the terminal shows now.
    drawn: Vec<String>,
}

impl Screen {
    /// Opens a screen; `None` if standard error does not go to a terminal that has one.
    pub(super) fn open() -> Option<Self> {
        let is_screen = std::io::stderr().is_terminal() && !terminal::is_dumb();
        is_screen.then_some(Self { drawn: Vec::new() })
    }

    pub(super) fn size() -> Size {
        terminal::size_of(std::io::stderr())
    }

    /// Draws these lines over those that were drawn last.
    pub(super) fn draw(&mut self, lines: Vec<String>) {
        if lines == self.drawn {
            return;
        }
        let text = over(&self.drawn, &lines, Self::size().columns);
        // A terminal that has gone away is not an error: the exit code is the result.
        let mut stderr = std::io::stderr().lock();
        let _ = stderr
            .write_all(text.as_bytes())
            .and_then(|()| stderr.flush());
        self.drawn = lines;
    }

    /// Leaves the drawn lines where they are; the next are drawn below the cursor.
    pub(super) fn leave(&mut self) {
        self.drawn.clear();
    }

    pub(super) fn erase(&mut self) {
        self.draw(Vec::new());
    }
}

/// Returns the text that draws `lines` over `drawn`; the cursor ends in the line below.
fn over(drawn: &[String], lines: &[String], columns: usize) -> String {
    // A terminal that was made narrower has wrapped these lines.
    let height = |line: &String| width(line).div_ceil(columns.max(1)).max(1);
    let up: usize = drawn.iter().map(height).sum();
    let move_up = match up {
        0 => String::new(),
        up => format!("\u{1b}[{up}A"),
    };
    // One text, so that no half of a table is ever seen.
    let mut text = format!("\r{move_up}");
    for line in lines {
        text.push_str(line);
        text.push_str("\u{1b}[K\n");
    }
    text.push_str("\u{1b}[J");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_lines_replace_those_that_have_wrapped() {
        let lines = |text: &[&str]| text.iter().map(|&t| t.to_owned()).collect::<Vec<_>>();
        let first = over(&[], &lines(&["a"]), 10);
        assert_eq!(first, "\ra\u{1b}[K\n\u{1b}[J");
        let before = lines(&["0123456789abc", "", "short"]);
        assert!(over(&before, &lines(&["a", "b"]), 10).starts_with("\r\u{1b}[4A"));
    }
}
