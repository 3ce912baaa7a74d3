//! `jobwatch config`: prints the defaults, the settings that apply with their origins, or the
//! places that they are read from.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::complaint::{complain_settings, note};
use crate::cli::config_path::Paths;
use crate::cli::output::{Paint, say, say_json};
use crate::cli::table::width;
use crate::cli::{ConfigArgs, Exit};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::settings;
use crate::settings::effective::{Effective, Entry, effective};
use crate::tree::source::Secrets;

/// The width up to which the comments of a table are aligned.
const ALIGNED_MAX: usize = 56;

/// Prints settings: the defaults, those that apply, or the files that they are read from.
#[derive(Args)]
pub(super) struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the manual of all settings, with their defaults, as a start for your own file
    Default,
    /// Print every setting that applies, with its origin; secrets are not shown
    Show(Show),
    /// List the files, folders and variables that settings are read from
    Path(Paths),
}

const SHOW_HELP: &str = "\
The output is TOML. The comment after each value says where it is from: FILE:LINE, `environment
NAME`, or `default`. Secrets are shown as [REDACTED], and so is a text under a key that jobwatch
does not know. Errors and warnings go to standard error.

Exit codes: 0 the settings are valid, 2 they have an error.";

#[derive(Args)]
#[command(after_help = SHOW_HELP)]
struct Show {
    /// Print JSON instead of TOML: a list of {key, value, origin}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Config {
    pub(super) fn execute(&self) -> Exit {
        match &self.command {
            Command::Default => {
                say(settings::DEFAULT.trim_end());
                Exit::Done
            }
            Command::Show(show) => show.show(),
            Command::Path(paths) => paths.execute(),
        }
    }
}

impl Show {
    fn show(&self) -> Exit {
        let Effective {
            entries,
            diagnostics,
            ..
        } = effective(&self.config.sources(Secrets::OutsideUnit));
        if self.json {
            say_json(&entries.iter().map(as_json).collect::<Vec<_>>());
        } else if !entries.is_empty() {
            say(&as_toml(&entries));
        }
        let (errors, others): (Vec<_>, Vec<_>) =
            diagnostics.into_iter().partition(Diagnostic::is_error);
        for other in others {
            note(&other.to_string());
        }
        if errors.is_empty() {
            return Exit::Done;
        }
        complain_settings(&Diagnostics(errors));
        Exit::Usage
    }
}

fn as_json(entry: &Entry) -> Value {
    json!({"key": entry.path.join("."), "value": entry.value, "origin": entry.origin})
}

fn as_toml(entries: &[Entry]) -> String {
    let mut tables: Vec<Vec<&Entry>> = Vec::new();
    for entry in entries {
        let around = |it: &Entry| it.path[..it.path.len() - 1].to_vec();
        match tables.last_mut() {
            Some(table) if around(table[0]) == around(entry) => table.push(entry),
            _ => tables.push(vec![entry]),
        }
    }
    let tables: Vec<String> = tables.iter().map(|table| table_as_toml(table)).collect();
    tables.join("\n\n")
}

fn table_as_toml(entries: &[&Entry]) -> String {
    let paint = Paint::for_stdout();
    let mut lines = Vec::new();
    let first = entries[0];
    if !first.table.is_empty() {
        let names: Vec<String> = first.table.iter().map(|name| key(name)).collect();
        let name = names.join(".");
        let header = if first.is_element {
            format!("[[{name}]]")
        } else {
            format!("[{name}]")
        };
        lines.push(paint.bold(&header));
    }
    let values: Vec<String> = entries
        .iter()
        .map(|entry| {
            let name = entry.path.last().map_or("", String::as_str);
            format!("{} = {}", key(name), entry.value)
        })
        .collect();
    let widths = values.iter().map(|value| width(value));
    let column = widths
        .filter(|width| *width <= ALIGNED_MAX)
        .max()
        .unwrap_or_default();
    for (entry, value) in entries.iter().zip(&values) {
        let padding = column.saturating_sub(width(value)) + 2;
        let mut line = format!("{value}{:padding$}", "");
        let origin = format!("# {}", plain_comment(&entry.origin));
        let _ = write!(line, "{}", paint.dim(&origin));
        lines.push(line);
    }
    lines.join("\n")
}

/// Writes a key as TOML: in quotes only where it must be.
fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(is_bare) {
        return name.to_owned();
    }
    toml::Value::from(name).to_string()
}

/// A comment ends at the end of its line.
fn plain_comment(text: &str) -> String {
    crate::cli::output::plain(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_toml_that_reads_back() {
        let text = "instance = \"a\"\n[services.\"odd name\"]\nrate = 2.5\nparams = { a = \"1\" }\n\
                    [[watches]]\njob_id = \"1\"\nlabels = { b = \"2\" }\n[[watches]]\njob_id = \"2\"\n";
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jobwatch.toml");
        std::fs::write(&file, text).unwrap();
        let sources = crate::tree::source::Sources {
            files: vec![file],
            ..crate::tree::source::Sources::default()
        };
        let written = as_toml(&effective(&sources).entries);
        let read: toml::Table = written
            .parse()
            .unwrap_or_else(|e| panic!("{e} in {written}"));
        let wanted: toml::Table = text.parse().unwrap();
        for (key, value) in wanted {
            if key != "services" {
                assert_eq!(read[&key], value, "{written}");
            }
        }
        let service = &read["services"]["odd name"];
        assert_eq!(service["rate"].as_float(), Some(2.5));
        assert_eq!(read["api"]["connections"].as_integer(), Some(20_000));
    }
}
