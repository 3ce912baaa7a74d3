//! What subscribers are told: `CloudEvents` 1.0 in structured JSON.
//!
//! The id of an event is a `UUIDv5` of the watch, what happened and its number. Whoever
//! writes the same fact, and however often, writes the same id: receivers can tell a
//! repetition from news. The body is composed once, stored, and sent as stored.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::watch::observation::{Child, Job, ProblemNote};
use crate::watch::{Outcome, State, Watch};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A watch was accepted.
    Accepted,
    /// The job looks different from before.
    Changed,
    /// The job waits for a person.
    Held,
    /// The watch is over.
    Finished(Outcome),
    /// The watch had ended without a verdict, and now there is one. Its outcome stays.
    LateResult,
}

impl EventKind {
    /// Every kind there is, for filters and documents.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Accepted, Self::Changed, Self::Held, Self::LateResult]
            .into_iter()
            .chain(Outcome::ALL.into_iter().map(Self::Finished))
    }

    /// The `CloudEvents` `type`.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Accepted => "dev.jobwatch.watch.accepted",
            Self::Changed => "dev.jobwatch.job.changed",
            Self::Held => "dev.jobwatch.job.held",
            Self::LateResult => "dev.jobwatch.job.late_result",
            Self::Finished(outcome) => match outcome {
                Outcome::Succeeded => "dev.jobwatch.job.succeeded",
                Outcome::Failed => "dev.jobwatch.job.failed",
                Outcome::Partial => "dev.jobwatch.job.partial",
                Outcome::Cancelled => "dev.jobwatch.job.cancelled",
                Outcome::TimedOut => "dev.jobwatch.job.timed_out",
                Outcome::Lost => "dev.jobwatch.job.lost",
                Outcome::Unknown => "dev.jobwatch.job.unknown",
                Outcome::Unwatched => "dev.jobwatch.job.unwatched",
            },
        }
    }

    /// The kind with this `CloudEvents` `type`.
    pub fn from_type_name(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.type_name() == name)
    }

    /// The number of this event among those of its kind on one watch. A watch ends once,
    /// and has one late result at most, so these always have the same number, and thereby
    /// the same id.
    fn number(self, revision: u32) -> u32 {
        match self {
            Self::Accepted | Self::Finished(_) | Self::LateResult => 0,
            Self::Changed | Self::Held => revision,
        }
    }
}

/// One event, ready to be stored and sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Stable: the same fact always has the same id.
    pub id: Uuid,
    /// What happened.
    pub kind: EventKind,
    /// When it was noticed.
    pub at: Timestamp,
    /// The structured `CloudEvent`, as it is sent.
    pub body: String,
}

/// The instance name that events carry in their `source`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance(pub String);

impl Event {
    /// The event that tells `kind` of `watch` as it stands after the transition.
    pub fn of(watch: &Watch, kind: EventKind, instance: &Instance, now: Timestamp) -> Self {
        // A watch ends once, whichever way: the name must not depend on the outcome, or
        // two replicas that disagree would tell two ends of one watch.
        let what = match kind {
            EventKind::Finished(_) => "finished",
            other => other.type_name(),
        };
        let name = format!("{what}/{}", kind.number(watch.revision));
        let id = Uuid::new_v5(&watch.id.0, name.as_bytes());
        let envelope = Envelope {
            specversion: "1.0",
            id,
            source: format!("/jobwatch/{}/{}", instance.0, watch.service),
            subject: &watch.job_id,
            type_name: kind.type_name(),
            time: Millis(now),
            datacontenttype: "application/json",
            data: Data::of(watch, kind, now),
        };
        let body = serde_json::to_string(&envelope)
            .expect("an event has string keys and no failing serializer");
        Self {
            id,
            kind,
            at: now,
            body,
        }
    }
}

/// A time written with milliseconds, as every time of an event is.
struct Millis(Timestamp);

impl Serialize for Millis {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.3}", self.0))
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: Uuid,
    source: String,
    subject: &'a str,
    #[serde(rename = "type")]
    type_name: &'static str,
    time: Millis,
    datacontenttype: &'static str,
    data: Data<'a>,
}

/// The facts of one watch, the same in every kind of event. Absent values are `null`.
#[derive(Serialize)]
struct Data<'a> {
    watch_id: Uuid,
    service: &'a str,
    definition: &'a str,
    job_id: &'a str,
    job_type: Option<&'a str>,
    outcome: Option<Outcome>,
    /// In a late result: how the job ended, while the outcome of the watch stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Outcome>,
    status: Option<&'a str>,
    code: Option<&'a str>,
    reason: Option<&'a str>,
    began_at: Option<Millis>,
    ended_at: Option<Millis>,
    submitted_at: Millis,
    noticed_at: Millis,
    polls: u32,
    problems: u32,
    last_problem: Option<&'a ProblemNote>,
    resources: Option<&'a Value>,
    children: &'a [Child],
    labels: &'a BTreeMap<String, String>,
    params: &'a BTreeMap<String, String>,
}

impl<'a> Data<'a> {
    fn of(watch: &'a Watch, kind: EventKind, now: Timestamp) -> Self {
        let job = watch.job.as_ref();
        let text = |pick: fn(&Job) -> &Option<String>| job.and_then(|job| pick(job).as_deref());
        Self {
            watch_id: watch.id.0,
            service: &watch.service,
            definition: &watch.definition,
            job_id: &watch.job_id,
            job_type: text(|job| &job.job_type),
            outcome: match (kind, watch.state) {
                (EventKind::Finished(outcome), _) | (_, State::Final(outcome)) => Some(outcome),
                (_, State::Watching) => None,
            },
            verdict: job
                .filter(|_| kind == EventKind::LateResult)
                .and_then(|job| job.state.outcome()),
            status: text(|job| &job.status),
            code: text(|job| &job.code),
            reason: text(|job| &job.reason),
            began_at: job.and_then(|job| job.began_at).map(Millis),
            ended_at: job.and_then(|job| job.ended_at).map(Millis),
            submitted_at: Millis(watch.submitted_at),
            noticed_at: Millis(now),
            polls: watch.polls,
            problems: watch.problems,
            last_problem: watch.last_problem.as_ref(),
            resources: job.and_then(|job| job.resources.as_ref()),
            children: job.map_or(&[], |job| &job.children),
            labels: &watch.labels,
            params: &watch.params,
        }
    }
}
