//! `jobwatch submit`: have the daemon watch a job.

use clap::Args;
use http::Method;
use http::StatusCode;

use crate::api::view::WatchView;
use crate::cli::Exit;
use crate::cli::client::DaemonArgs;
use crate::cli::output::say;
use crate::cli::output::say_json;
use crate::cli::output::time;
use crate::intake::WatchRequest;

/// Submits one job. The same job again gives the watch there is.
#[derive(Args)]
pub(super) struct Submit {
    /// The configured service that answers for the job
    service: String,
    /// The job's id, as the service gave it
    job_id: String,
    /// A value for the request that the service does not set, such as `project_id=…`
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    params: Vec<(String, String)>,
    /// Free text that every event carries, such as `deploy=42`
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// How long the watch may take (`2h`), or until when (RFC 3339)
    #[arg(long)]
    deadline: Option<String>,
    /// Tell only this sink; may be given several times
    #[arg(long = "sink", value_name = "NAME")]
    sinks: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

/// Splits `NAME=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "must be NAME=VALUE".to_owned())
}

impl Submit {
    pub(super) async fn execute(self) -> Exit {
        match self.submit().await {
            Ok(()) => Exit::Done,
            Err(exit) => exit,
        }
    }

    async fn submit(self) -> Result<(), Exit> {
        let request = WatchRequest {
            service: self.service,
            job_id: self.job_id,
            params: self.params.into_iter().collect(),
            labels: self.labels.into_iter().collect(),
            deadline: self.deadline,
            sinks: self.sinks,
        };
        let body = serde_json::to_string(&request).expect("string keys only");
        let client = self.daemon.client()?;
        let answer = client
            .ask::<WatchView>(Method::POST, "/v1/watches", Some(body))
            .await?;
        let watch = answer.body;
        if self.json {
            say_json(&watch);
        } else if answer.status == StatusCode::CREATED {
            say(&format!(
                "{} watching, until {} at the latest",
                watch.id,
                time(watch.deadline)
            ));
        } else {
            let how = if watch.finished_at.is_some() {
                "was watched already, and ended as"
            } else {
                "is watched already:"
            };
            say(&format!("{} {how} {}", watch.id, watch.state));
        }
        Ok(())
    }
}
