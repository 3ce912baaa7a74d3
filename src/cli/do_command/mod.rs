//! `jobwatch do`: runs the command that creates a job, and watches the job to its end.
//!
//! [`child`] runs the command, [`finder`] finds the job in its output. Standard output belongs to
//! the command; everything of jobwatch goes to standard error.

mod child;
mod finder;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use crate::api::view::WatchView;
use crate::cli::client::{Call, Client, DaemonArgs};
use crate::cli::complaint::{complain, complain_of_usage, note};
use crate::cli::do_command::child::Ran;
use crate::cli::do_command::finder::{Finder, Found};
use crate::cli::exit::Exit;
use crate::cli::filter::exact;
use crate::cli::outage::{Outage, ask_at_start};
use crate::cli::submit::created_job::NoJob;
use crate::cli::submit::{SubmitOptions, remember};
use crate::cli::time_limit::time_limit;
use crate::cli::wait::{Terms, wait_for};
use crate::clock::{SharedClock, SystemClock};
use crate::suggest;

/// The job exists, so a daemon that is away gets this long to come back.
const SUBMIT_MAX: Duration = Duration::from_mins(2);
/// An end from this long before the command does not count.
const MARGIN: Duration = Duration::from_mins(1);

const HELP: &str = "\
Examples:
  jobwatch do --service dcs -i -- curl -si -X POST \"$URL\" -d @request.json
  jobwatch do --service sdrs --id-from 'job_id=(\\S+)' -- ./create.sh

A command that fails ends with its own exit code, and nothing is watched. Otherwise the exit
code is that of the outcome.";

/// Runs a command that creates a job, and waits until the job has ended.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Do {
    /// The configured service that runs the job [default: the only one of the daemon]
    #[arg(long, value_parser = exact)]
    service: Option<String>,
    /// The output has a head and a body, as `curl -i` prints them
    #[arg(short = 'i', long = "include", conflicts_with = "id_from")]
    include: bool,
    /// Find the job id in the output by this regular expression: its first group, or else the
    /// whole match [default: by the definition of the service]
    #[arg(long, value_name = "REGEX", value_parser = Regex::new)]
    id_from: Option<Regex>,
    #[command(flatten)]
    options: SubmitOptions,
    /// End the wait after this time with exit code 3; the daemon continues to watch
    #[arg(long, value_name = "DURATION", value_parser = time_limit)]
    timeout: Option<Duration>,
    /// Print the watch as JSON at the end, after the output of the command
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

#[derive(Deserialize)]
struct Services {
    services: Vec<ServiceName>,
}

#[derive(Deserialize)]
struct ServiceName {
    name: String,
    definition: String,
}

impl Do {
    pub(super) async fn execute(self) -> Exit {
        match self.perform().await {
            Ok(exit) | Err(exit) => exit,
        }
    }

    async fn perform(self) -> Result<Exit, Exit> {
        // Everything that can be wrong is found before the command creates a job.
        let client = Arc::new(self.daemon.client()?);
        let services: Services = ask_at_start(&client, "/v1/services").await?;
        let service = self.service(&services)?;
        let finder = self.finder(service)?;
        self.check(&client, service).await?;
        let clock = SystemClock::shared();
        let began = clock.uptime();
        let ran = child::run(&self.command).await;
        let output = match ran {
            Ran::Succeeded(output) => output,
            Ran::Failed(code) => end_as_the_command(code),
            Ran::NotStarted { reason, code } => {
                complain(&reason);
                end_as_the_command(code);
            }
        };
        let age = clock.uptime().saturating_sub(began);
        let found = finder
            .find(&output)
            .map_err(|reason| no_job(&reason, &service.name))?;
        let body = self.body(service, found, age);
        let watch = submit(&client, &clock, &body).await?;
        remember(&client, std::slice::from_ref(&watch.id));
        let terms = Terms {
            any: false,
            timeout: self.timeout,
            json: self.json,
            is_beside_output: true,
            again: Some("`jobwatch wait --last`"),
        };
        Ok(wait_for(client, &[watch.id], terms).await)
    }

    /// Lets the daemon check the options, before the command creates a job.
    async fn check(&self, client: &Client, service: &ServiceName) -> Result<(), Exit> {
        self.options.check()?;
        let request = self.options.request(&service.name, finder::unnamed());
        let body = serde_json::to_string(&request).expect("string keys only");
        let call = Call::post("/v1/watches/check").json(body);
        match client.stream(call).await {
            Err(error) if !error.is_unknown_call() => Err(error.complain()),
            // A daemon of an earlier version checks at the submission only.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn service<'a>(&self, all: &'a Services) -> Result<&'a ServiceName, Exit> {
        let names = || all.services.iter().map(|service| service.name.as_str());
        let known = || names().collect::<Vec<_>>().join(", ");
        let Some(wanted) = &self.service else {
            return match all.services.as_slice() {
                [only] => Ok(only),
                _ => Err(complain_of_usage(&format!(
                    "give --service, because the daemon has several or none: {}",
                    known()
                ))),
            };
        };
        let found = all.services.iter().find(|service| service.name == *wanted);
        found.ok_or_else(|| {
            let suggestion = suggest::did_you_mean(wanted, names());
            complain_of_usage(&format!(
                "unknown service `{wanted}`{suggestion} (the daemon has: {})",
                known()
            ))
        })
    }

    fn finder(&self, service: &ServiceName) -> Result<Finder, Exit> {
        if let Some(pattern) = &self.id_from {
            return Ok(Finder::Pattern(pattern.clone()));
        }
        let settings = self.daemon.config.load().ok().map(|it| it.settings);
        let definition = settings.and_then(|settings| {
            let configured = settings.services.get(&service.name);
            let configured = configured.map(|it| std::sync::Arc::clone(&it.definition));
            configured.or_else(|| settings.catalog.get(&service.definition).cloned())
        });
        match definition {
            Some(definition) if definition.submit.is_empty() => Err(complain_of_usage(&format!(
                "the definition `{}` cannot read a job id: it has no [submit] section; give --id-from",
                definition.name
            ))),
            Some(definition) => Ok(Finder::Definition(definition, self.include)),
            None => Ok(Finder::Daemon(self.include)),
        }
    }

    /// Composes the body of the submission.
    fn body(&self, service: &ServiceName, found: Found, age: Duration) -> String {
        let (job, response) = match found {
            Found::Job(job) => (job, None),
            Found::Response(response) => (finder::unnamed(), Some(Box::new(response))),
        };
        let mut request = self.options.request(&service.name, job);
        request.response = response;
        // The job cannot have ended before the command that creates it.
        let since = format!("{}s", (age + MARGIN).as_secs());
        request.since.get_or_insert(since);
        serde_json::to_string(&request).expect("string keys only")
    }
}

/// Submits the job, also if the daemon is away for a while: the job exists, and would be lost.
async fn submit(client: &Client, clock: &SharedClock, body: &str) -> Result<WatchView, Exit> {
    let mut outage = Outage::none();
    loop {
        let call = Call::post("/v1/watches").json(body.to_owned());
        let error = match client.try_ask::<WatchView>(call).await {
            Ok(answer) => return Ok(answer.body),
            Err(error) => error,
        };
        let uptime = clock.uptime();
        let pause = outage.failed(uptime, error.retry_after());
        if !error.is_transient() || outage.lasts(uptime) > SUBMIT_MAX {
            let exit = error.complain();
            complain(&format!(
                "the job may run, but is not watched; submit it: {}",
                advice(body)
            ));
            return Err(exit);
        }
        if outage.is_noteworthy(uptime) {
            note(&format!("{error}; the job is submitted once it answers"));
        }
        tokio::time::sleep(pause).await;
    }
}

/// Returns the command that submits the job of this body.
fn advice(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let text = |name: &str| body[name].as_str().unwrap_or("JOB_ID").to_owned();
    format!("`jobwatch submit {} {}`", text("service"), text("job_id"))
}

fn no_job(reason: &NoJob, service: &str) -> Exit {
    match reason {
        NoJob::Refused(status) => {
            complain(&format!(
                "the output is an error answer (HTTP {status}): no job was created"
            ));
            Exit::Failed
        }
        NoJob::Unnamed(reason) => complain_of_usage(&format!(
            "no job id in the output: {reason}. A job may run, but is not watched: `jobwatch submit {service} JOB_ID` watches it"
        )),
    }
}

/// Ends this process as the command ended, with nothing to watch.
fn end_as_the_command(code: u8) -> ! {
    let _ = std::io::stdout().flush();
    std::process::exit(code.into())
}
