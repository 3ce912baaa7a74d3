//! The exit codes, which are a contract: 0 done, 1 failed, 2 wrong usage or configuration,
//! 5 the daemon cannot be reached, 130 interrupted.

use std::process::ExitCode;

/// The exit code of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The command has done its work.
    Done = 0,
    /// The command failed, or a checked thing is not as it should be.
    Failed = 1,
    /// The arguments or the configuration are wrong; nothing was done.
    Usage = 2,
    /// The daemon did not answer at its URL.
    Unreachable = 5,
    /// SIGINT or SIGTERM ended the command before its end.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
