//! The output of commands: text or JSON on standard output, errors on standard error.

use std::io::{ErrorKind, IsTerminal, Write as _};

use serde::Serialize;

use crate::cli::Exit;
use crate::cli::complaint::finish;

pub(super) use crate::cli::age::utc as time;
pub(super) use crate::cli::complaint::{complain, note};
pub(super) use crate::cli::paint::Paint;
pub(super) use crate::cli::table::{Table, plain};

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

/// Returns the text, safe for a terminal; a dash if absent.
pub(super) fn or_dash(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), plain)
}
