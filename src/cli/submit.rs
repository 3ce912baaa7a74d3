//! `jobwatch submit`: submits a job, for the daemon to watch.

use std::path::{Path, PathBuf};

use clap::Args;
use http::{Method, StatusCode};
use rand::RngExt;
use serde_json::json;

use crate::api::view::WatchView;
use crate::cli::Exit;
use crate::cli::client::DaemonArgs;
use crate::cli::complaint::{complain_of_usage, note};
use crate::cli::explain::{find, read_body};
use crate::cli::output::{say, say_json, time};
use crate::cli::pair::pair;
use crate::cli::response::Response;
use crate::clock::{SystemClock, machine_seeded_rng};
use crate::definition::Definition;
use crate::definition::answer::Answer;
use crate::definition::created_job::CreatedJob;
use crate::watch::request::WatchRequest;
use crate::watch::{CallbackUrl, Expect};
use crate::workers::drop_folder::write_new;

/// Submits one job. A job that is watched already keeps its watch.
#[derive(Args)]
pub(super) struct Submit {
    /// The name of the configured service that runs the job
    service: String,
    /// The id of the job, as returned by the service
    #[arg(required_unless_present = "from_response")]
    job_id: Option<String>,
    /// Take the id from the answer to the call that created the job: a file with its body,
    /// or with head and body as `curl -i` prints them; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "job_id")]
    from_response: Option<PathBuf>,
    /// The definition that reads this answer [default: the definition of the service, or
    /// the definition with the name of the service]
    #[arg(long, value_name = "NAME", requires = "from_response")]
    definition: Option<String>,
    /// A parameter that the configuration of the service does not set, such as
    /// `project_id=…`; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    params: Vec<(String, String)>,
    /// A label that every event carries, such as `deploy=42`; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// The end of the watch at the latest: a duration (`2h`) or a time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    deadline: Option<String>,
    /// The run of the job to watch, where the id names a resource with several runs
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Do not believe an end from before this time (RFC 3339), or from longer ago than this
    /// duration (`10m`) [default: one minute ago]
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Watch the job again although a watch of it has ended with a verdict
    #[arg(long)]
    again: bool,
    /// The end to wait for, if it is not that of the job: `gone` for a deletion
    #[arg(long, value_name = "END", value_parser = expect)]
    expect: Option<Expect>,
    /// Send the events only to this sink; may be repeated
    #[arg(long = "sink", value_name = "NAME")]
    sinks: Vec<String>,
    /// Send the events to this URL too; the daemon must list its host in
    /// `allow_callback_hosts`
    #[arg(long, value_name = "URL")]
    callback_url: Option<String>,
    /// Write the submission into this drop folder of a daemon (`drop_dir`), and print its NAME;
    /// no connection is needed
    #[arg(long, value_name = "DIR")]
    drop: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

fn expect(text: &str) -> Result<Expect, String> {
    Expect::from_word(text).ok_or_else(|| "must be `gone`".to_owned())
}

impl Submit {
    /// Returns the job that the arguments name, or that the creating call has named.
    fn job(&self) -> Result<CreatedJob, Exit> {
        match (&self.job_id, &self.from_response) {
            (Some(job_id), _) => Ok(CreatedJob {
                job_id: job_id.clone(),
                run: None,
                since: None,
            }),
            (None, Some(file)) => self.job_in(file),
            (None, None) => Err(complain_of_usage(
                "give the id of the job, or --from-response",
            )),
        }
    }

    fn job_in(&self, file: &Path) -> Result<CreatedJob, Exit> {
        let definition = find(&self.definition_name(), &self.daemon.config)?;
        let read = job_of(&definition, file);
        read.map_err(|message| complain_of_usage(&message))
    }

    /// Returns `--definition`, or the definition of the service if it is configured on this
    /// machine too; otherwise services often have the name of their definition.
    fn definition_name(&self) -> String {
        let configured = || {
            let services = self.daemon.config.load().ok()?.settings.services;
            Some(services.get(&self.service)?.definition.name.clone())
        };
        let given = self.definition.clone();
        given
            .or_else(configured)
            .unwrap_or_else(|| self.service.clone())
    }

    pub(super) async fn execute(self) -> Exit {
        match self.submit().await {
            Ok(()) => Exit::Done,
            Err(exit) => exit,
        }
    }

    async fn submit(self) -> Result<(), Exit> {
        let job = self.job()?;
        let since = job.since_with_margin();
        let request = WatchRequest {
            service: self.service,
            job_id: job.job_id,
            response: None,
            params: self.params.into_iter().collect(),
            labels: self.labels.into_iter().collect(),
            run: self.run.or(job.run),
            since: self.since.or(since),
            again: self.again,
            expect: self.expect,
            deadline: self.deadline,
            sinks: self.sinks,
            callback_url: self.callback_url.map(CallbackUrl),
            group: None,
            group_size: None,
        };
        let body = serde_json::to_string(&request).expect("string keys only");
        if let Some(folder) = &self.drop {
            return drop_into(folder, &request, &body, self.json);
        }
        let client = self.daemon.client()?;
        let answer = client
            .ask::<WatchView>(Method::POST, "/v1/watches", Some(body))
            .await?;
        let watch = answer.body;
        if !watch.ignored.is_empty() {
            note(&format!(
                "the watch exists already and keeps its own {}; `--again` makes a new one once it has ended",
                watch.ignored.join(", ")
            ));
        }
        if self.json {
            say_json(&watch);
        } else {
            say(&in_words(&watch, answer.status == StatusCode::CREATED));
        }
        Ok(())
    }
}

/// Reads the job id from the answer of the creating call.
fn job_of(definition: &Definition, file: &Path) -> Result<CreatedJob, String> {
    let response = Response::read(&read_body(file)?)?;
    let answer = Answer {
        http_status: response.http_status,
        headers: &response.headers,
        body: &response.body,
        is_cut: false,
    };
    let now = SystemClock::shared().now();
    let created = definition.created_job(&answer, now);
    created.map_err(|why| format!("cannot take a job id from {}: {why}", file.display()))
}

/// Writes a submission into a drop folder, under a name of its own, which it prints.
fn drop_into(folder: &Path, request: &WatchRequest, body: &str, json: bool) -> Result<(), Exit> {
    let faults = request.check();
    if !faults.is_empty() {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        return Err(complain_of_usage(&faults.join("; ")));
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let service: String = request.service.chars().take(64).map(plain).collect();
    let number: u64 = machine_seeded_rng().random();
    let name = format!("{service}-{number:016x}");
    let written = write_new(folder, &name, body);
    written.map_err(|error| {
        let folder = folder.display();
        complain_of_usage(&format!(
            "cannot write the submission into {folder}: {error}"
        ))
    })?;
    if json {
        say_json(&json!({"name": name, "folder": folder}));
    } else {
        say(&name);
    }
    Ok(())
}

fn in_words(watch: &WatchView, is_new: bool) -> String {
    match (is_new, watch.finished_at) {
        (true, _) => format!(
            "{} watching, until {} at the latest",
            watch.id,
            time(watch.deadline)
        ),
        (false, None) => format!("{} is watched already: {}", watch.id, watch.state),
        (false, Some(at)) => format!(
            "{} was watched already and ended as {} at {}; `--again` watches the job once more",
            watch.id,
            watch.state,
            time(at)
        ),
    }
}
