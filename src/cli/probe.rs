//! `jobwatch probe`: one real poll with the configured credential, and how its answer is
//! read.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::cli::explain::in_words;
use crate::cli::output::{complain, plain, say, say_json};
use crate::cli::submit::pair;
use crate::cli::{ConfigArgs, Exit};
use crate::clock::{SharedClock, SystemClock};
use crate::definition::explain::Explanation;
use crate::service::Probed;
use crate::settings::build;
use crate::suggest;

/// Polls a job once and prints what came of it. Nothing is stored and nobody is told.
#[derive(Args)]
pub(super) struct Probe {
    /// The configured service
    service: String,
    /// The job's id
    job_id: String,
    /// A value for the request that the service does not set
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    params: Vec<(String, String)>,
    /// Print a small table for people instead of JSON
    #[arg(long)]
    human: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// What is printed: the exchange, then what `explain` would say of it.
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
            Ok(exit) => exit,
            Err(message) => {
                complain(&message);
                Exit::Usage
            }
        }
    }

    /// Exits with 0 when the job was seen, and 1 when there was a problem.
    async fn probe(self, clock: &SharedClock) -> Result<Exit, String> {
        let loaded = self
            .config
            .load()
            .map_err(|problems| problems.to_string())?;
        let services = build::services(&loaded.settings, clock).map_err(|e| format!("{e:#}"))?;
        let service = services.get(&self.service).ok_or_else(|| {
            let hint = suggest::did_you_mean(&self.service, services.names());
            let names: Vec<&str> = services.names().collect();
            format!(
                "there is no service `{}`{hint} (configured: {})",
                self.service,
                names.join(", ")
            )
        })?;
        let params = self.params.into_iter().collect();
        let started = clock.uptime();
        let probed = service.probe(&self.job_id, &params, clock.now()).await;
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
