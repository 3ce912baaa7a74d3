//! The cost of the surface: the real daemon as a process of its own, and its clients in this one.
//!
//! - *Waits*: ten thousand clients wait, each for its own watch, while a job ends each 10 ms.
//! - *Followers*: a thousand clients follow the log of events, and one of them does not read;
//!   then the daemon is killed and each follower continues after its last event.
//! - *Bulk*: submissions as lines of JSON, over one stream and over 64, beside the same rows
//!   inserted into bare `SQLite` in the same run.
//!
//! `cargo bench --bench surface` prints the figures; `-- waits`, `-- followers` or `-- bulk`
//! measures one part.

#[path = "../process/bare.rs"]
mod bare;
mod bulk;
#[path = "../process/client.rs"]
mod client;
mod cloud;
#[path = "../process/daemon.rs"]
mod daemon;
mod followers;
mod waits;

use std::time::Duration;

use crate::cloud::Cloud;
use crate::daemon::Daemon;

fn main() {
    // `cargo test --all-targets` passes `--test`: nothing is measured then.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let wanted = |name: &str| {
        let mut parts = arguments
            .iter()
            .filter(|it| !it.starts_with('-'))
            .peekable();
        parts.peek().is_none() || parts.any(|it| it == name)
    };
    client::allow_many_files();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if wanted("waits") {
        runtime.block_on(waits::measure());
    }
    if wanted("followers") {
        runtime.block_on(followers::measure());
    }
    if wanted("bulk") {
        runtime.block_on(bulk::measure());
    }
}

/// Starts a daemon that polls the DCS jobs of this cloud only when it is asked to.
async fn start(cloud: &Cloud) -> Daemon {
    let service = format!(
        "[services.dcs]\ndefinition = \"dcs\"\nurl = \"http://{}\"\ncredential = \"fixed\"\n\
         params = {{ project_id = \"p\" }}\nrate = 2000.0\nburst = 2000\nconcurrency = 64\n\
         poll = {{ first = \"1h\", initial = \"1h\", max = \"1h\" }}\n",
        cloud.serve().await,
    );
    Daemon::start(None, &service).await
}

/// Submits watches of DCS jobs with these names in bulk, and returns their ids.
async fn submit(daemon: &Daemon, jobs: &[String]) -> Vec<String> {
    client::submit(daemon.address, &lines(jobs)).await
}

/// Composes the requests to watch DCS jobs with these names.
fn lines(jobs: &[String]) -> Vec<String> {
    let line = |job| format!("{{\"service\":\"dcs\",\"job_id\":\"{job}\"}}\n");
    jobs.iter().map(line).collect()
}

/// Prints a figure beside its goal.
fn print(name: &str, figure: &str, goal: &str) {
    #[expect(clippy::print_stdout, reason = "the output of the benchmark")]
    {
        println!("{name:<52} {figure:>22}   {goal}");
    }
}

/// Returns the value below which this part of the sorted values lies.
fn quantile(sorted: &[Duration], part: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index of a short list"
    )]
    let index = ((sorted.len() as f64 - 1.0) * part).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}
