//! The whole daemon as a process of its own, beside the bare work that any program would do.
//!
//! The daemon runs on one core. Its cloud and the receiver of its webhooks (one epoll loop) and
//! its clients run on another, so that only its own work counts. Each figure is printed beside
//! its limit, measured in the same run: bare reqwest making the same requests as a process of its
//! own on the core of the daemon, or bare `SQLite` with the same rows.
//!
//! - *polls*: the CPU time of a poll, when as many are made as one core can make;
//! - *paced*: ten thousand jobs, polled every 2 s, with a signed webhook each;
//! - *transitions*: the CPU time of an end, with its event and one delivery;
//! - *submissions*: one by one, over 64 connections;
//! - *log*: events through the log sink, as fast as submissions in bulk cause them;
//! - *stored*: the start, the memory and the lists, with many stored watches.
//!
//! `cargo bench --bench whole` measures all parts; `-- polls` one of them. `-- stored
//! stored=50000` changes a size, and `-- --small` makes all of them small: the figures then mean
//! little, and everything must still work.

mod arguments;
#[path = "../process/bare.rs"]
mod bare;
mod board;
#[path = "../process/client.rs"]
mod client;
mod cores;
mod cpu;
#[path = "../process/daemon.rs"]
mod daemon;
mod lists;
mod log_lines;
mod log_sink;
mod paced;
mod polls;
mod print;
mod requests;
mod settings;
mod stored;
mod stub;
mod submissions;
mod transitions;
mod waiting;

use std::process::ExitCode;

use crate::arguments::{Part, Plan};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments
        .first()
        .is_some_and(|first| first == requests::COMMAND)
    {
        requests::make(&arguments[1..]);
        return ExitCode::SUCCESS;
    }
    // Only `cargo bench` passes `--bench`: `cargo test --all-targets` measures nothing.
    let asked = ["--bench", "--small"];
    if !arguments.iter().any(|it| asked.contains(&it.as_str())) {
        return ExitCode::SUCCESS;
    }
    let plan = match Plan::read(&arguments, cores::two()) {
        Ok(plan) => plan,
        Err(error) => {
            print::text(&error);
            return ExitCode::FAILURE;
        }
    };
    client::allow_many_files();
    daemon::stay_on(plan.cores.ours);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(measure(&plan));
    ExitCode::SUCCESS
}

async fn measure(plan: &Plan) {
    print::text(&plan.cores.to_string());
    for part in &plan.parts {
        match part {
            Part::Polls => polls::measure(plan).await,
            Part::Paced => paced::measure(plan).await,
            Part::Transitions => transitions::measure(plan).await,
            Part::Submissions => submissions::measure(plan).await,
            Part::Log => log_sink::measure(plan).await,
            Part::Stored => stored::measure(plan).await,
        }
    }
}
