//! The events that subscribers receive: `CloudEvents` 1.0 in structured JSON.
//!
//! The id of an event is a `UUIDv5` of the watch, the kind of event and its number. The same
//! fact always gets the same id, also from another process or after a crash, so that
//! receivers can recognise a repetition. The body is composed once, stored, and sent as
//! stored.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::watch::observation::{Child, Job, ProblemNote};
use crate::watch::{Outcome, State, Watch};

/// The kind of an event. An outcome is part of it, since each outcome has its own type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A watch was accepted and stored.
    Accepted,
    /// The state of the job, or of one of its children, changed.
    Changed,
    /// The job began to wait for a person.
    Held,
    /// The watch ended with this outcome.
    Finished(Outcome),
    /// A verdict came after the watch had ended without one. The outcome of the watch stays.
    LateResult,
    /// All watches of a group have ended. The event is about no watch alone.
    GroupFinished,
    /// No job of a service can be seen, or none of any service.
    Blind,
    /// The service can be asked about jobs again.
    Sighted,
}

impl EventKind {
    /// Returns all kinds, for filters and documents.
    pub fn all() -> impl Iterator<Item = Self> {
        let others = [
            Self::Accepted,
            Self::Changed,
            Self::Held,
            Self::LateResult,
            Self::GroupFinished,
            Self::Blind,
            Self::Sighted,
        ];
        let ends = Outcome::ALL.into_iter().map(Self::Finished);
        others.into_iter().chain(ends)
    }

    /// Returns the `type` attribute of the `CloudEvent`.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Accepted => "dev.jobwatch.watch.accepted",
            Self::Changed => "dev.jobwatch.job.changed",
            Self::Held => "dev.jobwatch.job.held",
            Self::LateResult => "dev.jobwatch.job.late_result",
            Self::GroupFinished => "dev.jobwatch.group.finished",
            Self::Blind => "dev.jobwatch.watcher.blind",
            Self::Sighted => "dev.jobwatch.watcher.sighted",
            Self::Finished(outcome) => outcome.event_type(),
        }
    }

    /// Returns the kind with this `CloudEvents` `type`; `None` if the type is unknown.
    pub fn from_type_name(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.type_name() == name)
    }

    /// Returns the number of this event among those of its kind on one watch. A watch is
    /// accepted once, ends once and has at most one late result, so these always have the same
    /// number, and thereby the same id.
    fn number(self, revision: u32) -> u32 {
        match self {
            Self::Accepted
            | Self::Finished(_)
            | Self::LateResult
            | Self::GroupFinished
            | Self::Blind
            | Self::Sighted => 0,
            Self::Changed | Self::Held => revision,
        }
    }
}

/// One event, ready to be stored and sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The stable id: the same fact always has the same id.
    pub id: Uuid,
    /// The kind, from which the `type` of the event follows.
    pub kind: EventKind,
    /// The time at which the change was noticed, not the time of the change at the service.
    pub at: Timestamp,
    /// The structured `CloudEvent`, as it is sent.
    pub body: String,
}

/// The instance name that events carry in their `source`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance(pub String);

impl Event {
    /// Composes the event of this `kind`; `watch` is the watch after the transition.
    pub fn of(watch: &Watch, kind: EventKind, instance: &Instance, now: Timestamp) -> Self {
        // A watch ends once. The name must not depend on the outcome; otherwise two replicas
        // that disagree would report two ends of one watch.
        let fact = match kind {
            EventKind::Finished(_) => "finished",
            other => other.type_name(),
        };
        let name = format!("{fact}/{}", kind.number(watch.revision));
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
        Self {
            id,
            kind,
            at: now,
            body: envelope.body(),
        }
    }
}

/// A time that is written with milliseconds, as all times of an event are.
pub(super) struct Millis(pub(super) Timestamp);

impl Serialize for Millis {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.3}", self.0))
    }
}

/// The `CloudEvent` around the data of an event.
#[derive(Serialize)]
pub(super) struct Envelope<'a, D> {
    pub(super) specversion: &'static str,
    pub(super) id: Uuid,
    pub(super) source: String,
    pub(super) subject: &'a str,
    #[serde(rename = "type")]
    pub(super) type_name: &'static str,
    pub(super) time: Millis,
    pub(super) datacontenttype: &'static str,
    pub(super) data: D,
}

impl<D: Serialize> Envelope<'_, D> {
    /// Returns the text that is stored and sent.
    pub(super) fn body(&self) -> String {
        serde_json::to_string(self).expect("an event has string keys and no failing serializer")
    }
}

/// The `data` of an event; its members are the same in every kind. Absent values are `null`.
#[derive(Serialize)]
struct Data<'a> {
    watch_id: Uuid,
    service: &'a str,
    definition: &'a str,
    job_id: &'a str,
    job_type: Option<&'a str>,
    outcome: Option<Outcome>,
    /// The end of the job, in a late result only; the outcome of the watch stays in `outcome`.
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
    /// The group of watches, if the watch belongs to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    /// The run of the job, where the definition names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a str>,
    /// The present stage, after a hand-over.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<StageData<'a>>,
    /// The sightings that agreed on the end, if it took more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmations: Option<u32>,
    /// True if the status is that of an earlier run, so that the job counts as pending.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

/// The present stage of a watch, as events show it.
#[derive(Serialize)]
struct StageData<'a> {
    index: u32,
    definition: &'a str,
    job_id: &'a str,
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
            code: watch.code(),
            reason: watch.reason(),
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
            group: watch.group.as_deref(),
            run: watch.run.as_deref(),
            stage: watch.stage.as_ref().map(|stage| StageData {
                index: stage.index,
                definition: &stage.definition,
                job_id: &stage.job_id,
            }),
            confirmations: Some(watch.confirmations).filter(|count| *count > 1),
            stale: watch.is_stale(),
        }
    }
}
