//! The exit codes, which are a contract. The table [`TABLE`] is the only list of them: the
//! help, the documents and the tests derive from it.

use std::fmt::Write as _;
use std::process::ExitCode;

use crate::watch::{Outcome, State};

/// The exit code of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The command has done its work, or the job has succeeded.
    Done = 0,
    /// The command failed, or the job did not succeed.
    Failed = 1,
    /// The arguments or the configuration are wrong; nothing was done.
    Usage = 2,
    /// The time for the job, or for the command, passed before the job ended.
    TimedOut = 3,
    /// The watch has ended, and it is not known how the job ends.
    Unclear = 4,
    /// The daemon did not answer at its URL.
    Unreachable = 5,
    /// SIGINT or SIGTERM ended the command before its end.
    Interrupted = 130,
}

/// One row of the list of exit codes.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    pub exit: Exit,
    /// A word or two, for a sentence that lists all codes.
    pub word: &'static str,
    /// The meaning, as a sentence without a full stop.
    pub meaning: &'static str,
}

const TABLE: &[Code] = &[
    Code {
        exit: Exit::Done,
        word: "done",
        meaning: "the command has done its work; of a wait: every job succeeded",
    },
    Code {
        exit: Exit::Failed,
        word: "failed",
        meaning: "the command failed; of a wait: a job failed, succeeded in part or was cancelled",
    },
    Code {
        exit: Exit::Usage,
        word: "wrong usage or configuration",
        meaning: "the arguments or the configuration are wrong, or the daemon refused the request",
    },
    Code {
        exit: Exit::TimedOut,
        word: "timed out",
        meaning: "the watch passed its deadline, or the command its `--timeout`",
    },
    Code {
        exit: Exit::Unclear,
        word: "unclear",
        meaning: "a watch ended as `lost`, `unknown` or `unwatched`: how the job ended is not known",
    },
    Code {
        exit: Exit::Unreachable,
        word: "daemon unreachable",
        meaning: "the daemon did not answer at its URL",
    },
    Code {
        exit: Exit::Interrupted,
        word: "interrupted",
        meaning: "SIGINT or SIGTERM ended the command",
    },
];

impl Exit {
    /// Returns the list of all exit codes, in ascending order.
    pub fn table() -> &'static [Code] {
        TABLE
    }

    /// Returns the number that the caller of the program sees.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Returns the exit code that stands for this outcome of a watch.
    pub fn of_outcome(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Done,
            Outcome::Failed | Outcome::Partial | Outcome::Cancelled => Self::Failed,
            Outcome::TimedOut => Self::TimedOut,
            Outcome::Lost | Outcome::Unknown | Outcome::Unwatched => Self::Unclear,
        }
    }

    /// Returns the exit code for the word of a state; nothing while it is watched.
    pub fn of_state(state: &str) -> Option<Self> {
        match state.parse() {
            Ok(State::Final(outcome)) => Some(Self::of_outcome(outcome)),
            Ok(State::Watching) | Err(_) => None,
        }
    }

    /// Returns the worse of two results of watches, in the order 1, 4, 3, 0. The other
    /// codes say that the command itself could not go on: they are worse than any result.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        if other.badness() > self.badness() {
            other
        } else {
            self
        }
    }

    fn badness(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::TimedOut => 1,
            Self::Unclear => 2,
            Self::Failed => 3,
            Self::Usage => 4,
            Self::Unreachable => 5,
            Self::Interrupted => 6,
        }
    }

    /// Lists all codes in one sentence, for the help.
    pub(super) fn in_words() -> String {
        let mut text = String::new();
        for code in TABLE {
            let mark = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{mark}{} {}", code.exit.code(), code.word);
        }
        text
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lists_each_code_once_in_order() {
        let codes: Vec<u8> = Exit::table().iter().map(|code| code.exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 130]);
    }

    #[test]
    fn the_worst_of_several_results_counts() {
        let of = |exits: &[Exit]| exits.iter().copied().fold(Exit::Done, Exit::worst);
        assert_eq!(of(&[]), Exit::Done);
        assert_eq!(of(&[Exit::TimedOut, Exit::Done]), Exit::TimedOut);
        assert_eq!(of(&[Exit::TimedOut, Exit::Unclear]), Exit::Unclear);
        assert_eq!(of(&[Exit::Failed, Exit::Unclear]), Exit::Failed);
        assert_eq!(of(&[Exit::Failed, Exit::Unreachable]), Exit::Unreachable);
    }

    #[test]
    fn every_outcome_has_its_code() {
        let codes: Vec<u8> = Outcome::ALL
            .into_iter()
            .map(|outcome| Exit::of_outcome(outcome).code())
            .collect();
        assert_eq!(codes, [0, 1, 1, 1, 3, 4, 4, 4]);
        assert_eq!(Exit::of_state("timed_out"), Some(Exit::TimedOut));
        assert_eq!(Exit::of_state("watching"), None);
    }

    #[test]
    fn the_sentence_names_every_code() {
        let words = Exit::in_words();
        assert!(
            words.starts_with("0 done, 1 failed, 2 wrong usage"),
            "{words}"
        );
        assert!(words.ends_with("130 interrupted"), "{words}");
    }
}
