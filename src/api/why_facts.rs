//! The facts about one watch that `why` puts into words. They are part of the answer.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::schema;
use crate::api::service_view::{BlindView, CredentialView, ProblemView};
use crate::api::view::UsualView;
use crate::watch::Outcome;
use crate::workers::poller::Reason;

/// The knowledge of this process about one watch. Absent facts are `null` or left out; times are
/// RFC 3339, UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = WhyFacts)]
pub(crate) struct Facts {
    /// The time at which the facts were collected.
    pub(crate) at: Timestamp,
    pub(crate) watch_id: String,
    pub(crate) service: String,
    pub(crate) job_id: String,
    pub(crate) job_type: Option<String>,
    /// The state: `watching`, or the outcome.
    #[schema(value_type = schema::State)]
    pub(crate) state: String,
    pub(crate) submitted_at: Timestamp,
    pub(crate) deadline: Timestamp,
    /// The usual duration of such jobs; `null` while fewer than three ends are known.
    pub(crate) usual: Option<UsualView>,
    pub(crate) last_answer: Option<WatchAnswer>,
    /// The last problem, if the last poll was one.
    pub(crate) problem: Option<ProblemRow>,
    /// The next poll; `null` for a watch that has ended, or that is not on the agenda.
    pub(crate) next_poll: Option<NextPoll>,
    /// The state of the service; `null` if it is not configured any more.
    pub(crate) service_state: Option<ServiceFacts>,
    pub(crate) receivers: Receivers,
    /// The end of the watch; `null` while it is watching.
    pub(crate) end: Option<End>,
}

/// The job as the last sighting shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WatchAnswer)]
pub(crate) struct WatchAnswer {
    /// The time of the last answer; `null` if there was none since this process started.
    pub(crate) at: Option<Timestamp>,
    /// The status in the words of the service; `null` before the first sighting.
    pub(crate) status: Option<String>,
    pub(crate) progress: Option<String>,
    /// True if the definition does not list the status.
    pub(crate) is_unknown_status: bool,
    /// True if the job waits for a person.
    pub(crate) is_held: bool,
    /// True if the status is that of an earlier run.
    pub(crate) is_stale: bool,
    /// The sightings in a row that agree on an end that does not count yet; 0 without one.
    pub(crate) confirmations: u32,
}

/// Problems in a row, up to now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ProblemRow)]
pub(crate) struct ProblemRow {
    #[serde(flatten)]
    pub(crate) last: ProblemView,
    pub(crate) http_status: Option<u16>,
    pub(crate) at: Timestamp,
    pub(crate) in_a_row: u32,
}

/// The next poll and the reason for its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = NextPoll)]
pub(crate) struct NextPoll {
    /// In the past if the poll waits for its budget, or is under way.
    pub(crate) at: Timestamp,
    #[schema(value_type = schema::PollReason)]
    pub(crate) because: Reason,
    /// True if the watch ends then, without a poll.
    pub(crate) ends_watch: bool,
}

/// The state of the service that the watch is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ServiceFacts)]
pub(crate) struct ServiceFacts {
    /// The name of its credential.
    pub(crate) credential: String,
    pub(crate) credential_state: CredentialView,
    /// The end of the pause that the service asked for.
    pub(crate) paused_until: Option<Timestamp>,
    /// The polls that are due and wait for the budget.
    pub(crate) waiting: usize,
    /// The polls a second and those at once that the budget allows.
    pub(crate) rate: f64,
    pub(crate) concurrency: u32,
    /// The time since which all polls of the service fail, and the last problem.
    pub(crate) failing_since: Option<Timestamp>,
    pub(crate) problem: Option<ProblemView>,
    /// The time in which no job of the service can be seen; absent while they can be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blind: Option<BlindView>,
}

/// The receivers of the events of the watch, and the deliveries to them so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Receivers)]
pub(crate) struct Receivers {
    /// The sinks that receive every end.
    pub(crate) sinks: Vec<String>,
    /// The sinks that receive some ends only, by their filter.
    pub(crate) some_ends: Vec<String>,
    /// The host of the watch's own `callback_url`, if it receives the end.
    pub(crate) callback_host: Option<String>,
    pub(crate) delivered: usize,
    pub(crate) pending: usize,
    pub(crate) dead: usize,
    /// True if there are more deliveries than were counted.
    pub(crate) more: bool,
}

/// The end of a watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WatchEnd)]
pub(crate) struct End {
    pub(crate) at: Timestamp,
    #[schema(value_type = schema::Outcome)]
    pub(crate) outcome: Outcome,
    pub(crate) code: Option<String>,
    pub(crate) reason: Option<String>,
    /// True if the answer that proved the outcome is kept.
    pub(crate) has_evidence: bool,
    /// The verdict that came after the end.
    pub(crate) late_result: Option<String>,
    /// The time of the next poll for a late result.
    pub(crate) late_poll_at: Option<Timestamp>,
}
