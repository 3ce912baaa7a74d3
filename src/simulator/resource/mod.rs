//! A resource: an id with one run after another, behind a plain API of our own.
//!
//! `GET /resources/{id}` shows the latest run that has started, as many APIs of deployments,
//! stacks and pipelines do. It is made for the answers that mislead a watcher: the end of an
//! earlier run, an end that does not last, a run in the place of another, a time of 404, an
//! error status that is a verdict, bytes that are not JSON, and a URL that moves.
//!
//! The answer is a pure function of the specification, the time and the number of polls.

mod body;
mod shelf;
mod spec;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use percent_encoding::{percent_decode_str, utf8_percent_encode};

use self::body::Shown;
pub(super) use self::shelf::Shelf;
pub use self::shelf::{ResourcePoll, ResourceView};
pub use self::spec::{Absence, BodyFormat, Flicker, ResourceSpec, RunSpec};
use super::answer::Answer;
use super::faults::Fault;
use super::gateway;
use super::job::PENDING_PART;
use super::service::RESERVED;
use super::spec::Ending;
use crate::clock::later;

/// The message of a failed run that has none of its own.
const FAILURE: &str = "the run failed";

/// A resource, and the number of its polls so far.
struct Resource {
    id: Arc<str>,
    spec: ResourceSpec,
    created: Timestamp,
    polls: u64,
}

/// The URL of a poll: the first one, or one that an answer named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) id: String,
    pub(super) step: Option<u64>,
}

impl Target {
    /// Reads the path of a poll; `None` if it is not that of a resource.
    pub(super) fn of(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/resources/")?;
        let (id, step) = match rest.split_once('/') {
            Some((id, tail)) => (id, Some(tail.strip_prefix("steps/")?.parse().ok()?)),
            None => (rest, None),
        };
        (!id.is_empty()).then(|| Self {
            id: percent_decode_str(id).decode_utf8_lossy().into(),
            step,
        })
    }
}

/// Returns the path of a resource, or of one of its steps.
fn path_of(id: &str, step: Option<u64>) -> String {
    let id = utf8_percent_encode(id, RESERVED);
    match step {
        Some(step) => format!("/resources/{id}/steps/{step}"),
        None => format!("/resources/{id}"),
    }
}

impl Resource {
    /// Answers the next poll; its number decides on faults and on the flicker.
    fn answer(&self, step: Option<u64>, now: Timestamp) -> Answer {
        let format = self.spec.format;
        let faults = &self.spec.faults;
        let answer = match faults.fault_after(self.polls) {
            Fault::ServerError(status) => body::error(format, status, "the service is not well"),
            Fault::Throttled(retry_after) => Answer {
                retry_after: gateway::retry_after_header(retry_after, now),
                ..body::error(format, 429, "there are too many requests")
            },
            Fault::Forbidden => body::error(format, 403, "the resource may not be read"),
            Fault::Malformed => gateway::html_page(),
            Fault::Torn => Answer {
                is_torn: true,
                ..self.served(step, now)
            },
            Fault::None => self.served(step, now),
        };
        Answer {
            delay: faults.slow,
            ..answer
        }
    }

    fn served(&self, step: Option<u64>, now: Timestamp) -> Answer {
        let is_named = step.is_none_or(|step| self.spec.moving && step <= self.polls);
        let shown = self.shown(now).filter(|_| is_named);
        let Some(shown) = shown else {
            return body::unknown(self.spec.format);
        };
        let next = self.spec.moving.then_some(self.polls + 1);
        let has_failed = shown.status == word(Ending::Failed);
        let status = self.spec.failure_status.filter(|_| has_failed);
        Answer {
            status: status.unwrap_or(200),
            location: next.map(|step| path_of(&self.id, Some(step))),
            ..body::resource(self.spec.format, &shown, self.spec.odd_bytes)
        }
    }

    /// Returns the resource as it shows at `now`; `None` if it is not found.
    fn shown(&self, now: Timestamp) -> Option<Shown<'_>> {
        if self.is_absent(now) {
            return None;
        }
        let (run, began) = self
            .spec
            .runs
            .iter()
            .map(|run| (run, moved(self.created, run.starts)))
            .rfind(|(_, began)| *began <= now)?;
        let ends = later(began, run.duration);
        let has_ended = run.outcome != Ending::Never && now >= ends;
        let end = match self.flickering() {
            _ if has_ended => Some((run.outcome, ends)),
            Some(outcome) => Some((outcome, now)),
            None => None,
        };
        let is_pending = now < later(began, run.duration / PENDING_PART);
        let status = match end {
            Some((outcome, _)) => word(outcome),
            None if is_pending => "pending",
            None => self
                .spec
                .faults
                .unknown_status
                .as_deref()
                .unwrap_or("running"),
        };
        let has_failed = end.is_some_and(|(outcome, _)| outcome == Ending::Failed);
        Some(Shown {
            id: &self.id,
            run: &run.run,
            status,
            began_at: began,
            ended_at: end.map(|(_, at)| at),
            message: has_failed.then(|| run.message.as_deref().unwrap_or(FAILURE)),
        })
    }

    fn is_absent(&self, now: Timestamp) -> bool {
        let is_within = |from: Duration, lasts: Duration| {
            let from = later(self.created, from);
            now >= from && now < later(from, lasts)
        };
        let absence = self.spec.not_found.as_ref();
        is_within(Duration::ZERO, self.spec.faults.not_found_for)
            || absence.is_some_and(|absence| is_within(absence.from, absence.lasts))
    }

    /// Returns the end that the next poll shows although the run goes on.
    fn flickering(&self) -> Option<Ending> {
        let flicker = self.spec.flicker.as_ref()?;
        let passed = self.polls.checked_sub(flicker.after.into())?;
        (passed < flicker.polls.into()).then_some(flicker.shows)
    }
}

fn word(outcome: Ending) -> &'static str {
    match outcome {
        Ending::Succeeded => "succeeded",
        Ending::Failed => "failed",
        Ending::Never => "running",
    }
}

fn moved(time: Timestamp, by: SignedDuration) -> Timestamp {
    let limit = if by.is_negative() {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    time.checked_add(by).unwrap_or(limit)
}

#[cfg(test)]
mod tests;
