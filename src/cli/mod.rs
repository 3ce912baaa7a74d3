//! The command line: one file for each command.
//!
//! The exit codes are in [`Exit`].

mod age;
mod change;
mod check;
mod client;
mod complaint;
mod completions;
mod config;
mod config_args;
mod config_path;
mod credentials;
mod db;
mod deliveries;
pub mod demo;
mod do_command;
mod duration;
mod environment;
mod events;
mod exit;
mod explain;
mod filter;
mod glue;
mod group;
mod guess;
mod health;
mod last;
mod list;
mod man;
#[cfg(test)]
mod manual;
mod online;
mod outage;
mod output;
mod pager;
mod paint;
mod pair;
mod poll;
mod probe;
mod redrive;
mod replicas;
mod response;
mod run;
mod screen;
mod services;
mod show;
mod signals;
mod simulate;
mod sink;
mod stop;
mod submit;
mod table;
mod terminal;
mod time_limit;
mod top;
mod wait;
mod why;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::cli::complaint::{complain, complain_usage};
use crate::cli::config_args::ConfigArgs;

pub use crate::cli::exit::{Code, Exit};

/// Watches asynchronous cloud jobs until they end, and reports how each one ended.
#[derive(Parser)]
#[command(name = "jobwatch", version = env!("JOBWATCH_VERSION"), after_help = after_help())]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    terminal: terminal::Options,
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
    /// Show a daemon at work on simulated services, for about 15 seconds
    Demo(demo::Demo),
    /// Simulate DCS, SFS Turbo, SDRS and resources, to try a configuration without a cloud
    Simulate(simulate::Simulate),
    /// Check the configuration, and show the resulting settings
    Check(check::Check),
    /// Print the default settings, those that apply with their origins, or their files
    Config(config::Config),
    /// Test the configured credentials, and show their scope and expiry
    Credentials(credentials::Credentials),
    /// Show the services and their health, or list the definitions of job APIs
    Services(services::Services),
    /// Show how a definition reads a recorded answer, and why
    Explain(explain::Explain),
    /// Poll a job once, with the real service, and show how the answer is read
    Probe(probe::Probe),
    /// Submit a job, for the daemon to watch
    Submit(submit::Submit),
    /// Run the command that creates a job, and watch the job to its end
    Do(do_command::Do),
    /// Wait until jobs have ended; the exit code is that of the worst outcome
    Wait(wait::Wait),
    /// List the watches, newest first
    List(list::List),
    /// Show one watch and its transitions
    Show(show::Show),
    /// Explain in words what a watch is doing, and why
    Why(why::Why),
    /// Poll jobs now, and show their watches
    Poll(poll::Poll),
    /// Print events, or follow them as they happen
    Events(events::Events),
    /// Show services and watches live, in the whole terminal
    Top(top::Top),
    /// Stop watching a job; the job itself continues
    Stop(stop::Stop),
    /// Show or close a group: several watches whose end is one event
    Group(group::Group),
    /// List deliveries and dead letters, or show the attempts of one delivery
    Deliveries(deliveries::Deliveries),
    /// Send dead letters to their sinks again
    Redrive(redrive::Redrive),
    /// List the sinks, or send one a signed sample event
    Sink(sink::Sink),
    /// Print a piece of a pipeline that starts a job and waits for its end
    Glue(glue::Glue),
    /// List the daemons that share a database, and how many watches each one polls
    Replicas(replicas::Replicas),
    /// Check that the daemon is ready; the exit code is the answer
    Health(health::Health),
    /// Check the database, back it up, or delete old watches from it
    Db(db::Db),
    /// Print the completions of a shell
    Completions(completions::Completions),
    /// Print manual pages, or write them to a folder
    Man(man::Man),
}

/// Parses the arguments, runs the command and returns its exit code.
pub fn main() -> ExitCode {
    let exit = parsed().map_or_else(|exit| exit, run_to_end);
    complaint::finish(exit);
    exit.into()
}

/// Parses the arguments. With `--json`, also errors are JSON from here on.
fn parsed() -> Result<Cli, Exit> {
    let words: Vec<String> = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let program = Cli::command().color(terminal::color_of_help(&words));
    let found = program
        .clone()
        .try_get_matches()
        .inspect(|matches| {
            if wants_json(matches) {
                complaint::as_json();
            }
        })
        .and_then(|matches| Cli::from_arg_matches(&matches));
    found.map_err(|mut error| {
        if !error.use_stderr() {
            // Clap reports `--help` and `--version` as errors too.
            let _ = error.print();
            return Exit::Done;
        }
        if words.iter().any(|word| word == "--json") {
            complaint::as_json();
        }
        guess::advise(&mut error, &program, terminal::first_command(&words));
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
    cli.terminal.set();
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
            Self::Check(command) => command.execute().await,
            Self::Config(command) => command.execute(),
            Self::Credentials(command) => command.execute().await,
            Self::Services(command) => command.execute().await,
            Self::Explain(command) => command.execute(),
            Self::Probe(command) => command.execute().await,
            Self::Submit(command) => command.execute().await,
            Self::Do(command) => command.execute().await,
            Self::Wait(command) => command.execute().await,
            Self::Why(command) => command.execute().await,
            Self::Poll(command) => command.execute().await,
            Self::Events(command) => command.execute().await,
            Self::Top(command) => command.execute().await,
            Self::List(command) => command.execute().await,
            Self::Show(command) => command.execute().await,
            Self::Stop(command) => command.execute().await,
            Self::Group(command) => command.execute().await,
            Self::Deliveries(command) => command.execute().await,
            Self::Redrive(command) => command.execute().await,
            Self::Sink(command) => command.execute().await,
            Self::Glue(command) => command.execute(),
            Self::Replicas(command) => command.execute().await,
            Self::Health(command) => command.execute().await,
            Self::Db(command) => command.execute().await,
            Self::Completions(command) => command.execute(),
            Self::Man(command) => command.execute(),
        }
    }
}
