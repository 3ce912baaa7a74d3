//! The outcomes of watches. Each outcome is declared once; words, event types, severity and
//! lateness follow from here, and the compiler names every other place that has to decide
//! about a new one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares the outcomes with the word of each, in the order in which documents list them.
macro_rules! outcomes {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal;)+) => {
        /// The end of a watch. An outcome never changes (invariant 5).
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub enum Outcome {
            $($(#[doc = $doc])+ #[serde(rename = $word)] $name,)+
        }

        impl Outcome {
            /// Every outcome, in the order in which documents list them.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$name),+];

            /// Returns the word that SQL, API, events and logs use.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// Returns the type of the event that reports this outcome.
            pub fn event_type(self) -> &'static str {
                match self { $(Self::$name => concat!("dev.jobwatch.job.", $word),)+ }
            }
        }
    };
}

outcomes! {
    /// The service said the job succeeded.
    Succeeded = "succeeded";
    /// The service said the job failed. Nothing else leads here (invariant 1).
    Failed = "failed";
    /// The parent succeeded while a child failed.
    Partial = "partial";
    /// The remote job was cancelled.
    Cancelled = "cancelled";
    /// Our deadline passed without a verdict.
    TimedOut = "timed_out";
    /// The service does not know the job, and that was confirmed.
    Lost = "lost";
    /// The service refused to answer for too long (403, or a request that it does not accept), showed only the
    /// end of an earlier run, or named no next job.
    Unknown = "unknown";
    /// An operator ended the watch.
    Unwatched = "unwatched";
}

/// The meaning of an outcome for the people who wait for the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The job did what it was started for.
    Good,
    /// The job did not do all of it.
    Bad,
    /// A person should find out.
    Unclear,
    /// A person ended the watch and knows.
    Neutral,
}

impl Outcome {
    /// Returns the meaning of this outcome for the people who wait for the job.
    pub fn severity(self) -> Severity {
        match self {
            Self::Succeeded => Severity::Good,
            Self::Failed | Self::Partial => Severity::Bad,
            Self::Cancelled | Self::TimedOut | Self::Lost | Self::Unknown => Severity::Unclear,
            Self::Unwatched => Severity::Neutral,
        }
    }

    /// Returns the place of this outcome among all, the worst first: a job that did not do its work,
    /// one of unknown fate, one that took too long, and one that ended well.
    pub fn rank(self) -> usize {
        match self {
            Self::Failed => 0,
            Self::Partial => 1,
            Self::Cancelled => 2,
            Self::Lost => 3,
            Self::Unknown => 4,
            Self::Unwatched => 5,
            Self::TimedOut => 6,
            Self::Succeeded => 7,
        }
    }

    /// Returns the worst of several outcomes; `None` of none.
    pub fn worst(outcomes: impl IntoIterator<Item = Self>) -> Option<Self> {
        outcomes.into_iter().min_by_key(|outcome| outcome.rank())
    }

    /// True if the service said how the job ended.
    pub const fn is_verdict(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Partial | Self::Cancelled => true,
            Self::TimedOut | Self::Lost | Self::Unknown | Self::Unwatched => false,
        }
    }

    /// True if a verdict may still come: we stopped polling before the service gave one.
    pub const fn may_come_late(self) -> bool {
        match self {
            Self::TimedOut | Self::Lost => true,
            Self::Succeeded
            | Self::Failed
            | Self::Partial
            | Self::Cancelled
            | Self::Unknown
            | Self::Unwatched => false,
        }
    }

    /// True if the poller of a daemon ends watches with this outcome; false if another
    /// process does, and the poller has to find out.
    pub fn is_found_by_polling(self) -> bool {
        match self {
            Self::Succeeded
            | Self::Failed
            | Self::Partial
            | Self::Cancelled
            | Self::TimedOut
            | Self::Lost
            | Self::Unknown => true,
            Self::Unwatched => false,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
