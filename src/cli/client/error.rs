//! The errors of calls, as values: a command may try again, or print them and end.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::cli::complaint::{Problem, complain, complain_problem};
use crate::cli::exit::Exit;

/// A call that did not succeed.
#[derive(Debug)]
pub(crate) enum CallError {
    /// No answer came, or not in time; or it broke off.
    Unreachable {
        /// The address and the cause.
        text: String,
        /// The next step, for a command that does not try again.
        advice: String,
    },
    /// The daemon answered with a problem document.
    Refused(Box<Refusal>),
    /// The answer is not that of a jobwatch, or not of this version.
    Foreign {
        /// The HTTP status, if it was an error.
        status: Option<StatusCode>,
        /// The finding, and the next step.
        text: String,
    },
}

/// A problem document as the daemon sent it, with the facts beside it.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// The pause that the daemon asks for.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) problem: Problem,
}

impl CallError {
    /// True if the same call may succeed later, as after a restart of the daemon.
    pub(crate) fn is_transient(&self) -> bool {
        let status = match self {
            Self::Unreachable { .. } => return true,
            Self::Refused(refusal) => Some(refusal.status),
            Self::Foreign { status, .. } => *status,
        };
        let may_pass = [
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        status.is_some_and(|status| may_pass.contains(&status))
    }

    /// True if the daemon does not have this call, as one of an earlier version.
    pub(crate) fn is_unknown_call(&self) -> bool {
        let status = match self {
            Self::Unreachable { .. } => None,
            Self::Refused(refusal) => Some(refusal.status),
            Self::Foreign { status, .. } => *status,
        };
        let unknown = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
        status.is_some_and(|status| unknown.contains(&status))
    }

    /// Returns the pause that the daemon asks for.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }

    /// Returns the exit code of a command that ends with this error.
    pub(crate) fn exit(&self) -> Exit {
        let status = match self {
            Self::Unreachable { .. } => return Exit::Unreachable,
            Self::Refused(refusal) => Some(refusal.status),
            Self::Foreign { status, .. } => *status,
        };
        if status.is_some_and(|status| status.is_client_error()) {
            Exit::Usage
        } else {
            Exit::Failed
        }
    }

    /// Prints the error, as text or as JSON, and returns its exit code.
    pub(crate) fn complain(&self) -> Exit {
        match self {
            Self::Unreachable { text, advice } => complain(&format!("{text}; {advice}")),
            Self::Foreign { text, .. } => complain(text),
            Self::Refused(refusal) => complain_problem(&refusal.problem),
        }
        self.exit()
    }
}

/// The error without advice, for a command that tries again.
impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { text, .. } | Self::Foreign { text, .. } => f.write_str(text),
            Self::Refused(refusal) => f.write_str(&refusal.problem.for_people()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_that_may_pass_are_transient() {
        let lost = CallError::Unreachable {
            text: "cannot reach it".to_owned(),
            advice: "start it".to_owned(),
        };
        assert!(lost.is_transient() && lost.exit() == Exit::Unreachable);
        assert_eq!(lost.to_string(), "cannot reach it");
        let table = [
            (400, false, Exit::Usage),
            (404, false, Exit::Usage),
            (500, false, Exit::Failed),
            (502, true, Exit::Failed),
            (503, true, Exit::Failed),
        ];
        for (status, is_transient, exit) in table {
            let status = StatusCode::from_u16(status).ok();
            let foreign = CallError::Foreign {
                status,
                text: String::new(),
            };
            assert_eq!(foreign.is_transient(), is_transient, "{status:?}");
            assert_eq!(foreign.exit(), exit, "{status:?}");
            let refused = CallError::Refused(Box::new(Refusal {
                status: status.unwrap(),
                retry_after: None,
                problem: Problem::of("no"),
            }));
            assert_eq!(refused.is_transient(), is_transient, "{status:?}");
        }
    }
}
