//! `jobwatch services`: lists the services and definitions, describes one, or checks files.

mod live;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::Exit;
use crate::cli::age::Times;
use crate::cli::check::notes;
use crate::cli::client::DaemonArgs;
use crate::cli::complaint::note;
use crate::cli::output::{complain, say, say_json};
use crate::cli::pager::page;
use crate::cli::paint::Paint;
use crate::cli::services::live::Silence;
use crate::cli::table::{Column, Table};
use crate::definition::Definition;
use crate::definition::catalog::load_file;
use crate::settings::Settings;
use crate::suggest;

const HELP: &str = "\
While the daemon answers, its services are shown as they are now: health, last answer, polls a
second, credential. Otherwise those of the configuration are. Without any service, and with
--definitions, the definitions of job APIs are listed.

  jobwatch services                           the services, and how they are
  jobwatch services --definitions             the job APIs that jobwatch can watch
  jobwatch services sdrs                      one definition: its params, URL and states";

/// Lists services or definitions, describes one definition, or checks files.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, after_help = HELP)]
pub(super) struct Services {
    #[command(subcommand)]
    command: Option<ServicesCommand>,
    /// The name of a definition or of a configured service, to describe the definition
    name: Option<String>,
    /// List the definitions, also if there are services
    #[arg(long, conflicts_with = "name")]
    definitions: bool,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    daemon: DaemonArgs,
}

/// The form of the output.
#[derive(Args)]
struct Form {
    /// Show instants (UTC) instead of ages
    #[arg(long, conflicts_with_all = ["json", "toml"])]
    utc: bool,
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
        /// Print JSON instead of text
        #[arg(long)]
        json: bool,
    },
}

impl Services {
    pub(super) async fn execute(&self) -> Exit {
        match &self.command {
            Some(ServicesCommand::Check { files, json: true }) => check_as_json(files),
            Some(ServicesCommand::Check { files, .. }) => check(files),
            None => self.show().await,
        }
    }

    async fn show(&self) -> Exit {
        let settings = match self.daemon.config.load_without_secrets() {
            Ok(loaded) => loaded.settings,
            Err(exit) => return exit,
        };
        let Some(name) = &self.name else {
            return self.list(&settings).await;
        };
        let configured = settings.services.get(name).map(|it| &it.definition);
        let Some(definition) = settings.catalog.get(name).or(configured) else {
            let suggestion = suggest::did_you_mean(name, settings.catalog.names());
            complain(&format!(
                "unknown definition `{name}` (`jobwatch services --definitions` lists them){suggestion}"
            ));
            return Exit::Usage;
        };
        if self.form.toml {
            say(definition.text.trim_end());
        } else if self.form.json {
            say_json(&describe(definition, &settings));
        } else {
            page(&in_words(definition, &settings));
        }
        Exit::Done
    }

    async fn list(&self, settings: &Settings) -> Exit {
        if self.definitions {
            self.list_definitions(settings);
            return Exit::Done;
        }
        let services = match live::ask(&self.daemon).await {
            Ok(services) => services,
            Err(Silence::Usage(exit)) => return exit,
            Err(Silence::Because(reason)) => {
                if !settings.services.is_empty() {
                    note(&format!(
                        "{reason}; these are the services of the configuration"
                    ));
                }
                Vec::new()
            }
        };
        let times = Times::from_now(self.form.utc);
        match (services.as_slice(), self.form.json) {
            ([], _) if settings.services.is_empty() => self.list_definitions(settings),
            ([], true) => say_json(&configured_as_json(settings)),
            ([], false) => page(&configured_services(settings).render()),
            (services, true) => say_json(&services),
            (services, false) => page(&live::table(services, times).render()),
        }
        Exit::Done
    }

    fn list_definitions(&self, settings: &Settings) {
        if self.form.json {
            let all = settings.catalog.all();
            let all: Vec<Value> = all.map(|it| describe(it, settings)).collect();
            say_json(&all);
        } else {
            page(&definitions(settings).render());
        }
    }
}

/// Describes the services of the configuration, while no daemon says how they are.
fn configured_as_json(settings: &Settings) -> Vec<Value> {
    let services = settings.services.iter();
    let shown = services.map(|(name, service)| {
        json!({
            "name": name, "definition": service.definition.name,
            "credential": service.credential, "endpoint": service.base.to_string(),
        })
    });
    shown.collect()
}

/// Lists the services of the configuration, while no daemon says how they are.
fn configured_services(settings: &Settings) -> Table {
    let mut table = Table::new([
        Column::new("SERVICE").at_least(8),
        Column::new("DEFINITION").at_least(8).gives_way(1),
        Column::new("CREDENTIAL").at_least(8).gives_way(2),
        Column::new("URL").at_least(16).gives_way(3),
    ]);
    for (name, service) in &settings.services {
        table.row(vec![
            name.clone(),
            service.definition.name.clone(),
            service.credential.clone(),
            service.base.to_string(),
        ]);
    }
    table
}

fn definitions(settings: &Settings) -> Table {
    let mut table = Table::new([
        Column::new("DEFINITION").whole(),
        Column::new("TITLE").at_least(14),
        Column::new("PARAMS").at_least(10).gives_way(2),
        Column::new("CONFIGURED AS")
            .at_least(10)
            .if_used()
            .gives_way(1),
    ]);
    for definition in settings.catalog.all() {
        table.row(vec![
            definition.name.clone(),
            definition.title.clone(),
            definition.params.join(", "),
            configured(definition, settings).join(", "),
        ]);
    }
    table
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

/// Prints one object for each file, with its errors and warnings.
fn check_as_json(files: &[PathBuf]) -> Exit {
    let mut all = Vec::new();
    let mut exit = Exit::Done;
    for file in files {
        let (errors, warnings, request) = match load_file(file) {
            Ok(definition) => (
                Vec::new(),
                notes(&definition.warnings),
                Some(definition.request.shown()),
            ),
            Err(errors) => {
                exit = Exit::Usage;
                (notes(&errors), Vec::new(), None)
            }
        };
        all.push(json!({
            "file": file.display().to_string(), "valid": errors.is_empty(), "request": request,
            "errors": errors, "warnings": warnings,
        }));
    }
    say_json(&all);
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
