//! A case as its file says it. An unknown key is an error, because an expectation that no code
//! looks at would be worse than none.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value as Toml};

use super::actions::Action;
use super::expectations::{ForLog, ForRequests, ForWatch};
use super::stub::Step;

/// Settings of a service in a case, unless the case says otherwise.
const SERVICE: &[(&str, &str)] = &[
    ("url", "'{STUB}'"),
    ("credential", "'none'"),
    ("rate", "50.0"),
];

/// One folder of `tests/field/`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// The sentence that must be true.
    #[expect(dead_code, reason = "for readers; each case must have one")]
    title: String,
    source: String,
    #[expect(dead_code, reason = "for readers; each case must have one of these")]
    kind: Kind,
    #[serde(default)]
    config: Table,
    #[serde(default)]
    pub(super) files: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) play: Vec<Action>,
    #[serde(default)]
    pub(super) stub: BTreeMap<String, Vec<Step>>,
    /// Words of the refusal to start.
    pub(super) refused: Option<Vec<String>>,
    #[serde(default)]
    pub(super) watches: BTreeMap<String, ForWatch>,
    #[serde(default)]
    pub(super) requests: BTreeMap<String, ForRequests>,
    #[serde(default)]
    pub(super) log: ForLog,
    /// The files of its definitions.
    #[serde(skip)]
    pub(super) definitions: Vec<PathBuf>,
}

/// The kind of fault that a case is about.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Identity,
    Freshness,
    Lost,
    Status,
    Format,
    Lenient,
    Patterns,
    Pace,
    Handover,
    Batch,
    Evidence,
    Credential,
    Network,
    Time,
    Size,
}

impl Case {
    /// Reads and checks the case `name` below `home`.
    pub(super) fn read(home: &Path, name: &str) -> Result<Self, String> {
        let folder = home.join(name);
        let text = fs::read_to_string(folder.join("case.toml")).map_err(|e| e.to_string())?;
        let mut case = Self::parse(&text)?;
        case.definitions = definitions(home, &folder, &case.config);
        Ok(case)
    }

    /// Reads and checks the text of a case.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut case: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        case.check()?;
        case.complete_services();
        Ok(case)
    }

    fn check(&self) -> Result<(), String> {
        let is_public = self
            .source
            .split_once('#')
            .is_some_and(|(repo, n)| repo.contains('/') && n.parse::<u32>().is_ok());
        if self.source != "own" && !is_public {
            return Err(format!(
                "source {}: not `own`, not owner/repo#number",
                self.source
            ));
        }
        if self.watches.is_empty() && self.refused.is_none() {
            return Err("neither `watches` nor `refused`: nothing is expected".to_owned());
        }
        for (key, steps) in &self.stub {
            let last = steps
                .len()
                .checked_sub(1)
                .ok_or(format!("stub {key}: no step"))?;
            for (at, step) in steps.iter().enumerate() {
                step.check(at == last)
                    .map_err(|error| format!("stub {key}, step {}: {error}", at + 1))?;
            }
        }
        Ok(())
    }

    fn complete_services(&mut self) {
        let Some(services) = self.config.get_mut("services").and_then(Toml::as_table_mut) else {
            return;
        };
        for service in services.iter_mut().filter_map(|(_, it)| it.as_table_mut()) {
            for (key, value) in SERVICE {
                let value = value.parse::<Toml>().expect("the table above holds TOML");
                service.entry(*key).or_insert(value);
            }
        }
    }

    /// Its settings, as the text of a file.
    pub(super) fn settings(&self) -> String {
        toml::to_string(&self.config).expect("a table that was read can be written")
    }
}

/// The definitions in the folder of the case, and the shared ones that its services, or other
/// definitions, name.
fn definitions(home: &Path, folder: &Path, config: &Table) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_definition = |path: &PathBuf| {
        path.extension().is_some_and(|it| it == "toml") && !path.ends_with("case.toml")
    };
    let mut found: Vec<PathBuf> = entries.filter(is_definition).collect();
    let services = config.get("services").and_then(Toml::as_table);
    let services = services.into_iter().flat_map(Table::values);
    let mut named: Vec<String> = services.filter_map(|it| named(it, "definition")).collect();
    named.extend(found.iter().filter_map(|path| next_of(path)));
    while let Some(name) = named.pop() {
        let file = format!("{name}.toml");
        let shared = home.join("definitions").join(&file);
        let is_known = found.iter().any(|path| path.ends_with(&file));
        if shared.exists() && !is_known {
            named.extend(next_of(&shared));
            found.push(shared);
        }
    }
    found
}

/// The definition to which this one hands over.
fn next_of(definition: &Path) -> Option<String> {
    let text = fs::read_to_string(definition).ok()?;
    let definition: Table = text.parse().ok()?;
    named(definition.get("next")?, "definition")
}

fn named(table: &Toml, key: &str) -> Option<String> {
    Some(table.get(key)?.as_str()?.to_owned())
}
