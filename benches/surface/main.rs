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

mod bulk;
mod client;
mod cloud;
mod daemon;
mod followers;
mod waits;

use std::time::Duration;

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
