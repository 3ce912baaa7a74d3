//! `jobwatch probe`: polls a job once with the configured credential, and shows how the
//! answer is read.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::cli::complaint::complain_of_usage;
use crate::cli::explain::in_words;
use crate::cli::output::{plain, say, say_json};
use crate::cli::pair::{job_id, pair};
use crate::cli::{ConfigArgs, Exit};
use crate::clock::{SharedClock, SystemClock};
use crate::definition::explain::Explanation;
use crate::service::poll::Probed;
use crate::service::subject::Subject;
use crate::settings::build;
use crate::suggest;
use crate::watch::Params;

/// Polls a job once and prints the reading. Nothing is stored and no event is sent.
#[derive(Args)]
pub(super) struct Probe {
    /// The name of a configured service
    service: String,
    /// The id of the job
    #[arg(value_parser = job_id)]
    job_id: String,
    /// A param that the configuration of the service does not set, such as `project_id=…`; may be
    /// repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    params: Vec<(String, String)>,
    /// Print JSON, also for errors; the result is JSON without it as well
    #[arg(long, conflicts_with = "human")]
    json: bool,
    /// Print a table for people instead of JSON
    #[arg(long)]
    human: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// The output: the exchange, then the same reading as from `explain`.
#[derive(Serialize)]
struct Report {
    request: String,
    http_status: Option<u16>,
    took_ms: u128,
    #[serde(flatten)]
    explanation: Explanation,
}

impl Probe {
    pub(super) async fn execute(self) -> Exit {
        let clock = SystemClock::shared();
        match self.probe(&clock).await {
            Ok(exit) | Err(exit) => exit,
        }
    }

    /// Returns exit code 0 if the job was seen, and 1 if the poll failed.
    async fn probe(self, clock: &SharedClock) -> Result<Exit, Exit> {
        let loaded = self.config.load_or_complain()?;
        let services = build::services(&loaded.settings, clock)
            .map_err(|error| complain_of_usage(&format!("{error:#}")))?;
        let service = services.get(&self.service).ok_or_else(|| {
            let suggestion = suggest::did_you_mean(&self.service, services.names());
            let names: Vec<&str> = services.names().collect();
            complain_of_usage(&format!(
                "unknown service `{}` (configured: {}){suggestion}",
                self.service,
                names.join(", ")
            ))
        })?;
        let params: Params = self.params.into_iter().collect();
        let known: Vec<&str> = service.param_names().collect();
        if let Some(name) = params.keys().find(|it| !known.contains(&it.as_str())) {
            let suggestion = suggest::did_you_mean(name, known.iter().copied());
            let known = known.join(", ");
            return Err(complain_of_usage(&format!(
                "unknown param `{name}` of the service `{}` (known: {known}){suggestion}",
                self.service
            )));
        }
        let started = clock.uptime();
        let probed = service
            .probe(&Subject::new(&self.job_id, &params), clock.now())
            .await;
        let took = clock.uptime().saturating_sub(started);
        let exit = match probed.explanation {
            Explanation::Sighting(_) => Exit::Done,
            Explanation::Problem(_) => Exit::Failed,
        };
        print(probed, took, self.human);
        Ok(exit)
    }
}

fn print(probed: Probed, took: Duration, human: bool) {
    let report = Report {
        request: probed.request,
        http_status: probed.http_status,
        took_ms: took.as_millis(),
        explanation: probed.explanation,
    };
    if !human {
        say_json(&report);
        return;
    }
    let status = report
        .http_status
        .map_or_else(|| "no answer".to_owned(), |s| format!("HTTP {s}"));
    say(&format!(
        "{}\n{status} after {} ms\n",
        plain(&report.request),
        report.took_ms
    ));
    say(&in_words(&report.explanation));
}
