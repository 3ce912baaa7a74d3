//! The terminal behind standard output: its size, and the options that are about it.

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::sync::OnceLock;

use clap::{Args, ValueEnum};

/// The size of a terminal that does not report one.
const SIZE_USUAL: Size = Size {
    columns: 80,
    lines: 24,
};

/// A terminal's size, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// The number of characters in a line.
    pub(super) columns: usize,
    pub(super) lines: usize,
}

/// The value of the option `--color`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// Colours on a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    Always,
    Never,
}

impl Color {
    /// True if a stream is to have colours. `NO_COLOR` (no-color.org) counts unless empty.
    fn is_on(self, is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let is_unwanted = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
                let is_dumb = variable("TERM").is_some_and(|term| term == "dumb");
                is_terminal && !is_unwanted && !is_dumb
            }
        }
    }
}

/// The options of every command that are about the terminal.
#[derive(Args, Debug, Clone, Copy, Default)]
pub(super) struct Options {
    /// When to use colours
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        help_heading = "Terminal",
        help = "Colours: auto, always or never; auto respects NO_COLOR"
    )]
    pub(super) color: Color,
    /// Print long output at once, not through $PAGER
    #[arg(long, global = true, help_heading = "Terminal")]
    pub(super) no_pager: bool,
}

/// The options of this process: it has one standard output.
static OPTIONS: OnceLock<Options> = OnceLock::new();

impl Options {
    /// Makes these the options of the process; only the first call counts.
    pub(super) fn set(self) {
        let _ = OPTIONS.set(self);
    }
}

/// Returns the options of the process; the usual ones before they are set.
pub(super) fn options() -> Options {
    OPTIONS.get().copied().unwrap_or_default()
}

/// Returns the colours of help and of errors about the arguments, which clap prints before the
/// options are known.
pub(super) fn color_of_help(words: &[String]) -> clap::ColorChoice {
    let mut pairs = words
        .iter()
        .zip(words.iter().skip(1).map(Some).chain([None]));
    let value = pairs.find_map(|(word, next)| match word.strip_prefix("--color") {
        Some("") => next.map(String::as_str),
        Some(rest) => rest.strip_prefix('='),
        None => None,
    });
    match value {
        Some("always") => clap::ColorChoice::Always,
        Some("never") => clap::ColorChoice::Never,
        _ => clap::ColorChoice::Auto,
    }
}

/// Returns the first word that is neither the program nor one of its options.
pub(super) fn first_command(words: &[String]) -> Option<&str> {
    let mut words = words.iter().skip(1).map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--color" => drop(words.next()),
            option if option.starts_with('-') => {}
            command => return Some(command),
        }
    }
    None
}

/// Returns the size of the terminal, or nothing if standard output is a file or a pipe.
pub(super) fn size() -> Option<Size> {
    std::io::stdout().is_terminal().then(size_or_usual)
}

/// Returns the size of the terminal; 80 columns and 24 lines if it reports none.
pub(super) fn size_or_usual() -> Size {
    size_of(std::io::stdout())
}

/// Returns the size of the terminal behind a stream, as [`size_or_usual`] does.
pub(super) fn size_of(stream: impl AsFd) -> Size {
    let Ok(size) = rustix::termios::tcgetwinsize(stream) else {
        return SIZE_USUAL;
    };
    // A terminal that does not know its size reports zero.
    let or = |given: u16, usual| if given == 0 { usual } else { given.into() };
    Size {
        columns: or(size.ws_col, SIZE_USUAL.columns),
        lines: or(size.ws_row, SIZE_USUAL.lines),
    }
}

/// True if the text on a stream is to have colours.
pub(super) fn has_colours(is_terminal: bool) -> bool {
    options().color.is_on(is_terminal, variable)
}

/// True if the terminal can neither move its cursor nor show colours.
pub(super) fn is_dumb() -> bool {
    variable("TERM").is_none_or(|term| term == "dumb")
}

/// Reads a variable of the environment; one that is not Unicode counts as set.
fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_follow_the_option_then_the_environment() {
        let none = |_: &str| None;
        let no_color = |name: &str| (name == "NO_COLOR").then(|| "1".to_owned());
        let empty = |name: &str| (name == "NO_COLOR").then(String::new);
        let dumb = |name: &str| (name == "TERM").then(|| "dumb".to_owned());
        assert!(Color::Auto.is_on(true, none));
        assert!(Color::Auto.is_on(true, empty));
        assert!(!Color::Auto.is_on(false, none));
        assert!(!Color::Auto.is_on(true, no_color));
        assert!(!Color::Auto.is_on(true, dumb));
        assert!(Color::Always.is_on(false, no_color));
        assert!(!Color::Never.is_on(true, none));
    }

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_help_has_the_colours_of_the_option() {
        for (line, choice) in [
            (
                "jobwatch list --color never --help",
                clap::ColorChoice::Never,
            ),
            ("jobwatch --color=always", clap::ColorChoice::Always),
            ("jobwatch --color", clap::ColorChoice::Auto),
            ("jobwatch list", clap::ColorChoice::Auto),
        ] {
            assert_eq!(color_of_help(&words(line)), choice, "{line}");
        }
    }

    #[test]
    fn the_first_command_is_found_behind_options() {
        for (line, first) in [
            ("jobwatch --color never --no-pager list x", Some("list")),
            ("jobwatch --color=never show", Some("show")),
            ("jobwatch --help", None),
        ] {
            assert_eq!(first_command(&words(line)), first, "{line}");
        }
    }
}
