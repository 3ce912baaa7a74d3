//! `jobwatch services`: lists or describes definitions, or checks definition files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::complaint::note;
use crate::cli::output::{Paint, Table, complain, say, say_json};
use crate::cli::{ConfigArgs, Exit};
use crate::definition::Definition;
use crate::definition::catalog::load_file;
use crate::settings::Settings;
use crate::suggest;

/// Lists definitions and configured services, describes one definition, or checks files.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Services {
    #[command(subcommand)]
    command: Option<ServicesCommand>,
    /// The name of a definition, to describe it
    name: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON instead of text
    #[arg(long, conflicts_with = "toml")]
    json: bool,
    /// Print the file of the definition, to start your own from
    #[arg(long, requires = "name")]
    toml: bool,
}

#[derive(Subcommand)]
enum ServicesCommand {
    /// Check your own definition files
    Check {
        /// The definition files to check
        #[arg(required = true, value_name = "FILE.toml")]
        files: Vec<PathBuf>,
    },
}

impl Services {
    pub(super) fn execute(&self) -> Exit {
        match &self.command {
            Some(ServicesCommand::Check { files }) => check(files),
            None => self.show(),
        }
    }

    fn show(&self) -> Exit {
        let settings = match self.config.load_or_complain() {
            Ok(loaded) => loaded.settings,
            Err(exit) => return exit,
        };
        let Some(name) = &self.name else {
            self.list(&settings);
            return Exit::Done;
        };
        let Some(definition) = settings.catalog.get(name) else {
            let suggestion = suggest::did_you_mean(name, settings.catalog.names());
            complain(&format!(
                "unknown definition `{name}` (`jobwatch services` lists them){suggestion}"
            ));
            return Exit::Usage;
        };
        if self.toml {
            say(definition.text.trim_end());
        } else if self.json {
            say_json(&describe(definition, &settings));
        } else {
            say(&in_words(definition, &settings));
        }
        Exit::Done
    }

    fn list(&self, settings: &Settings) {
        if self.json {
            let all: Vec<Value> = settings
                .catalog
                .all()
                .map(|d| describe(d, settings))
                .collect();
            say_json(&all);
            return;
        }
        let mut table = Table::with_header(&["DEFINITION", "TITLE", "PARAMS", "CONFIGURED AS"]);
        for definition in settings.catalog.all() {
            let services = configured(definition, settings);
            table.row(vec![
                definition.name.clone(),
                definition.title.clone(),
                definition.params.join(", "),
                if services.is_empty() {
                    "-".to_owned()
                } else {
                    services.join(", ")
                },
            ]);
        }
        say(&table.render());
    }
}

/// Prints all errors of each file.
fn check(files: &[PathBuf]) -> Exit {
    let mut exit = Exit::Done;
    for file in files {
        match load_file(file) {
            Ok(definition) => {
                for warning in &definition.warnings {
                    note(&format!("warning: {warning}"));
                }
                let shown = definition.request.shown();
                say(&format!("{}: valid ({shown})", file.display()));
            }
            Err(errors) => {
                for error in &errors {
                    complain(&error.to_string());
                }
                exit = Exit::Usage;
            }
        }
    }
    exit
}

fn configured(definition: &Definition, settings: &Settings) -> Vec<String> {
    settings
        .services
        .iter()
        .filter(|(_, service)| service.definition.name == definition.name)
        .map(|(name, _)| name.clone())
        .collect()
}

fn describe(definition: &Definition, settings: &Settings) -> Value {
    let states: serde_json::Map<String, Value> = definition
        .states
        .listed()
        .into_iter()
        .map(|(status, state)| (status.to_owned(), json!(state)))
        .collect();
    json!({
        "name": definition.name, "title": definition.title, "docs": definition.docs,
        "request": definition.request.shown(), "params": definition.params,
        "hosts": definition.hosts,
        "states": states, "services": configured(definition, settings),
        "tables": definition.tables().into_iter().collect::<BTreeMap<_, _>>(),
    })
}

fn in_words(definition: &Definition, settings: &Settings) -> String {
    let paint = Paint::for_stdout();
    let mut table = Table::default();
    let mut row = |name: &str, value: String| table.row(vec![paint.dim(name), value]);
    row("definition", paint.bold(&definition.name));
    row("title", definition.title.clone());
    row("docs", definition.docs.clone());
    row("request", definition.request.shown());
    row("params", definition.params.join(", "));
    for (cloud, url) in &definition.hosts {
        row("url", format!("{url} ({cloud})"));
    }
    for (name, value) in definition.tables() {
        row(name, value);
    }
    for rule in &definition.rules {
        row("rule", rule.to_string());
    }
    for (status, state) in definition.states.listed() {
        row("status", format!("{status} means {}", state.as_str()));
    }
    row("services", configured(definition, settings).join(", "));
    table.render()
}
