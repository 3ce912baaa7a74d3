//! The command line: one file a command.
//!
//! Exit codes are a contract: 0 done, 1 failed, 2 wrong usage or configuration, 3 timed
//! out, 4 lost, unknown or unwatched, 5 the daemon cannot be reached, 130 interrupted.

mod check;
mod client;
mod credentials;
mod db;
mod deliveries;
pub mod demo;
mod explain;
mod list;
mod output;
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

use clap::{Args, Parser, Subcommand};

use crate::cli::output::complain;
use crate::diagnostic::Diagnostics;
use crate::settings;
use crate::settings::Loaded;
use crate::tree::source::Sources;

/// Where the settings are when nobody says.
const CONFIG_DEFAULT: &str = "/etc/jobwatch/jobwatch.toml";

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The usage or the configuration is wrong.
    Usage = 2,
    /// The daemon cannot be reached.
    Unreachable = 5,
    /// Somebody interrupted it.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Watches asynchronous cloud jobs until they end, and tells everyone who asked.
#[derive(Parser)]
#[command(name = "jobwatch", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
First minute:
  jobwatch demo                                 see it work, without a cloud
  jobwatch check --config jobwatch.toml         is the configuration right?
  jobwatch credentials --config jobwatch.toml   do the logins work?
  jobwatch run --config jobwatch.toml           watch
  jobwatch submit dcs ff8080818822bbf70188235afc24141a --label deploy=42
  curl -si … | jobwatch submit dcs --from-response -   the id from the creating call
  jobwatch list --state watching
  jobwatch sink test ops --config jobwatch.toml does the receiver take an event?
  jobwatch deliveries --state dead              what could not be delivered, and why

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 5 daemon unreachable,
130 interrupted.";

#[derive(Subcommand)]
enum Command {
    /// Run the daemon: poll jobs, tell sinks, serve the API
    Run(run::Run),
    /// See it work: simulated services, a daemon and a webhook receiver, for a quarter of a minute
    Demo(demo::Demo),
    /// Serve stand-ins of DCS, SFS Turbo and SDRS to rehearse a configuration against
    Simulate(simulate::Simulate),
    /// Check the configuration and show what it comes to
    Check(check::Check),
    /// Try the credentials, and show what they are good for
    Credentials(credentials::Credentials),
    /// Show the definitions of job APIs, and the configured services
    Services(services::Services),
    /// Show how a recorded answer is read by a definition, and why
    Explain(explain::Explain),
    /// Poll a job once, for real, and show how the answer is read
    Probe(probe::Probe),
    /// Have the daemon watch a job
    Submit(submit::Submit),
    /// List watches, newest first
    List(list::List),
    /// Show one watch with its transitions
    Show(show::Show),
    /// Stop watching; the job itself goes on
    Stop(stop::Stop),
    /// List what sinks are owed and what was given up, or show one delivery's attempts
    Deliveries(deliveries::Deliveries),
    /// Owe dead letters again
    Redrive(redrive::Redrive),
    /// List the sinks, or send one a signed sample event
    Sink(sink::Sink),
    /// Check the database, or make a copy of it
    Db(db::Db),
}

/// Where the settings come from.
#[derive(Args, Debug, Clone, Default)]
struct ConfigArgs {
    /// A file of settings; may be given several times, later ones override earlier ones
    /// [default: /etc/jobwatch/jobwatch.toml, if there is one]
    #[arg(long = "config", short = 'c', value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl ConfigArgs {
    fn load(&self) -> Result<Loaded, Diagnostics> {
        let mut files = self.files.clone();
        let default = PathBuf::from(CONFIG_DEFAULT);
        if files.is_empty() && default.exists() {
            files.push(default);
        }
        settings::load(&Sources {
            files,
            environment: environment(),
        })
    }
}

/// The environment, as far as it is text.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors, but come this way.
            let code = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
            // Nobody reads it when even that fails.
            let _ = error.print();
            return code.into();
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start threads: {error}"));
            return Exit::Failed.into();
        }
    };
    let exit = runtime.block_on(cli.command.execute());
    // What was abandoned is not waited for.
    runtime.shutdown_background();
    exit.into()
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
            Self::Db(command) => command.execute(),
        }
    }
}
