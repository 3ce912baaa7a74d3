//! The command line: one file for each command.
//!
//! The exit codes are in [`Exit`].

mod change;
mod check;
mod client;
mod complaint;
mod credentials;
mod db;
mod deliveries;
pub mod demo;
mod exit;
mod explain;
mod glue;
mod list;
#[cfg(test)]
mod manual;
mod output;
mod pair;
mod probe;
mod redrive;
mod response;
mod run;
mod services;
mod show;
mod simulate;
mod sink;
mod stop;
mod submit;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::cli::complaint::{complain, complain_settings, complain_usage};
use crate::diagnostic::Diagnostics;
use crate::settings;
use crate::settings::Loaded;
use crate::tree::source::Sources;

pub use crate::cli::exit::{Code, Exit};

/// The file that is read if it exists and no `--config` is given.
const CONFIG_DEFAULT: &str = "/etc/jobwatch/jobwatch.toml";

/// Watches asynchronous cloud jobs until they end, and reports how each one ended.
#[derive(Parser)]
#[command(name = "jobwatch", version, after_help = after_help())]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  jobwatch demo                                       see it work, without a cloud
  jobwatch check --config jobwatch.toml               check the configuration
  jobwatch credentials --config jobwatch.toml         test the logins
  jobwatch run --config jobwatch.toml                 run the daemon
  jobwatch submit dcs JOB_ID --label deploy=42        watch a job
  curl -si … | jobwatch submit dcs --from-response -  watch the job that curl created
  jobwatch list --state watching                      list the jobs that still run
  jobwatch sink test ops --config jobwatch.toml       send a sample event to a sink
  jobwatch deliveries --state dead                    list failed deliveries, with reasons";

/// The examples and the exit codes.
fn after_help() -> String {
    format!("{EXAMPLES}\n\nExit codes: {}.", Exit::in_words())
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon: poll jobs, send events to sinks, serve the API
    Run(run::Run),
    /// Show a daemon at work on simulated services, for a quarter of a minute
    Demo(demo::Demo),
    /// Simulate DCS, SFS Turbo, SDRS and resources, to try a configuration without a cloud
    Simulate(simulate::Simulate),
    /// Check the configuration, and show the resulting settings
    Check(check::Check),
    /// Test the configured credentials, and show their scope and expiry
    Credentials(credentials::Credentials),
    /// List the definitions of job APIs, and the services configured with them
    Services(services::Services),
    /// Show how a definition reads a recorded answer, and why
    Explain(explain::Explain),
    /// Poll a job once, with the real service, and show how the answer is read
    Probe(probe::Probe),
    /// Submit a job, for the daemon to watch
    Submit(submit::Submit),
    /// List the watches, newest first
    List(list::List),
    /// Show one watch and its transitions
    Show(show::Show),
    /// Stop watching a job; the job itself continues
    Stop(stop::Stop),
    /// List deliveries and dead letters, or show the attempts of one delivery
    Deliveries(deliveries::Deliveries),
    /// Send dead letters to their sinks again
    Redrive(redrive::Redrive),
    /// List the sinks, or send one a signed sample event
    Sink(sink::Sink),
    /// Print a piece of a pipeline that starts a job and waits for its end
    Glue(glue::Glue),
    /// Check the database, or back it up
    Db(db::Db),
}

/// The options that select the configuration.
#[derive(Args, Debug, Clone, Default)]
struct ConfigArgs {
    /// A configuration file; may be repeated, later files override earlier ones [default:
    /// /etc/jobwatch/jobwatch.toml, if it exists]
    #[arg(long = "config", short = 'c', value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl ConfigArgs {
    /// Loads the settings; reports everything that is wrong in them.
    fn load_or_complain(&self) -> Result<Loaded, Exit> {
        self.load().map_err(|diagnostics| {
            complain_settings(&diagnostics);
            Exit::Usage
        })
    }

    fn load(&self) -> Result<Loaded, Diagnostics> {
        settings::load(&self.sources())
    }

    /// Returns the files that the user named, or else the usual one if it exists, and the
    /// environment.
    fn sources(&self) -> Sources {
        let mut sources = self.only_named();
        let default = PathBuf::from(CONFIG_DEFAULT);
        if sources.files.is_empty() && default.exists() {
            sources.files.push(default);
        }
        sources
    }

    /// Returns the files that the user named, and the environment.
    fn only_named(&self) -> Sources {
        Sources {
            files: self.files.clone(),
            environment: environment(),
        }
    }
}

/// Returns the variables of the environment that are valid UTF-8.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Parses the arguments, runs the command and returns its exit code.
pub fn main() -> ExitCode {
    let exit = parsed().map_or_else(|exit| exit, run_to_end);
    complaint::finish(exit);
    exit.into()
}

/// Parses the arguments. With `--json`, also errors are JSON from here on.
fn parsed() -> Result<Cli, Exit> {
    let found = Cli::command()
        .try_get_matches()
        .inspect(|matches| {
            if wants_json(matches) {
                complaint::as_json();
            }
        })
        .and_then(|matches| Cli::from_arg_matches(&matches));
    found.map_err(|error| {
        if !error.use_stderr() {
            // Clap reports `--help` and `--version` as errors too.
            let _ = error.print();
            return Exit::Done;
        }
        if std::env::args_os().any(|argument| argument == "--json") {
            complaint::as_json();
        }
        complain_usage(&error);
        Exit::Usage
    })
}

/// True if the innermost command has the flag `--json`, and it is given.
fn wants_json(matches: &ArgMatches) -> bool {
    if let Some((_, inner)) = matches.subcommand() {
        return wants_json(inner);
    }
    let flag = matches.try_get_one::<bool>("json");
    flag.is_ok_and(|flag| flag == Some(&true))
}

fn run_to_end(cli: Cli) -> Exit {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start threads: {error}"));
            return Exit::Failed;
        }
    };
    let exit = runtime.block_on(cli.command.execute());
    // Blocking calls that a command gave up on must not delay the exit.
    runtime.shutdown_background();
    exit
}

impl Command {
    async fn execute(self) -> Exit {
        match self {
            Self::Run(command) => command.execute().await,
            Self::Demo(command) => command.execute().await,
            Self::Simulate(command) => command.execute().await,
            Self::Check(command) => command.execute(),
            Self::Credentials(command) => command.execute().await,
            Self::Services(command) => command.execute(),
            Self::Explain(command) => command.execute(),
            Self::Probe(command) => command.execute().await,
            Self::Submit(command) => command.execute().await,
            Self::List(command) => command.execute().await,
            Self::Show(command) => command.execute().await,
            Self::Stop(command) => command.execute().await,
            Self::Deliveries(command) => command.execute().await,
            Self::Redrive(command) => command.execute().await,
            Self::Sink(command) => command.execute().await,
            Self::Glue(command) => command.execute(),
            Self::Db(command) => command.execute(),
        }
    }
}
