//! Gives the program the version that `--version` shows, with commit and date.
//!
//! `JOBWATCH_COMMIT` names them (`abc123def 2026-11-26`) where a build has no repository. Builds
//! for development do not look at the repository: a commit would compile everything again.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=JOBWATCH_COMMIT");
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let given = env::var("JOBWATCH_COMMIT").ok();
    let given = given.map(|text| text.trim().to_owned());
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = given
        .filter(|text| !text.is_empty())
        .or_else(|| is_release.then(head).flatten());
    let shown = match commit {
        Some(commit) => format!("{version} ({commit})"),
        None if is_release => version,
        None => format!("{version} (development build)"),
    };
    println!("cargo::rustc-env=JOBWATCH_VERSION={shown}");
}

/// Returns commit and date of `HEAD`, and asks cargo to run this again when it moves.
fn head() -> Option<String> {
    // Sources that were copied into another repository have no commit of their own.
    if git(&["rev-parse", "--show-prefix"])?.is_empty() {
        for name in ["HEAD", "logs/HEAD"] {
            let path = git(&["rev-parse", "--git-path", name])?;
            // Cargo would run this each time for a file that does not exist.
            if Path::new(&path).exists() {
                println!("cargo::rerun-if-changed={path}");
            }
        }
        return git(&["log", "-1", "--abbrev=9", "--format=%h %cs"]);
    }
    None
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
