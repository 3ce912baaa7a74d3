//! The colours of the output: on a terminal only, unless the user asks otherwise.

use std::io::IsTerminal;

use crate::cli::terminal;
use crate::watch::{Severity, State};

/// Adds colours to words, if its stream is to have colours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    is_on: bool,
}

impl Paint {
    pub(super) fn for_stdout() -> Self {
        Self::new(std::io::stdout().is_terminal())
    }

    pub(super) fn for_stderr() -> Self {
        Self::new(std::io::stderr().is_terminal())
    }

    fn new(is_terminal: bool) -> Self {
        Self {
            is_on: terminal::has_colours(is_terminal),
        }
    }

    #[cfg(test)]
    pub(super) const fn none() -> Self {
        Self { is_on: false }
    }

    pub(super) fn is_on(self) -> bool {
        self.is_on
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

    /// Marks a trouble that may pass.
    pub(super) fn warn(self, text: &str) -> String {
        self.with("33", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.is_on && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}
