//! The programs that the test needs beside the one under test, and how they are run.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The user of the servers; root may not run them.
const NOBODY: u32 = 65534;

/// The programs that were found.
pub(crate) struct Programs {
    /// The folder with the programs of the server.
    pub(crate) postgres: PathBuf,
    /// The library that changes the time of a process; `None` leaves that fault out.
    pub(crate) faketime: Option<PathBuf>,
}

impl Programs {
    /// Looks for the programs.
    ///
    /// # Errors
    /// Says what is missing.
    pub(crate) fn find() -> Result<Self, String> {
        for (program, package) in [("setpriv", "util-linux"), ("pgbouncer", "pgbouncer")] {
            if !is_there(program) {
                return Err(format!("{program} (package {package})"));
            }
        }
        let below = |folder: &str, rest: &str| {
            let folders = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let mut found: Vec<PathBuf> = folders.map(|it| it.path().join(rest)).collect();
            found.retain(|it| it.exists());
            found.sort();
            found.pop()
        };
        let postgres = below("/usr/lib/postgresql", "bin/initdb");
        let postgres = postgres.and_then(|it| it.parent().map(Path::to_owned));
        Ok(Self {
            postgres: postgres.ok_or("PostgreSQL (package postgresql)")?,
            faketime: below("/usr/lib", "faketime/libfaketimeMT.so.1"),
        })
    }
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

/// Returns a command that runs as nobody, or as this user if it is not root.
pub(crate) fn as_nobody(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        command
            .args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")])
            .arg("--clear-groups");
    }
    command.arg(program);
    command
}

/// Lets commands that run as nobody write to a folder.
pub(crate) fn give_to_nobody(folder: &Path) {
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// Returns a port on which no program listens.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
