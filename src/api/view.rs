//! A watch as the API shows it.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::store::StoredEvent;
use crate::watch::observation::{Child, Job, ProblemNote};
use crate::watch::{Labels, Params, Progress, State, Watch};

/// A watch. Absent values are `null`; times are RFC 3339, UTC.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the words of `Watch` and `Job`")]
pub struct WatchView {
    pub id: String,
    pub service: String,
    pub job_id: String,
    pub job_type: Option<String>,
    pub state: String,
    pub status: Option<String>,
    pub code: Option<String>,
    pub reason: Option<String>,
    pub submitted_at: Timestamp,
    pub began_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub deadline: Timestamp,
    pub next_poll_at: Option<Timestamp>,
    pub polls: u32,
    pub problems: u32,
    pub last_problem: Option<ProblemNote>,
    /// A status value that the definition does not list.
    pub unknown_status: Option<String>,
    pub progress: Option<String>,
    pub children: Vec<Child>,
    pub resources: Option<Value>,
    pub labels: Labels,
    pub params: Params,
    /// Where this watch itself has its events sent: only the host, since the rest may be a
    /// secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_host: Option<String>,
    /// Only when one watch is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transitions: Option<Vec<TransitionView>>,
}

/// One transition of a watch: an event it has had.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TransitionView {
    /// When it was noticed.
    pub at: Timestamp,
    /// The `CloudEvents` type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The job's status after it.
    pub status: Option<String>,
}

/// A page of watches, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PageView {
    /// The watches.
    pub watches: Vec<WatchView>,
    /// The `cursor` of the next page, if there is one.
    pub next: Option<String>,
}

impl WatchView {
    /// Shows `watch` with the numbers that only the poller has.
    pub fn of(watch: Watch, progress: Option<Progress>) -> Self {
        let is_watching = watch.state == State::Watching;
        let progress = progress.filter(|_| is_watching);
        let job = watch.job;
        let text =
            |pick: fn(&Job) -> &Option<String>| job.as_ref().and_then(|job| pick(job).clone());
        Self {
            id: watch.id.to_string(),
            service: watch.service,
            job_id: watch.job_id,
            job_type: text(|job| &job.job_type),
            state: watch.state.as_str().to_owned(),
            status: text(|job| &job.status),
            code: text(|job| &job.code),
            reason: text(|job| &job.reason),
            submitted_at: watch.submitted_at,
            began_at: job.as_ref().and_then(|job| job.began_at),
            ended_at: job.as_ref().and_then(|job| job.ended_at),
            finished_at: watch.finished_at,
            deadline: watch.deadline,
            next_poll_at: progress.as_ref().map(|it| it.next_poll_at),
            polls: progress.as_ref().map_or(watch.polls, |it| it.polls),
            problems: progress.as_ref().map_or(watch.problems, |it| it.problems),
            last_problem: progress.map_or(watch.last_problem, |it| it.last_problem),
            unknown_status: watch.unknown_status,
            progress: text(|job| &job.progress),
            resources: job.as_ref().and_then(|job| job.resources.clone()),
            children: job.map(|job| job.children).unwrap_or_default(),
            labels: watch.labels,
            params: watch.params,
            callback_host: watch.callback_url.map(|url| url.host().to_owned()),
            transitions: None,
        }
    }

    /// With the events the watch has had.
    #[must_use]
    pub fn with_transitions(mut self, events: &[StoredEvent]) -> Self {
        self.transitions = Some(events.iter().map(TransitionView::of).collect());
        self
    }
}

impl TransitionView {
    fn of(event: &StoredEvent) -> Self {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(borrow)]
            data: Data<'a>,
        }
        #[derive(Deserialize)]
        struct Data<'a> {
            #[serde(borrow)]
            status: Option<Cow<'a, str>>,
        }
        let envelope: Option<Envelope<'_>> = serde_json::from_str(&event.body).ok();
        Self {
            at: event.at,
            type_name: event.type_name.clone(),
            status: envelope.and_then(|it| it.data.status).map(Cow::into_owned),
        }
    }
}
