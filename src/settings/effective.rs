//! Every value of the settings with its origin, as `jobwatch config show` prints it. Values
//! that are or may be secrets are replaced.

use std::collections::BTreeMap;
use std::path::PathBuf;

use config::{Value, ValueKind};

use crate::clock::parse_duration;
use crate::diagnostic::Diagnostic;
use crate::settings::{DEFAULT, sections, variables};
use crate::size::parse_size;
use crate::tree::reader::{Read, is_environment};
use crate::tree::source::{DEFAULTS, Layered, Sources, layer_readable, origin_of};

/// Stands for a value that is not shown.
pub const REDACTED: &str = "[REDACTED]";

/// One value of the settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key, part by part; elements of lists of tables are named by their number.
    pub path: Vec<String>,
    /// The names of the table around it, without those numbers.
    pub table: Vec<String>,
    /// True if that table is an element of a list.
    pub is_element: bool,
    /// The value as it is written, without the content of its variables.
    pub value: toml::Value,
    /// The file and line, `environment NAME`, or `default`.
    pub origin: String,
}

/// All values of the settings that can be read, right or wrong.
#[derive(Debug, Default)]
pub struct Effective {
    /// The values, sorted by their keys.
    pub entries: Vec<Entry>,
    /// The errors, warnings and notes about them.
    pub diagnostics: Vec<Diagnostic>,
    /// The files that were read, in order.
    pub files: Vec<PathBuf>,
}

/// The way in which the parts of the program have read each key.
type Ways = BTreeMap<Vec<String>, Read>;

/// Reads all values of the settings.
pub fn effective(sources: &Sources) -> Effective {
    let (layered, mut diagnostics) = layer_readable(DEFAULT, sources);
    let Some(layered) = layered else {
        return Effective {
            diagnostics,
            ..Effective::default()
        };
    };
    let (_, traces) = sections::read(&layered);
    diagnostics.extend(traces.notes);
    diagnostics.extend(variables::unknown(&sources.environment));
    let mut all = Collector {
        layered: &layered,
        ways: &traces.read,
        entries: Vec::new(),
    };
    all.collect(&Place::default(), &layered.root);
    let entries = all.entries;
    Effective {
        entries,
        diagnostics,
        files: [layered.files(), traces.files].concat(),
    }
}

/// The place of a value.
#[derive(Debug, Clone, Default)]
struct Place {
    path: Vec<String>,
    /// The path without the numbers of elements.
    names: Vec<String>,
    /// True if the value is an element of a list of tables.
    is_element: bool,
}

impl Place {
    fn within(&self, name: &str) -> Self {
        let with = |path: &[String]| [path, &[name.to_owned()]].concat();
        Self {
            path: with(&self.path),
            names: with(&self.names),
            is_element: false,
        }
    }

    fn element(&self, n: usize) -> Self {
        Self {
            path: [self.path.as_slice(), &[n.to_string()]].concat(),
            names: self.names.clone(),
            is_element: true,
        }
    }
}

struct Collector<'a> {
    layered: &'a Layered,
    ways: &'a Ways,
    entries: Vec<Entry>,
}

impl Collector<'_> {
    fn collect(&mut self, place: &Place, value: &Value) {
        let ValueKind::Table(table) = &value.kind else {
            return;
        };
        let mut names: Vec<&String> = table.keys().collect();
        // The values of a table stand before the tables in it.
        names.sort_by_key(|name| (is_table(&table[*name]), *name));
        for name in names {
            let (inner, value) = (place.within(name), &table[name]);
            match &value.kind {
                ValueKind::Table(_) => self.collect(&inner, value),
                ValueKind::Array(elements) if is_table(value) => {
                    for (n, element) in elements.iter().enumerate() {
                        self.collect(&inner.element(n), element);
                    }
                }
                ValueKind::Nil => {}
                _ => self.entries.push(Entry {
                    value: shown(self.ways, &inner.path, value),
                    origin: origin(self.layered, &inner.path, value),
                    path: inner.path,
                    table: place.names.clone(),
                    is_element: place.is_element,
                }),
            }
        }
    }
}

fn is_table(value: &Value) -> bool {
    match &value.kind {
        ValueKind::Table(_) => true,
        ValueKind::Array(elements) => elements.iter().any(is_table),
        _ => false,
    }
}

fn origin(layered: &Layered, path: &[String], value: &Value) -> String {
    if is_environment(value) {
        let name = variables::of_setting(path);
        let names = &mut layered.environment.keys();
        let written = names.find(|it| it.eq_ignore_ascii_case(&name));
        return format!("environment {}", written.unwrap_or(&name));
    }
    let file = origin_of(value);
    if file == DEFAULTS {
        return "default".to_owned();
    }
    match layered.line(&file, path) {
        Some(line) => format!("{file}:{line}"),
        None => file,
    }
}

fn shown(ways: &Ways, path: &[String], value: &Value) -> toml::Value {
    // The nearest table or value around it that a part of the program has read.
    let nearest = (1..=path.len()).rev().find_map(|length| {
        let way = ways.get(&path[..length])?;
        Some((length, *way))
    });
    match nearest {
        Some((_, Read::Secret)) => hidden(value),
        // No part knows the key, so it may be a misspelt secret.
        None => harmless(value),
        Some((length, Read::Section)) if length < path.len() => harmless(value),
        Some((_, way)) => plain(value, way),
    }
}

/// Hides a value, but not the name of a variable that has it.
fn hidden(value: &Value) -> toml::Value {
    match &value.kind {
        ValueKind::String(text) if names_a_variable(text) => text.clone().into(),
        _ => REDACTED.into(),
    }
}

/// True if the whole text is `${NAME}`.
fn names_a_variable(text: &str) -> bool {
    let name = text.strip_prefix("${").and_then(|it| it.strip_suffix('}'));
    name.is_some_and(|name| !name.is_empty() && !name.contains(['$', '{', '}']))
}

/// Shows a value of an unknown key if it cannot be a secret.
fn harmless(value: &Value) -> toml::Value {
    match &value.kind {
        ValueKind::String(text) if parse_duration(text).is_ok() || parse_size(text).is_ok() => {
            plain(value, Read::Value)
        }
        ValueKind::String(_) | ValueKind::Array(_) => hidden(value),
        _ => plain(value, Read::Value),
    }
}

fn plain(value: &Value, way: Read) -> toml::Value {
    match &value.kind {
        ValueKind::Boolean(flag) => (*flag).into(),
        ValueKind::I64(number) => (*number).into(),
        ValueKind::Float(number) => (*number).into(),
        ValueKind::Array(elements) => {
            let elements = elements.iter().map(|element| plain(element, way));
            list(elements, way)
        }
        ValueKind::String(text) if way == Read::Link => without_path(text).into(),
        ValueKind::String(text) if is_environment(value) => from_environment(text, way),
        ValueKind::String(text) => without_secrets(text).into(),
        _ => value.to_string().into(),
    }
}

/// Makes a list; of a command only the program is shown.
fn list(elements: impl Iterator<Item = toml::Value>, way: Read) -> toml::Value {
    let hide = |(n, element)| {
        if way == Read::Command && n > 0 {
            REDACTED.into()
        } else {
            element
        }
    };
    toml::Value::Array(elements.enumerate().map(hide).collect())
}

/// Gives a text of the environment the type in which the program reads it.
fn from_environment(text: &str, way: Read) -> toml::Value {
    let bare = || {
        let whole = text.parse::<i64>().map(toml::Value::from);
        let flag = || text.parse::<bool>().map(toml::Value::from);
        let number = || text.parse::<f64>().map(toml::Value::from);
        whole.ok().or_else(|| flag().ok()).or_else(|| number().ok())
    };
    match way {
        Read::Bare => bare().unwrap_or_else(|| text.into()),
        Read::List | Read::Command => list(text.split(',').map(|part| part.trim().into()), way),
        _ => without_secrets(text).into(),
    }
}

/// Shows a URL without its path, which may be a secret.
fn without_path(text: &str) -> String {
    if names_a_variable(text) {
        return text.to_owned();
    }
    let parts = without_secrets(text);
    let host = parts.split_once("://").map(|(scheme, rest)| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        format!("{scheme}://{host}")
    });
    match host {
        Some(host) if host == text => host,
        Some(host) => format!("{host}/{REDACTED}"),
        None => REDACTED.to_owned(),
    }
}

/// Replaces the parts of a URL that may be secrets: user and password, unless a variable has
/// them, and the query.
fn without_secrets(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, _)) => (rest, format!("?{REDACTED}")),
        None => (rest, String::new()),
    };
    let end = rest.find(['/', '#']).unwrap_or(rest.len());
    let Some(at) = rest[..end].rfind('@') else {
        return format!("{scheme}://{rest}{query}");
    };
    let password = rest[..at].split_once(':');
    if password.is_some_and(|(_, password)| names_a_variable(password)) {
        return format!("{scheme}://{rest}{query}");
    }
    format!("{scheme}://{REDACTED}{}{query}", &rest[at..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::config;

    /// Returns `key = value # origin` for each value that is not a default.
    fn lines(folder: &crate::settings::tests::Folder) -> Vec<String> {
        let here = format!("{}/", folder.path("").display()).replace("//", "/");
        let found = effective(&folder.sources());
        let entries = found.entries.iter().filter(|it| it.origin != "default");
        entries
            .map(|it| {
                format!(
                    "{} = {} # {}",
                    it.path.join("."),
                    it.value,
                    it.origin.replace(&here, "")
                )
            })
            .collect()
    }

    #[test]
    fn each_value_has_the_origin_that_applies() {
        let folder = config("instance = \"a\"\n[poll]\nmax = \"5m\"\n")
            .with("conf.d/10.toml", "[poll]\nmax = \"6m\"\n")
            .env("JOBWATCH__API__CONNECTIONS", "7")
            .env("JOBWATCH__SINKS__LOG__EVENTS", "finished, changed");
        assert_eq!(
            lines(&folder),
            [
                "instance = \"a\" # jobwatch.toml:1",
                "api.connections = 7 # environment JOBWATCH__API__CONNECTIONS",
                "poll.max = \"6m\" # conf.d/10.toml:2",
                "sinks.log.events = [\"finished\", \"changed\"] # environment JOBWATCH__SINKS__LOG__EVENTS",
            ]
        );
    }

    #[test]
    fn every_default_is_shown_with_its_value() {
        let found = effective(&config("").sources());
        let value = |key: &str| {
            let mut entries = found.entries.iter();
            let entry = entries.find(|it| it.path.join(".") == key).unwrap();
            assert_eq!(entry.origin, "default");
            entry.value.to_string()
        };
        assert_eq!(value("poll.multiplier"), "1.5");
        assert_eq!(value("api.connections"), "20000");
        assert!(found.diagnostics.is_empty());
    }

    const CANARIES: &str = r#"
passwort = "canary"
[api]
read_token = "canary"
writ_token = "canary"
[credentials.a]
kind = "basic"
username = "shown-user"
password = "canary"
[credentials.b]
kind = "bsic"
password = "canary"
[credentials.c]
kind = "oauth2"
client_secret = "${SHOWN_VARIABLE}"
token_url = "https://shown-sso.example.com/t?key=canary"
extra = { resource = "canary" }
[credentials.d]
kind = "headers"
headers = { X-One = "canary", X-Two = { value = "canary" } }
[credentials.e]
kind = "token"
token_file = "/nowhere/shown-file"
[services.dcs]
definition = "dcs"
url = "https://shown-url.example.com"
credential = "none"
proxy = "http://user:canary@proxy.example.com:3128"
[services.sdrs]
proxy = "http://user:${SHOWN_PASSWORD}@proxy.example.com:3128"
[sinks.ops]
kind = "webhook"
url = "https://hooks.example.com/canary"
secret = "canary"
[sinks.ticket]
kind = "exec"
command = ["/bin/sh", "canary"]
[sinks.odd]
kind = "websocket"
url = "https://hooks.example.com/canary"
[[watches]]
service = "dcs"
job_id = "shown-job"
callback_url = "https://hooks.example.com/canary"
[secrets]
all = ["canary"]
"#;

    #[test]
    fn no_secret_is_shown_right_or_wrong() {
        let folder = config(CANARIES).env("JOBWATCH__CREDENTIALS__F__TOKEN", "canary");
        let all = lines(&folder).join("\n");
        assert!(!all.contains("canary"), "{all}");
        for shown in [
            "shown-user",
            "${SHOWN_VARIABLE}",
            "shown-file",
            "sinks.ops.url = \"https://hooks.example.com/[REDACTED]\"",
            "https://shown-sso.example.com/t?[REDACTED]",
            "shown-url",
            "${SHOWN_PASSWORD}",
            "shown-job",
            "credentials.b.password = \"[REDACTED]\"",
            "services.dcs.proxy = \"http://[REDACTED]@proxy.example.com:3128\"",
        ] {
            assert!(all.contains(shown), "{shown} is missing in:\n{all}");
        }
    }

    #[test]
    fn a_wrong_value_is_shown_beside_its_error() {
        let folder = config("[pol]\ninitial = \"2s\"\n[poll]\njitter = 7\n");
        let shown = lines(&folder);
        assert_eq!(shown.len(), 2, "{shown:?}");
        assert!(shown[0].starts_with("pol.initial = \"2s\""));
        assert_eq!(effective(&folder.sources()).diagnostics.len(), 2);
    }

    #[test]
    fn the_other_files_are_shown_beside_a_broken_one() {
        let folder = config("instance = \"a\"\n").with("conf.d/10.toml", "[poll\n");
        assert_eq!(lines(&folder), ["instance = \"a\" # jobwatch.toml:1"]);
        assert_eq!(effective(&folder.sources()).diagnostics.len(), 1);
    }
}
