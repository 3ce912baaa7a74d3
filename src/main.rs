//! The `jobwatch` program. All of its code is in the library; the first step is `cli::main`.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobwatch::cli::main()
}
