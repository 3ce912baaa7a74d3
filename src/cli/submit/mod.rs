//! `jobwatch submit`: submits jobs, for the daemon to watch.
//!
//! [`options`] are those of a submission, [`created_job`] reads the answer of a creating call, and
//! [`bulk`] submits many jobs in one stream.

mod bulk;
pub(super) mod created_job;
mod drop_file;
mod ids;
mod options;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use http::{Method, StatusCode};

use crate::api::view::WatchView;
use crate::cli::client::{Client, DaemonArgs};
use crate::cli::complaint::{complain, complain_of_usage, note};
use crate::cli::exit::Exit;
use crate::cli::explain::{find, read_body};
use crate::cli::filter::exact;
use crate::cli::last;
use crate::cli::outage::ask_at_start;
use crate::cli::output::{say, say_json, time};
use crate::cli::submit::bulk::{Input, Item};
use crate::cli::submit::created_job::NoJob;
use crate::cli::submit::ids::Line;
use crate::cli::time_limit::time_limit;
use crate::cli::wait::{Terms, wait_for};
use crate::definition::created_job::CreatedJob;
use crate::watch::request::WatchRequest;

pub(super) use crate::cli::submit::options::SubmitOptions;

/// The name that stands for standard input.
const STDIN: &str = "-";

const HELP: &str = "\
Examples:
  jobwatch submit dcs ff8080826b45d4a5016b5036242c0025 --wait --timeout 1h
  create-many | jobwatch submit dcs - --group tonight     ids, one on each line
  jobwatch submit --bulk bodies.ndjson                    bodies of POST /v1/watches

Sending the same job again is safe: it keeps its watch.";

/// Submits jobs. A job that is watched already keeps its watch.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Submit {
    /// The name of the configured service that runs the jobs
    #[arg(required_unless_present = "bulk", value_parser = exact)]
    service: Option<String>,
    /// The ids of the jobs, as returned by the service; - reads them from standard input, one
    /// on each line
    #[arg(
        value_name = "JOB_ID",
        value_parser = exact,
        required_unless_present_any = ["from_response", "bulk"]
    )]
    job_ids: Vec<String>,
    /// Take the id from the answer to the call that created the job: a file with its body,
    /// or with head and body as `curl -i` prints them; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "job_ids")]
    from_response: Option<PathBuf>,
    /// The definition that reads this answer [default: the definition of the service, or
    /// the definition with the name of the service]
    #[arg(long, value_name = "NAME", requires = "from_response")]
    definition: Option<String>,
    /// Submit the jobs in this file, - for standard input: JSON bodies as POST /v1/watches takes
    /// them, one on each line
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "service", "job_ids", "from_response", "params", "labels", "group", "group_size",
        "deadline", "run", "since", "again", "expect", "sinks", "callback_url",
    ])]
    bulk: Option<PathBuf>,
    #[command(flatten)]
    options: SubmitOptions,
    /// Write the submission into this drop folder of a daemon (`drop_dir`), and print its NAME;
    /// no connection is needed
    #[arg(long, value_name = "DIR", conflicts_with_all = ["bulk", "wait"])]
    drop: Option<PathBuf>,
    /// Wait until the jobs have ended; the exit code is that of the worst outcome
    #[arg(long)]
    wait: bool,
    /// End the wait after this time with exit code 3; the daemon continues to watch
    #[arg(long, value_name = "DURATION", value_parser = time_limit, requires = "wait")]
    timeout: Option<Duration>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

impl Submit {
    pub(super) async fn execute(self) -> Exit {
        match self.submit().await {
            Ok(exit) | Err(exit) => exit,
        }
    }

    async fn submit(self) -> Result<Exit, Exit> {
        // Input that is wrong is found before the daemon is asked.
        self.options.check()?;
        let request = self.single()?;
        if let Some(folder) = &self.drop {
            let request = request.ok_or_else(|| {
                complain_of_usage("--drop writes one submission: give the id of one job")
            })?;
            return drop_file::write(folder, &request, self.json).map(|()| Exit::Done);
        }
        let client = Arc::new(self.daemon.client()?);
        let (ids, exit) = match request {
            Some(request) => (vec![self.submit_one(&client, &request).await?], Exit::Done),
            None => self.submit_many(&client).await?,
        };
        remember(&client, &ids);
        if !self.wait {
            return Ok(exit);
        }
        if ids.is_empty() {
            // The program that should have written the ids may have failed.
            complain("no job was submitted, so there is nothing to wait for");
            return Ok(exit.worst(Exit::Usage));
        }
        let terms = Terms {
            any: false,
            timeout: self.timeout,
            json: self.json,
            is_beside_output: false,
            again: Some("`jobwatch wait --last`"),
        };
        let waited = wait_for(client, &ids, terms).await;
        Ok(exit.worst(waited))
    }

    /// Returns the request, if exactly one job is submitted.
    fn single(&self) -> Result<Option<WatchRequest>, Exit> {
        let service = self.service.as_deref().unwrap_or_default();
        let job = match (&self.from_response, self.job_ids.as_slice()) {
            (Some(file), _) => self.job_in(service, file)?,
            (None, [id]) if id != STDIN => named(id),
            (None, ids) if ids.len() > 1 && ids.iter().any(|id| id == STDIN) => {
                return Err(complain_of_usage("`-` stands for all ids: give it alone"));
            }
            (None, _) => return Ok(None),
        };
        Ok(Some(self.options.request(service, job)))
    }

    fn job_in(&self, service: &str, file: &Path) -> Result<CreatedJob, Exit> {
        let config = &self.daemon.config;
        let definition = self.definition.clone();
        let definition = definition.unwrap_or_else(|| created_job::definition_of(service, config));
        let definition = find(&definition, config)?;
        let bytes = read_body(file).map_err(|message| complain_of_usage(&message))?;
        let file = file.display();
        created_job::read(&definition, &bytes).map_err(|reason| match reason {
            NoJob::Refused(status) => complain_of_usage(&format!(
                "{file} is an error answer (HTTP {status}): no job was created"
            )),
            NoJob::Unnamed(reason) => complain_of_usage(&format!("{file}: {reason}")),
        })
    }

    /// Submits a job and prints its watch; returns the id of the watch.
    async fn submit_one(&self, client: &Client, request: &WatchRequest) -> Result<String, Exit> {
        let body = Some(json(request));
        let answer = client.ask::<WatchView>(Method::POST, "/v1/watches", body);
        let answer = answer.await?;
        let watch = answer.body;
        if !watch.ignored.is_empty() {
            note(&format!(
                "the watch exists already and keeps its own {}; `--again` makes a new one once it has ended",
                watch.ignored.join(", ")
            ));
        }
        match (self.json, self.wait) {
            // The wait prints the watch at its end.
            (true, true) => {}
            (true, false) => say_json(&watch),
            (false, _) => say(&in_words(&watch, answer.status == StatusCode::CREATED)),
        }
        Ok(watch.id)
    }

    /// Submits ids or bodies in one stream; returns the ids of their watches.
    async fn submit_many(&self, client: &Client) -> Result<(Vec<String>, Exit), Exit> {
        let input = match (&self.bulk, self.job_ids.as_slice()) {
            (Some(file), _) => bulk::open(file),
            (None, [id]) if id == STDIN => bulk::open(Path::new(STDIN)),
            (None, ids) => Ok(Input::Lines(ids.to_vec())),
        };
        let input = input.map_err(|message| complain_of_usage(&message))?;
        // A daemon that is not there is found before the input is read.
        let _: serde_json::Value = ask_at_start(client, "/v1/services").await?;
        let results = if self.bulk.is_some() {
            bulk::submit(client, input, body, self.json).await?
        } else {
            let service = self.service.clone().unwrap_or_default();
            let options = self.options.clone();
            let item = move |line: &str| match ids::line(line) {
                Line::Nothing => Item::Nothing,
                Line::Wrong(reason) => Item::Wrong(reason.to_owned()),
                Line::Id(id) => Item::Body(json(&options.request(&service, named(id)))),
            };
            bulk::submit(client, input, item, self.json).await?
        };
        note(&results.in_words());
        let exit = results.exit();
        Ok((results.ids, exit))
    }
}

/// Returns the job with an id that the user gave.
fn named(id: &str) -> CreatedJob {
    CreatedJob {
        job_id: id.to_owned(),
        run: None,
        since: None,
    }
}

/// Takes a line of `--bulk` as it is; the daemon checks it.
fn body(line: &str) -> Item {
    if line.trim().is_empty() {
        Item::Nothing
    } else {
        Item::Body(line.to_owned())
    }
}

fn json(request: &WatchRequest) -> String {
    serde_json::to_string(request).expect("string keys only")
}

/// Keeps the ids for `wait --last`. Without a folder for them, the submission is as good.
pub(super) fn remember(client: &Client, ids: &[String]) {
    if let Some(file) = last::file() {
        let _ = last::remember(&file, client.shown(), ids);
    }
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
