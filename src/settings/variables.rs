//! The variables of the environment whose names begin with `JOBWATCH_`: one list of those that
//! are known. Any other is an error, because a misspelt name would be ignored in silence.

use std::collections::BTreeMap;

use crate::diagnostic::Diagnostic;
use crate::settings::{DEFAULT, sections};
use crate::suggest::nearest;
use crate::tree::reader::Read;
use crate::tree::source::{ENVIRONMENT, PREFIX, SEPARATOR, Sources, layer};

/// A variable that the program reads or sets.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    pub name: &'static str,
    /// The effect, as a sentence without a full stop.
    pub meaning: &'static str,
    pub user: User,
}

/// The part that reads a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// The commands of the program.
    Commands,
    /// The commands that a sink of the kind `exec` starts.
    Receivers,
    /// The tests of the program.
    Tests,
    /// The build of the program.
    Build,
}

/// All variables that are known by their whole name.
pub const KNOWN: &[Variable] = &[
    Variable {
        name: "JOBWATCH_CONFIG",
        meaning: "the configuration file, where no `--config` is given",
        user: User::Commands,
    },
    Variable {
        name: "JOBWATCH_URL",
        meaning: "the URL of the daemon, as `--url`",
        user: User::Commands,
    },
    Variable {
        name: "JOBWATCH_TOKEN",
        meaning: "the bearer token of the daemon",
        user: User::Commands,
    },
    Variable {
        name: "JOBWATCH_TOKEN_FILE",
        meaning: "a file with the bearer token of the daemon, as `--token-file`",
        user: User::Commands,
    },
    Variable {
        name: "JOBWATCH_CA_FILE",
        meaning: "the authorities that sign the certificate of the daemon, as `--ca-file`",
        user: User::Commands,
    },
    Variable {
        name: "JOBWATCH_EVENT_ID",
        meaning: "the id of the event that the command gets",
        user: User::Receivers,
    },
    Variable {
        name: "JOBWATCH_EVENT_TYPE",
        meaning: "the type of the event that the command gets",
        user: User::Receivers,
    },
    Variable {
        name: "JOBWATCH_COMMIT",
        meaning: "commit and date, for a build without a repository",
        user: User::Build,
    },
    Variable {
        name: "JOBWATCH_VERSION",
        meaning: "the text of `--version`, which `cargo run` leaves in the environment",
        user: User::Build,
    },
    Variable {
        name: "JOBWATCH_SEED",
        meaning: "repeats one run of a random test",
        user: User::Tests,
    },
    Variable {
        name: "JOBWATCH_HISTORIES",
        meaning: "how many histories the simulation plays",
        user: User::Tests,
    },
    Variable {
        name: "JOBWATCH_CROWD",
        meaning: "how many watches the long history has",
        user: User::Tests,
    },
    Variable {
        name: "JOBWATCH_FIELD",
        meaning: "the field cases to play",
        user: User::Tests,
    },
    Variable {
        name: "JOBWATCH_KILLS",
        meaning: "how often the daemon is killed under load",
        user: User::Tests,
    },
    Variable {
        name: "JOBWATCH_CHAOS_SEED",
        meaning: "draws the faults as in an earlier run",
        user: User::Tests,
    },
    Variable {
        name: "JOBWATCH_CHAOS_TIME",
        meaning: "for how long faults strike the replicas",
        user: User::Tests,
    },
];

/// The beginning of other variables of tests.
const OF_TESTS: &str = "JOBWATCH_TEST_";
/// The tables with names that the operator chooses: without the files, their keys are not known.
const NAMED: [&str; 4] = ["credentials", "services", "sinks", "watches"];

/// Finds the variables that are unknown by their names. Those that are settings
/// (`JOBWATCH__SECTION__KEY`) are not among them: the readers of the settings check these.
pub fn unknown(environment: &BTreeMap<String, String>) -> Vec<Diagnostic> {
    let is_unknown = |name: &&String| {
        let own = name.strip_prefix(PREFIX);
        own.is_some_and(|own| own.starts_with('_') && !own.starts_with(SEPARATOR))
            && !name.starts_with(OF_TESTS)
            && !KNOWN.iter().any(|known| known.name == name.as_str())
            && !is_of_kubernetes(name)
    };
    let names: Vec<&String> = environment.keys().filter(is_unknown).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let settings = known_settings();
    let names = names.into_iter();
    names.map(|name| diagnostic(name, &settings)).collect()
}

/// Finds the variables that are unknown, without the files of the settings: also those of
/// settings, but not of a named credential, service or sink.
pub fn unknown_without_files(environment: &BTreeMap<String, String>) -> Vec<Diagnostic> {
    let mut found = unknown(environment);
    let begin = format!("{PREFIX}{SEPARATOR}");
    let mut settings = environment.keys().filter(|it| it.starts_with(&begin));
    let Some(first) = settings.next() else {
        return found;
    };
    let known = known_settings();
    for name in std::iter::once(first).chain(settings) {
        let path = path_of(name);
        let (section, deeper) = path.split_first().expect("a split has a first part");
        let is_named = NAMED.contains(&section.as_str()) && !deeper.is_empty();
        let is_within = |(known, way): (&Vec<String>, &Read)| {
            path == *known || (*way != Read::Section && path.starts_with(known))
        };
        if !is_named && !known.iter().any(is_within) {
            found.push(diagnostic(name, &known));
        }
    }
    found
}

/// Returns the name of the variable that sets the value at `path`.
pub fn of_setting(path: &[String]) -> String {
    let upper: Vec<String> = path.iter().map(|part| part.to_uppercase()).collect();
    format!("{PREFIX}{SEPARATOR}{}", upper.join(SEPARATOR))
}

fn path_of(name: &str) -> Vec<String> {
    let own = name.trim_start_matches(PREFIX).trim_start_matches('_');
    own.split(SEPARATOR).map(str::to_lowercase).collect()
}

/// True for the variables that Kubernetes sets in each container for a Service with the name
/// `jobwatch` or `jobwatch-…`, such as `JOBWATCH_SERVICE_HOST` and `JOBWATCH_PORT_8620_TCP_ADDR`.
fn is_of_kubernetes(name: &str) -> bool {
    let words: Vec<&str> = name.split('_').skip(1).collect();
    let has = |wanted: [&str; 2]| words.windows(2).any(|pair| pair == wanted);
    let is_port = words.windows(3).any(|three| {
        let is_number = three[1].bytes().all(|b| b.is_ascii_digit());
        three[0] == "PORT" && is_number && matches!(three[2], "TCP" | "UDP" | "SCTP")
    });
    words.ends_with(&["SERVICE", "HOST"])
        || has(["SERVICE", "PORT"])
        || words.last() == Some(&"PORT")
        || is_port
}

/// Returns every key that is read without any file, with the way in which it is read.
fn known_settings() -> BTreeMap<Vec<String>, Read> {
    let layered = layer(DEFAULT, &Sources::default()).expect("the defaults are valid");
    sections::read(&layered).1.read
}

fn diagnostic(name: &str, settings: &BTreeMap<Vec<String>, Read>) -> Diagnostic {
    let settings = settings
        .iter()
        .filter(|(_, way)| **way != Read::Section)
        .map(|(path, _)| of_setting(path));
    let known = KNOWN.iter().filter(|it| it.user == User::Commands);
    let known = known.map(|it| it.name.to_owned()).chain(settings);
    // Compared without the beginning that all names share, and without its underscores.
    let by_rest: BTreeMap<String, String> = known.map(|it| (rest_of(&it), it)).collect();
    let near = nearest(&rest_of(name), by_rest.keys().map(String::as_str));
    let remedy = match near.and_then(|near| by_rest.get(near)) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => format!(
            "; unset it (known: {}, and {PREFIX}{SEPARATOR}SECTION{SEPARATOR}KEY for a setting)",
            names_of_commands().join(", ")
        ),
    };
    let message = format!("unknown variable `{name}`{remedy}");
    Diagnostic::error(ENVIRONMENT, None, name, message)
}

fn names_of_commands() -> Vec<&'static str> {
    let known = KNOWN.iter().filter(|it| it.user == User::Commands);
    known.map(|it| it.name).collect()
}

fn rest_of(name: &str) -> String {
    let rest = name.trim_start_matches(PREFIX).trim_start_matches('_');
    rest.replace(SEPARATOR, "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(
        names: &[&str],
        find: fn(&BTreeMap<String, String>) -> Vec<Diagnostic>,
    ) -> Vec<String> {
        let environment = names.iter().map(|it| ((*it).to_owned(), String::new()));
        let found = find(&environment.collect());
        found.into_iter().map(|it| it.message).collect()
    }

    #[test]
    fn a_misspelt_variable_finds_its_name() {
        for (name, near) in [
            ("JOBWATCH_ULR", "JOBWATCH_URL"),
            ("JOBWATCH_TOKENFILE", "JOBWATCH_TOKEN_FILE"),
            ("JOBWATCH_API_LISTEN", "JOBWATCH__API__LISTEN"),
            ("JOBWATCH_STORE__URL", "JOBWATCH__STORE__URL"),
        ] {
            let wanted = format!("unknown variable `{name}`; did you mean `{near}`?");
            assert_eq!(messages(&[name], unknown), [wanted]);
        }
        let far = messages(&["JOBWATCH_FRIENDS"], unknown);
        assert!(
            far[0].contains("unset it (known: JOBWATCH_CONFIG, "),
            "{far:?}"
        );
    }

    #[test]
    fn known_variables_and_those_of_others_are_accepted() {
        let mut names: Vec<&str> = KNOWN.iter().map(|it| it.name).collect();
        names.extend(["JOBWATCH_TEST_KEYSTONE", "JOBWATCHER", "PATH"]);
        names.extend(["JOBWATCH__API__LISTEN", "JOBWATCH__SERVICES__DCS__URL"]);
        assert!(messages(&names, unknown_without_files).is_empty());
    }

    /// As the kubelet sets them for Services with the names `jobwatch` and `jobwatch-api`.
    #[test]
    fn variables_of_a_kubernetes_service_are_accepted() {
        let names = [
            "JOBWATCH_SERVICE_HOST",
            "JOBWATCH_SERVICE_PORT",
            "JOBWATCH_SERVICE_PORT_HTTP",
            "JOBWATCH_PORT",
            "JOBWATCH_PORT_8620_TCP",
            "JOBWATCH_PORT_8620_TCP_PROTO",
            "JOBWATCH_PORT_8620_TCP_PORT",
            "JOBWATCH_PORT_8620_TCP_ADDR",
            "JOBWATCH_API_SERVICE_HOST",
            "JOBWATCH_API_PORT_8620_TCP_ADDR",
        ];
        assert!(messages(&names, unknown_without_files).is_empty());
        assert_eq!(messages(&["JOBWATCH_PORT_X_TCP"], unknown).len(), 1);
    }

    #[test]
    fn a_misspelt_setting_is_found_without_files() {
        for (name, near) in [
            ("JOBWATCH__API__LISTNE", "JOBWATCH__API__LISTEN"),
            ("JOBWATCH__API_LISTEN", "JOBWATCH__API__LISTEN"),
            ("JOBWATCH__PLO__MAX", "JOBWATCH__POLL__MAX"),
        ] {
            let wanted = format!("unknown variable `{name}`; did you mean `{near}`?");
            assert_eq!(messages(&[name], unknown_without_files), [wanted]);
        }
        assert_eq!(
            messages(&["JOBWATCH__SERVCES__DCS__URL"], unknown_without_files).len(),
            1
        );
    }
}
