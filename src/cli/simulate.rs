//! `jobwatch simulate`: serves simulations of the three services, and of resources.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use crate::cli::Exit;
use crate::cli::output::{complain, say, say_json};
use crate::clock::SystemClock;
use crate::lifecycle::Lifecycle;
use crate::simulator::{Simulator, SimulatorOptions};

/// Serves DCS, SFS Turbo and SDRS as documented, and resources; a control API creates their jobs.
#[derive(Args)]
pub(super) struct Simulate {
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1:8630", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// A file with the X-Auth-Tokens to accept, one on each line [default: any token]
    #[arg(long, value_name = "FILE")]
    tokens_file: Option<PathBuf>,
    /// Print the URL as JSON instead of instructions
    #[arg(long)]
    json: bool,
}

impl Simulate {
    pub(super) async fn execute(self) -> Exit {
        match self.serve().await {
            Ok(()) => Exit::Done,
            Err(error) => {
                complain(&format!("{error:#}"));
                Exit::Failed
            }
        }
    }

    async fn serve(self) -> anyhow::Result<()> {
        let tokens = self.tokens_file.map(|file| {
            std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read --tokens-file {}", file.display()))
        });
        let tokens = tokens.transpose()?;
        let options = SimulatorOptions {
            accept_tokens: tokens.map(|text| text.lines().map(str::to_owned).collect()),
            ..SimulatorOptions::default()
        };
        let lifecycle = Lifecycle::default();
        lifecycle.handle_signals()?;
        let simulator = Simulator::bind_with(self.listen, SystemClock::shared(), options)?;
        let at = simulator.local_addr();
        if self.json {
            say_json(&json!({"url": format!("http://{at}")}));
        } else {
            say(&instructions(at));
        }
        simulator.serve(lifecycle.stop.clone()).await;
        Ok(())
    }
}

fn instructions(at: SocketAddr) -> String {
    format!(
        r#"DCS, SFS Turbo and SDRS are simulated at http://{at}; press Ctrl-C to stop.

Create a job that takes ten seconds and fails:
  curl -s http://{at}/_sim/jobs -d '{{"service": "sdrs", "duration": "10s", "outcome": "failed", "reason": "quota"}}'

Configure a service with this URL, and a credential with any token:
  [credentials.sim]
  kind = "token"
  token_file = "token.txt"
  [services.sdrs]
  definition = "sdrs"
  url = "http://{at}"
  credential = "sim"
  params = {{ project_id = "any" }}

A resource has one run after another. Create one whose last end is stale, and watch its next run:
  curl -s http://{at}/_sim/resources -d '{{"job_id": "web", "runs": [{{"run": "a", "starts": "-2h", "duration": "10m", "outcome": "succeeded"}}, {{"run": "b", "starts": "20s", "duration": "10s", "outcome": "failed"}}]}}'
  curl -s http://{at}/_sim/resource.toml --create-dirs -o services/resource.toml

  services_dir = "services"
  [services.resource]
  definition = "resource"
  url = "http://{at}"
  credential = "none"

http://{at}/_sim/ explains all paths, faults, and ways in which a resource misleads."#
    )
}
