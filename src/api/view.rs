//! The JSON form of a watch, shared by the API and the commands.

use std::borrow::Cow;
#[expect(unused_imports, reason = "named in a schema")]
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::schema;
use crate::store::StoredEvent;
use crate::watch::note::Notes;
use crate::watch::observation::{Child, Job, ProblemNote};
use crate::watch::stage::{EndedStage, Stage};
use crate::watch::{Expect, Labels, Params, Progress, State, Watch};

/// A watch; its fields are those of `Watch` and `Job`. Absent values are `null`; times are
/// RFC 3339, UTC.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Watch)]
pub(crate) struct WatchView {
    pub(crate) id: String,
    pub(crate) service: String,
    pub(crate) job_id: String,
    pub(crate) job_type: Option<String>,
    #[schema(value_type = schema::State)]
    pub(crate) state: String,
    pub(crate) status: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) submitted_at: Timestamp,
    pub(crate) began_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    /// The time at which the watch ends without a verdict. It moves by the time in which its service
    /// is blind.
    pub(crate) deadline: Timestamp,
    pub(crate) next_poll_at: Option<Timestamp>,
    pub(crate) polls: u32,
    pub(crate) problems: u32,
    /// The problems since the last poll that showed the job; absent for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) problems_in_a_row: u32,
    #[schema(value_type = Option<schema::ProblemNote>)]
    pub(crate) last_problem: Option<ProblemNote>,
    /// A status value that the definition does not list.
    pub(crate) unknown_status: Option<String>,
    pub(crate) progress: Option<String>,
    #[schema(value_type = Vec<schema::Child>)]
    pub(crate) children: Vec<Child>,
    pub(crate) resources: Option<Value>,
    #[schema(value_type = BTreeMap<String, String>)]
    pub(crate) labels: Labels,
    #[schema(value_type = BTreeMap<String, String>)]
    pub(crate) params: Params,
    /// The group of watches, if the watch belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
    /// The run of the job, where its definition names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<String>,
    /// Ends from before this time are not believed; absent for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Timestamp>,
    /// The end that the watch is about, if it is not that of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Expect>)]
    pub(crate) expect: Option<Expect>,
    /// True if the status is that of an earlier run, so that the job counts as pending.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) stale: bool,
    /// The sightings that agreed on the end; absent without a verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) confirmations: Option<u32>,
    /// Words about how the job was seen.
    #[serde(default, skip_serializing_if = "Notes::is_empty")]
    #[schema(value_type = Vec<schema::Note>)]
    pub(crate) notes: Notes,
    /// The present stage, after a hand-over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Stage>)]
    pub(crate) stage: Option<Stage>,
    /// The stages that have handed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<schema::EndedStage>)]
    pub(crate) stages: Vec<EndedStage>,
    /// The members of the request that this watch, which existed, does not follow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ignored: Vec<String>,
    /// The host of the watch's own `callback_url`; the rest of that URL may be a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) callback_host: Option<String>,
    /// How long such jobs usually take; while watching, once three ends are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) usual: Option<UsualView>,
    /// The latest transitions, oldest first; absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) transitions: Option<Vec<TransitionView>>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// How long the jobs of one type of one service took, by the newest that ended with a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Usual)]
pub(crate) struct UsualView {
    /// The number of jobs that were counted, at most 64.
    pub(crate) count: usize,
    /// Half of them took at most this long, in seconds.
    pub(crate) p50_s: f64,
    /// Nine of ten took at most this long, in seconds.
    pub(crate) p90_s: f64,
}

/// One transition of a watch, read from the event that recorded it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Transition)]
pub(crate) struct TransitionView {
    /// The time at which jobwatch noticed it.
    pub(crate) at: Timestamp,
    /// The event's `CloudEvents` type, such as `dev.jobwatch.job.failed`.
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    /// The job's status after the transition, in the words of the service.
    pub(crate) status: Option<String>,
}

/// A page of watches, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Watches)]
pub(crate) struct PageView {
    pub(crate) watches: Vec<WatchView>,
    /// The `cursor` of the next page; absent on the last. A page with few watches, or none, may have
    /// a next one: the search goes on there.
    pub(crate) next: Option<String>,
    /// The position in the log of events that the page shows: the `after` of a wait for a change.
    #[serde(default)]
    pub(crate) as_of: String,
}

impl WatchView {
    /// Shows `watch`; while it is watched, `progress` has newer counters than the store.
    pub(crate) fn of(watch: Watch, progress: Option<Progress>) -> Self {
        let is_watching = watch.state == State::Watching;
        let progress = progress.filter(|_| is_watching);
        let (code, reason) = (
            watch.code().map(str::to_owned),
            watch.reason().map(str::to_owned),
        );
        let stale = watch.is_stale();
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
            code,
            reason,
            submitted_at: watch.submitted_at,
            began_at: job.as_ref().and_then(|job| job.began_at),
            ended_at: job.as_ref().and_then(|job| job.ended_at),
            finished_at: watch.finished_at,
            deadline: progress.as_ref().map_or(watch.deadline, |it| it.deadline),
            next_poll_at: progress.as_ref().map(|it| it.next_poll_at),
            polls: progress.as_ref().map_or(watch.polls, |it| it.polls),
            problems: progress.as_ref().map_or(watch.problems, |it| it.problems),
            problems_in_a_row: progress.as_ref().map_or(0, |it| it.problems_in_a_row),
            last_problem: progress.map_or(watch.last_problem, |it| it.last_problem),
            unknown_status: watch.unknown_status,
            progress: text(|job| &job.progress),
            resources: job.as_ref().and_then(|job| job.resources.clone()),
            children: job.map(|job| job.children).unwrap_or_default(),
            labels: watch.labels,
            params: watch.params,
            group: watch.group,
            run: watch.run,
            since: watch.since,
            expect: watch.expect,
            stale,
            confirmations: Some(watch.confirmations).filter(|count| *count > 0),
            notes: watch.notes,
            stage: watch.stage,
            stages: watch.stages,
            ignored: Vec::new(),
            callback_host: watch.callback_url.map(|url| url.host().to_owned()),
            usual: None,
            transitions: None,
        }
    }

    /// Adds the transitions that these events recorded.
    #[must_use]
    pub(crate) fn with_transitions(mut self, events: &[StoredEvent]) -> Self {
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
