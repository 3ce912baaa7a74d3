//! `jobwatch completions`: prints the completions of a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::output::say;
use crate::cli::{Cli, Exit};

const HELP: &str = "\
Examples:
  jobwatch completions bash > /usr/share/bash-completion/completions/jobwatch
  jobwatch completions zsh > \"${fpath[1]}/_jobwatch\"
  jobwatch completions fish > ~/.config/fish/completions/jobwatch.fish";

/// Prints a script that completes commands and options.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(super) fn execute(&self) -> Exit {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "jobwatch", &mut script);
        say(String::from_utf8_lossy(&script).trim_end());
        Exit::Done
    }
}
