//! The text of `docs/cli.md`, made from the command line itself: a test keeps the file equal.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Arg, Command, CommandFactory};

use crate::cli::{Cli, Exit};

const HEAD: &str = "\
# Commands

Every command with its options, as `jobwatch COMMAND --help` shows them. This file is made from the
program: after a change of a command, `UPDATE=1 cargo test --lib manual` writes it again.
";

#[test]
fn the_list_of_commands_is_that_of_the_program() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    let made = markdown();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = written.lines().zip(made.lines()).find(|(a, b)| a != b);
    assert!(
        written == made,
        "docs/cli.md is old: run UPDATE=1 cargo test --lib manual (first difference: {differs:?})"
    );
}

/// Returns the description of all commands and exit codes as Markdown.
fn markdown() -> String {
    let mut program = Cli::command();
    program.build();
    let mut text = HEAD.to_owned();
    describe_all(&program, &mut text);
    text.push_str("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for code in Exit::table() {
        let _ = writeln!(text, "| {} | {} |", code.exit.code(), code.meaning);
    }
    text
}

fn describe_all(command: &Command, text: &mut String) {
    for sub in command.get_subcommands().filter(|sub| is_shown(sub)) {
        describe(sub, text);
        describe_all(sub, text);
    }
}

fn is_shown(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

fn describe(command: &Command, text: &mut String) {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let about = command.get_about().map(ToString::to_string);
    let _ = write!(
        text,
        "\n## `{name}`\n\n{}.\n\n```text\n{usage}\n```\n",
        about.unwrap_or_default().trim_end_matches('.')
    );
    let mut arguments = command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set() && argument.get_id() != "help")
        .peekable();
    if arguments.peek().is_some() {
        text.push_str("\n| option | meaning |\n|---|---|\n");
    }
    for argument in arguments {
        let help = argument.get_help().map(ToString::to_string);
        let help = help.unwrap_or_default().replace('\n', " ");
        let row = format!("| {} | {help}", names(argument));
        let _ = writeln!(text, "{} |", escaped(&row));
    }
}

/// The names of an option with its value, or the name of a positional argument.
fn names(argument: &Arg) -> String {
    let long = argument.get_long().map(|name| format!("--{name}"));
    let short = argument.get_short().map(|name| format!("-{name}"));
    let flags: Vec<String> = [short, long].into_iter().flatten().collect();
    let takes_value = argument.get_action().takes_values();
    let values = argument.get_value_names().unwrap_or_default();
    let value = values.first().map_or("", |value| value.as_str());
    let text = match (flags.is_empty(), takes_value) {
        (true, _) => value.to_owned(),
        (false, true) => format!("{} {value}", flags.join(", ")),
        (false, false) => flags.join(", "),
    };
    format!("`{}`", text.trim())
}

/// Keeps a row of a table in one piece: only the first two bars divide it.
fn escaped(row: &str) -> String {
    let mut parts = row.splitn(3, "| ");
    let (first, name) = (parts.next().unwrap_or_default(), parts.next());
    let help = parts.next().unwrap_or_default();
    let name = name.unwrap_or_default();
    format!("{first}| {name}| {}", help.replace('|', "\\|").trim_end())
}
