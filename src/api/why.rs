//! `/v1/watches/{id}/why`: one paragraph about a watch, and the facts that it puts into words.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Api;
use crate::api::error::ApiError;
use crate::api::path::PathText;
use crate::api::schema::REFERENCE;
use crate::api::service_view::{AnswerView, BlindView, ProblemView};
use crate::api::why_facts::{
    End, Facts, NextPoll, ProblemRow, Receivers, ServiceFacts, WatchAnswer,
};
use crate::api::why_text::why;
use crate::store::delivery::{DeliveryQuery, DeliveryState};
use crate::store::{PAGE_MAX, StoreError};
use crate::watch::event::EventKind;
use crate::watch::observation::{JobState, ProblemNote};
use crate::watch::subscription::CALLBACK;
use crate::watch::{Outcome, State as WatchState, Watch};
use crate::workers::poller::PollFacts;

/// The number of the latest events in which a late result is searched for.
const EVENTS_READ: usize = 5;

/// The paragraph about a watch, and its facts.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Why)]
pub(crate) struct WhyView {
    /// One paragraph in plain words.
    pub(crate) text: String,
    #[serde(flatten)]
    pub(crate) facts: Facts,
}

/// Explains one watch from the knowledge of this process.
#[utoipa::path(
    get,
    path = "/v1/watches/{id}/why",
    tag = "watches",
    operation_id = "explain_watch",
    params(("id" = String, Path, description = REFERENCE)),
    responses(
        (status = 200, body = WhyView, description = "The explanation and its facts"),
        (status = 404, description = "no-such-watch"),
        (status = 409, description = "ambiguous-reference"),
    )
)]
pub(super) async fn show(
    State(api): State<Api>,
    PathText(reference): PathText,
) -> Result<Json<WhyView>, ApiError> {
    let watch = api.resolve(&reference).await?;
    let facts = api.facts(watch).await?;
    Ok(Json(WhyView {
        text: why(&facts),
        facts,
    }))
}

impl Api {
    async fn facts(&self, watch: Watch) -> Result<Facts, ApiError> {
        self.refresh_usual(std::slice::from_ref(&watch)).await?;
        let polled = self.poller.facts(watch.id);
        let end = match watch.state {
            WatchState::Watching => None,
            WatchState::Final(outcome) => Some(self.end_of(&watch, outcome).await?),
        };
        Ok(Facts {
            at: self.clock.now(),
            watch_id: watch.id.to_string(),
            job_type: watch.job.as_ref().and_then(|job| job.job_type.clone()),
            state: watch.state.as_str().to_owned(),
            submitted_at: watch.submitted_at,
            deadline: polled.as_ref().map_or(watch.deadline, |it| it.deadline),
            usual: self.usual.of(&watch),
            last_answer: answer_of(&watch, polled.as_ref()),
            problem: polled.as_ref().and_then(problem_of),
            next_poll: polled.map(|polled| NextPoll {
                at: polled.next_at,
                because: polled.reason,
                ends_watch: polled.ends_watch,
            }),
            service_state: self.service_facts(&watch.service),
            receivers: self.receivers(&watch).await?,
            end,
            service: watch.service,
            job_id: watch.job_id,
        })
    }

    fn service_facts(&self, name: &str) -> Option<ServiceFacts> {
        let service = self.poller.service(name)?;
        let budget = service.budget;
        let last = service.last_answer.map(AnswerView::from);
        let last = last.filter(|last| last.failing_since.is_some());
        Some(ServiceFacts {
            credential: budget.credential,
            credential_state: service.credential.into(),
            paused_until: budget.paused_until,
            waiting: budget.waiting,
            rate: budget.rate,
            concurrency: budget.limits.concurrency,
            failing_since: last.as_ref().and_then(|last| last.failing_since),
            problem: last.and_then(|last| last.problem),
            blind: service.blind.map(BlindView::from),
        })
    }

    /// Returns the receivers of the end of a watch, and counts its deliveries so far.
    async fn receivers(&self, watch: &Watch) -> Result<Receivers, StoreError> {
        let page = self
            .store
            .deliveries(DeliveryQuery {
                watch: Some(watch.id),
                limit: PAGE_MAX,
                ..DeliveryQuery::default()
            })
            .await?;
        let count = |state: DeliveryState| {
            let these = page.deliveries.iter().filter(|it| it.state == state);
            these.count()
        };
        let mut receivers = Receivers {
            delivered: count(DeliveryState::Delivered),
            pending: count(DeliveryState::Pending),
            dead: count(DeliveryState::Dead),
            more: page.next.is_some(),
            ..Receivers::default()
        };
        let ends: Vec<Vec<String>> = Outcome::ALL
            .into_iter()
            .map(|outcome| self.actions.receivers(watch, EventKind::Finished(outcome)))
            .collect();
        let mut names: Vec<&String> = ends.iter().flatten().collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let is_of_all = ends.iter().all(|end| end.contains(name));
            let host = watch.callback_url.as_ref().map(|url| url.host().to_owned());
            if name == CALLBACK && host.is_some() {
                receivers.callback_host = host;
            } else if is_of_all {
                receivers.sinks.push(name.clone());
            } else {
                receivers.some_ends.push(name.clone());
            }
        }
        Ok(receivers)
    }

    async fn end_of(&self, watch: &Watch, outcome: Outcome) -> Result<End, StoreError> {
        let events = self.store.events_of(watch.id, EVENTS_READ).await?;
        let late = EventKind::LateResult.type_name();
        let late = events.iter().find(|event| event.type_name == late);
        Ok(End {
            at: watch.finished_at.unwrap_or(watch.deadline),
            outcome,
            code: watch.code().map(str::to_owned),
            reason: watch.reason().map(str::to_owned),
            has_evidence: self.store.evidence(watch.id).await?.is_some(),
            late_result: late.and_then(|event| verdict_in(&event.body)),
            late_poll_at: self.poller.late_poll_at(watch.id),
        })
    }
}

fn answer_of(watch: &Watch, polled: Option<&PollFacts>) -> Option<WatchAnswer> {
    let job = watch.job.as_ref();
    let answered_at = polled.and_then(|polled| polled.answered_at);
    if job.is_none() && answered_at.is_none() {
        return None;
    }
    Some(WatchAnswer {
        at: answered_at,
        status: job.and_then(|job| job.status.clone()),
        progress: job.and_then(|job| job.progress.clone()),
        is_unknown_status: watch.unknown_status.is_some(),
        is_held: job.is_some_and(|job| job.state == JobState::Held),
        is_stale: watch.is_stale(),
        confirmations: polled.map_or(0, |polled| polled.confirmations),
    })
}

fn problem_of(polled: &PollFacts) -> Option<ProblemRow> {
    let in_a_row = Some(polled.problems_in_a_row).filter(|count| *count > 0)?;
    let ProblemNote {
        kind,
        http_status,
        code,
        message,
        at,
    } = polled.last_problem.clone()?;
    Some(ProblemRow {
        last: ProblemView {
            kind,
            code,
            message,
        },
        http_status,
        at,
        in_a_row,
    })
}

/// Returns the verdict in the body of a late result.
fn verdict_in(body: &str) -> Option<String> {
    let event: serde_json::Value = serde_json::from_str(body).ok()?;
    event["data"]["verdict"].as_str().map(str::to_owned)
}
