//! The `jobwatch` program: everything is in the library, from `cli` on.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobwatch::cli::main()
}
