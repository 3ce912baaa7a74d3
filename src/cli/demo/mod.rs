//! `jobwatch demo`: see it work.

use clap::Args;

use crate::cli::Exit;

/// Runs the demo.
#[derive(Args)]
pub struct Demo {}

impl Demo {
    pub(super) async fn execute(self) -> Exit {
        Exit::Done
    }
}
