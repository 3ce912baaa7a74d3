//! Long output goes through `$PAGER` on a terminal, so that its beginning is not lost.

use std::ffi::OsString;
use std::io::Write;
use std::process::{Command, Stdio};

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::output::say;
use crate::cli::table::width;
use crate::cli::terminal;
use crate::cli::terminal::Size;

/// `-F` ends at once if all fits, `-R` shows colours, `-X` leaves the text on the screen.
const LESS: &str = "-FRX";

/// The program that shows long text.
#[derive(Debug, PartialEq, Eq)]
enum Pager {
    /// `less`, if it is there.
    Usual,
    /// A line for a shell, as `PAGER` has it.
    Given(OsString),
}

/// Prints a text; through the pager if standard output is a terminal that it does not fit.
pub(super) fn page(text: &str) {
    let pager = pager(std::env::var_os("PAGER"));
    let is_wanted = !terminal::options().no_pager && !terminal::is_dumb();
    let is_wanted = is_wanted && is_long(text, terminal::size());
    match pager.filter(|_| is_wanted) {
        Some(pager) if pager.show(text) => {}
        _ => say(text),
    }
}

/// Chooses the pager: none if `PAGER` is empty or `cat`.
fn pager(variable: Option<OsString>) -> Option<Pager> {
    let Some(command) = variable else {
        return Some(Pager::Usual);
    };
    let is_none = ["", "cat"].contains(&command.to_string_lossy().trim());
    (!is_none).then_some(Pager::Given(command))
}

/// True if the text needs more lines than the terminal has above its prompt.
fn is_long(text: &str, size: Option<Size>) -> bool {
    let Some(size) = size else {
        return false;
    };
    let height = |line: &str| width(line).div_ceil(size.columns.max(1)).max(1);
    text.lines().map(height).sum::<usize>() >= size.lines
}

impl Pager {
    fn command(&self) -> Command {
        match self {
            Self::Usual => {
                let mut command = Command::new("less");
                command.arg(LESS);
                command
            }
            Self::Given(line) => {
                let mut command = Command::new("sh");
                command.arg("-c").arg(line);
                if std::env::var_os("LESS").is_none() {
                    command.env("LESS", LESS);
                }
                command
            }
        }
    }

    /// Shows the text until the user leaves the pager; false if it did not start.
    fn show(&self, text: &str) -> bool {
        // ^C is for the pager, which restores the terminal: this process must outlive it. The
        // pager does not inherit the handler.
        let Ok(_interrupts) = signal(SignalKind::interrupt()) else {
            return false;
        };
        let Ok(mut child) = self.command().stdin(Stdio::piped()).spawn() else {
            return false;
        };
        if let Some(mut stdin) = child.stdin.take() {
            // The reader may leave before the end: that is not an error.
            let _ = writeln!(stdin, "{text}");
        }
        // A shell that finds no such command answers 127, and nothing was shown.
        child.wait().is_ok_and(|status| status.code() != Some(127))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_pager_and_cat_are_none() {
        assert_eq!(pager(None), Some(Pager::Usual));
        let given = pager(Some("most -w".into()));
        assert_eq!(given, Some(Pager::Given("most -w".into())));
        for none in ["", " ", "cat"] {
            assert_eq!(pager(Some(none.into())), None);
        }
    }

    #[test]
    fn a_text_is_long_if_its_lines_do_not_fit_the_screen() {
        let size = |columns, lines| Some(Size { columns, lines });
        assert!(!is_long("a\nb\nc", size(80, 4)));
        assert!(is_long("a\nb\nc", size(80, 3)));
        assert!(is_long("0123456789ab", size(10, 2)));
        assert!(!is_long(&"line\n".repeat(100), None));
    }
}
