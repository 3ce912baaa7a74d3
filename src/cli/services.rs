//! `jobwatch services`: the definitions there are, and what is configured.

use clap::Args;
use serde_json::Value;
use serde_json::json;

use crate::cli::ConfigArgs;
use crate::cli::Exit;
use crate::cli::output::Paint;
use crate::cli::output::Table;
use crate::cli::output::complain;
use crate::cli::output::say;
use crate::cli::output::say_json;
use crate::definition::Definition;
use crate::settings::Settings;

/// Lists definitions and configured services, or describes one definition.
#[derive(Args)]
pub(super) struct Services {
    /// A definition to describe
    name: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Services {
    pub(super) fn execute(&self) -> Exit {
        let settings = match self.config.load() {
            Ok(loaded) => loaded.settings,
            Err(problems) => {
                complain(&problems.to_string());
                return Exit::Usage;
            }
        };
        let Some(name) = &self.name else {
            self.list(&settings);
            return Exit::Done;
        };
        let Some(definition) = settings.catalog.get(name) else {
            let names: Vec<&str> = settings.catalog.names().collect();
            complain(&format!(
                "there is no definition `{name}`; there are {}",
                names.join(", ")
            ));
            return Exit::Usage;
        };
        if self.json {
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
        "states": states, "services": configured(definition, settings),
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
    for (status, state) in definition.states.listed() {
        row("status", format!("{status} means {}", state.as_str()));
    }
    row("services", configured(definition, settings).join(", "));
    table.render()
}
