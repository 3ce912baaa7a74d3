//! Advice for a command that does not exist: names from other tools get a sentence, misspelt
//! ones the nearest name.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};

/// Names that people try first, with the command that does the work, and its effect.
const GUESSES: &[(&[&str], &str, &str)] = &[
    (
        &["validate", "verify", "lint", "test", "configtest", "doctor"],
        "check",
        "checks the configuration",
    ),
    (
        &["logs", "log", "tail", "follow", "stream", "history"],
        "events",
        "shows the events of watches",
    ),
    (
        &["status", "get", "describe", "info", "inspect", "view"],
        "show",
        "shows one watch",
    ),
    (
        &[
            "delete", "del", "rm", "remove", "cancel", "kill", "abort", "unwatch",
        ],
        "stop",
        "stops watching a job; the job itself continues",
    ),
    (
        &["ls", "ps", "jobs", "watches"],
        "list",
        "lists the watches",
    ),
    (
        &["watch", "await", "join", "attach"],
        "wait",
        "waits for jobs; `jobwatch submit` hands one in",
    ),
    (
        &["start", "serve", "server", "daemon", "up"],
        "run",
        "runs the daemon",
    ),
    (
        &["add", "create", "new", "enqueue", "push", "register"],
        "submit",
        "hands in a job, for the daemon to watch",
    ),
    (
        &["retry", "resend", "replay"],
        "redrive",
        "sends dead letters again",
    ),
    (
        &["sinks", "webhooks", "receivers"],
        "sink list",
        "lists the sinks",
    ),
    (
        &["deadletters", "dead-letters", "dlq"],
        "deliveries --state dead",
        "lists the dead letters",
    ),
    (&["groups"], "group", "shows or closes a group of watches"),
    (&["backup"], "db backup", "copies the database"),
    (
        &["migrate", "transfer"],
        "db copy",
        "copies the database to another store",
    ),
    (
        &["definitions", "catalog"],
        "services",
        "lists the definitions of job APIs",
    ),
    (
        &["login", "auth", "whoami"],
        "credentials",
        "tests the credentials",
    ),
    (
        &["completion"],
        "completions",
        "prints the completions of a shell",
    ),
    (&["version"], "--version", "shows the version"),
    (
        &["ping", "healthcheck", "ready"],
        "health",
        "asks the daemon whether it is well",
    ),
    (
        &["try"],
        "probe",
        "polls a job once, and shows how the answer is read",
    ),
    (&["init", "settings"], "config", "shows the configuration"),
];

/// Adds advice to the error about an unknown command of the program `whole`. The first word
/// after the options of the program is the name of a command: `first`.
pub(super) fn advise(error: &mut Error, whole: &Command, first: Option<&str>) {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return;
    }
    let name = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(name)) => name.clone(),
        _ => return,
    };
    // An unknown command of a command, as `sink lsit`, has few neighbours.
    if first != Some(&name) {
        return;
    }
    error.remove(ContextKind::SuggestedSubcommand);
    error.remove(ContextKind::Suggested);
    let known: Vec<&str> = whole.get_subcommands().map(Command::get_name).collect();
    if let Some(tip) = tip(&name, &known) {
        let tips = vec![StyledStr::from(tip)];
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
}

fn tip(name: &str, known: &[&str]) -> Option<String> {
    let name = name.to_lowercase();
    let is_known = |command: &str| {
        let first = command.split(' ').next().unwrap_or_default();
        first.starts_with("--") || known.contains(&first)
    };
    let guessed = GUESSES
        .iter()
        .filter(|(names, ..)| names.contains(&name.as_str()))
        .find(|(_, command, _)| is_known(command));
    if let Some((_, command, effect)) = guessed {
        return Some(format!("`jobwatch {command}` {effect}"));
    }
    let near = nearest(&name, known)?;
    Some(format!("the nearest command is `jobwatch {near}`"))
}

/// Returns the command that differs by the fewest letters: one in a short name, two in a long
/// one. The first letter must be right, since people rarely miss it: `top` is far from `stop`.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let most = if name.chars().count() < 6 { 1 } else { 2 };
    let begins_alike = |known: &str| known.chars().next() == name.chars().next();
    known
        .iter()
        .filter(|known| begins_alike(known))
        .map(|known| (strsim::osa_distance(name, known), *known))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn error_of(words: &[&str]) -> String {
        let whole = Cli::command();
        let words = ["jobwatch"].iter().chain(words);
        let mut error = whole.clone().try_get_matches_from(words).unwrap_err();
        let first = error.to_string();
        let first = first.split('\'').nth(1).unwrap_or_default().to_owned();
        advise(&mut error, &whole, Some(&first));
        error.to_string()
    }

    #[test]
    fn names_of_other_tools_get_a_sentence() {
        for (name, words) in [
            ("validate", "tip: `jobwatch check` checks the configuration"),
            ("status", "tip: `jobwatch show` shows one watch"),
            ("RM", "tip: `jobwatch stop` stops watching a job"),
            ("ls", "tip: `jobwatch list`"),
            ("start", "tip: `jobwatch run` runs the daemon"),
            ("dlq", "tip: `jobwatch deliveries --state dead`"),
            ("version", "tip: `jobwatch --version`"),
        ] {
            let error = error_of(&[name]);
            assert!(error.contains(words), "{name}: {error}");
        }
    }

    #[test]
    fn misspelt_names_get_the_nearest_and_no_wrong_neighbour() {
        let whole = Cli::command();
        let known: Vec<&str> = whole.get_subcommands().map(Command::get_name).collect();
        for (name, near) in [
            ("chekc", Some("check")),
            ("lsit", Some("list")),
            ("delivries", Some("deliveries")),
            ("credentails", Some("credentials")),
            ("submti", Some("submit")),
            ("frobnicate", None),
            ("shop", Some("show")),
            ("x", None),
        ] {
            assert_eq!(nearest(name, &known), near, "{name}");
        }
        assert_eq!(nearest("top", &["stop", "show", "sink"]), None);
    }

    #[test]
    fn a_guess_is_not_a_command_and_stands_once() {
        let whole = Cli::command();
        let mut seen = Vec::new();
        for name in GUESSES.iter().flat_map(|(names, ..)| *names) {
            assert!(whole.find_subcommand(name).is_none(), "{name}");
            assert!(!seen.contains(name), "{name}");
            seen.push(name);
        }
    }
}
