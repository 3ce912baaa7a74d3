//! `jobwatch config path`: the files, folders and variables that settings are read from, and why.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::cli::config_args::Chosen;
use crate::cli::output::{Paint, Table, plain, say, say_json};
use crate::cli::{ConfigArgs, Exit};
use crate::settings::effective::{Effective, effective};
use crate::tree::reader::expand;
use crate::tree::source::{PREFIX, SEPARATOR, Secrets, Sources, drop_ins_of};

/// Lists the files, folders and variables that settings are read from.
#[derive(Args)]
pub(super) struct Paths {
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// The output. The fields are a contract.
#[derive(Serialize)]
struct Report {
    places: Vec<Place>,
    /// The variables that are settings, sorted.
    variables: Vec<String>,
}

/// One file or folder that is looked for.
#[derive(Serialize)]
struct Place {
    path: PathBuf,
    /// One of `read`, `missing` and `unreadable`.
    state: &'static str,
    /// The error of the system, if it cannot be read.
    error: Option<String>,
    why: String,
}

impl Place {
    fn at(path: &Path, why: impl Into<String>) -> Self {
        let tried = std::fs::metadata(path).and_then(|it| {
            if it.is_dir() {
                std::fs::read_dir(path).map(drop)
            } else {
                std::fs::File::open(path).map(drop)
            }
        });
        let state = match &tried {
            Ok(()) => "read",
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "missing",
            Err(_) => "unreadable",
        };
        let error = tried.err().filter(|_| state == "unreadable");
        Self {
            path: path.to_owned(),
            state,
            error: error.map(|error| error.to_string()),
            why: why.into(),
        }
    }
}

impl Paths {
    pub(super) fn execute(&self) -> Exit {
        let sources = self.config.sources(Secrets::OutsideUnit);
        let report = report(&self.config.chosen(), &sources);
        if self.json {
            say_json(&report);
        } else {
            say(&in_words(&report));
        }
        Exit::Done
    }
}

fn report(chosen: &Chosen, sources: &Sources) -> Report {
    let Effective { entries, files, .. } = effective(sources);
    let mut places = Vec::new();
    for file in &chosen.files {
        places.push(Place::at(file, chosen.why));
        if !sources.files.contains(file) {
            continue;
        }
        let folder = drop_ins_of(file);
        let is_new = |place: &Place| place.path != folder;
        if places.iter().all(is_new) {
            let why = format!("its *.toml are read after {}", file.display());
            places.push(Place::at(&folder, why));
        }
        let drop_ins = files.iter().filter(|it| it.parent() == Some(&folder));
        for drop_in in drop_ins {
            if places.iter().all(|place| place.path != *drop_in) {
                places.push(Place::at(drop_in, "is in that folder"));
            }
        }
    }
    let services = entries.iter().find(|it| it.path == ["services_dir"]);
    if let Some(entry) = services
        && let Some(text) = entry.value.as_str()
    {
        let folder = expand(text, &sources.environment).unwrap_or_else(|_| text.to_owned());
        let why = format!("services_dir ({})", entry.origin);
        places.push(Place::at(Path::new(&folder), why));
    }
    for other in &files {
        if places.iter().all(|place| place.path != *other) {
            places.push(Place::at(other, "a credential is read from it"));
        }
    }
    let begin = format!("{PREFIX}{SEPARATOR}");
    let variables = sources.environment.keys();
    Report {
        places,
        variables: variables
            .filter(|name| name.starts_with(&begin))
            .cloned()
            .collect(),
    }
}

fn in_words(report: &Report) -> String {
    let paint = Paint::for_stdout();
    let mut table = Table::with_header(&["PATH", "STATE", "WHY"]);
    for place in &report.places {
        let state = match place.state {
            "read" => paint.as_state("succeeded", "read"),
            "missing" => paint.dim("does not exist"),
            _ => {
                let error = place.error.as_deref().unwrap_or("unreadable");
                paint.as_state("failed", &plain(error))
            }
        };
        let path = place.path.display().to_string();
        table.row(vec![plain(&path), state, plain(&place.why)]);
    }
    for name in &report.variables {
        let why = "overrides the files".to_owned();
        table.row(vec![plain(name), "set".to_owned(), why]);
    }
    if report.places.is_empty() && report.variables.is_empty() {
        return "No file is read: only the defaults apply.".to_owned();
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::variables;

    #[test]
    fn every_place_is_listed_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("conf.d")).unwrap();
        std::fs::write(at("conf.d/10.toml"), "[api]\nconnections = 7\n").unwrap();
        std::fs::write(at("a.toml"), "services_dir = \"${HERE}/own\"\n").unwrap();
        let chosen = Chosen {
            files: vec![at("a.toml"), at("b.toml")],
            why: "--config",
        };
        let here = folder.path().display().to_string();
        let name = variables::of_setting(&["api".to_owned(), "listen".to_owned()]);
        let sources = Sources {
            files: chosen.files.clone(),
            environment: [("HERE".to_owned(), here), (name, "127.0.0.1:1".to_owned())].into(),
            ..Sources::default()
        };
        let report = report(&chosen, &sources);
        let found: Vec<(PathBuf, &str)> = report
            .places
            .iter()
            .map(|place| (place.path.clone(), place.state))
            .collect();
        let wanted = [
            ("a.toml", "read"),
            ("conf.d", "read"),
            ("conf.d/10.toml", "read"),
            ("b.toml", "missing"),
            ("own", "missing"),
        ];
        assert_eq!(found, wanted.map(|(name, state)| (at(name), state)));
        assert_eq!(report.variables, ["JOBWATCH__API__LISTEN"]);
    }
}
