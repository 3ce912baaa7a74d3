//! `/v1/deliveries` and `/v1/sinks`: lists deliveries, redrives dead letters, lists sinks.

use axum::Json;
use axum::extract::{RawQuery, State};
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::actions::Delivering;
use crate::actions::redrive::RedriveResult;
use crate::api::Api;
use crate::api::body::{self, Body};
use crate::api::delivery_view::{
    AttemptView, DeliveryPageView, DeliveryView, RedriveView, SinkView, SinksView,
};
use crate::api::error::ApiError;
use crate::api::filter::label;
use crate::api::path::PathText;
use crate::api::query::{PAGE_DEFAULT, Term, parse_time, terms};
use crate::api::schema;
use crate::sink::SinkStatus;
use crate::store::delivery::{DeliveryQuery, DeliveryState, SinkBacklog, StoredDelivery};

/// The names of the parameters that select deliveries.
const FILTERS: &str = "state, sink, watch, service, job, label, since, until";

/// The body of `POST /v1/deliveries/{id}/redrive`; it may be absent.
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
struct RedriveOne {
    /// True to send again a delivery that is pending or delivered.
    #[serde(default)]
    force: bool,
}

/// The body of `POST /v1/deliveries/redrive`; at least one field is required.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1, example = json!({"since": "2h"}))]
struct RedriveDead {
    /// The dead letters of this sink.
    sink: Option<String>,
    /// Those that were given up since this time (RFC 3339), or for at most this long (`2h`).
    since: Option<String>,
}

/// Lists the deliveries that match the query, newest first.
#[utoipa::path(
    get,
    path = "/v1/deliveries",
    tag = "deliveries",
    operation_id = "list_deliveries",
    params(
        ("state" = Option<Vec<schema::DeliveryState>>, Query, style = Form, explode = false, description = "Deliveries in one of these states"),
        ("sink" = Option<String>, Query, description = "Deliveries to this sink"),
        ("watch" = Option<String>, Query, description = "Deliveries about this watch, by a reference"),
        ("service" = Option<String>, Query, description = "Deliveries about jobs of this service"),
        ("job" = Option<String>, Query, description = "Deliveries about the job with this id"),
        ("label" = Option<Vec<schema::Label>>, Query, description = "Deliveries about watches with this label; of several, all must hold"),
        ("since" = Option<String>, Query, example = "2h", description = "Deliveries of events noticed at this time (RFC 3339) or later, or at most this long ago (`2h`)"),
        ("until" = Option<String>, Query, example = "1s", description = "Deliveries of events noticed before this time, or longer ago"),
        ("cursor" = Option<String>, Query, description = "The `next` of the previous page"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "The most entries of the page; 100 unless given"),
    ),
    responses(
        (status = 200, body = DeliveryPageView, description = "A page of deliveries"),
        (status = 404, description = "no-such-watch"),
        (status = 409, description = "ambiguous-reference"),
    )
)]
pub(super) async fn list(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<DeliveryPageView>, ApiError> {
    let query = query.as_deref().unwrap_or_default();
    let query = api.delivery_query(query).await?;
    let page = api.store.deliveries(query).await?;
    Ok(Json(DeliveryPageView {
        deliveries: page
            .deliveries
            .into_iter()
            .map(DeliveryView::from)
            .collect(),
        next: page.next.map(|cursor| cursor.to_string()),
    }))
}

/// Shows one delivery with its latest attempts.
#[utoipa::path(
    get,
    path = "/v1/deliveries/{id}",
    tag = "deliveries",
    operation_id = "show_delivery",
    params(("id" = String, Path, description = "The id of the delivery")),
    responses(
        (status = 200, body = DeliveryView, description = "The delivery"),
        (status = 404, description = "no-such-delivery"),
    )
)]
pub(super) async fn show(
    State(api): State<Api>,
    PathText(id): PathText,
) -> Result<Json<DeliveryView>, ApiError> {
    let number = parse_id(&id)?;
    let found = api.store.delivery(number).await?;
    let (delivery, attempts) = found.ok_or_else(|| ApiError::no_such_delivery(&id))?;
    let mut view = api.delivery_view(delivery);
    view.history = Some(attempts.into_iter().map(AttemptView::from).collect());
    Ok(Json(view))
}

/// Makes a dead letter pending again; with `{"force": true}` any other delivery too.
#[utoipa::path(
    post,
    path = "/v1/deliveries/{id}/redrive",
    tag = "deliveries",
    operation_id = "redrive_delivery",
    params(("id" = String, Path, description = "The id of the delivery")),
    request_body = Option<RedriveOne>,
    responses(
        (status = 200, body = DeliveryView, description = "The delivery, which is pending"),
        (status = 400, description = "malformed body"),
        (status = 404, description = "no-such-delivery"),
        (status = 409, description = "not-dead no-such-sink"),
        (status = 413, description = "body"),
    )
)]
pub(super) async fn redrive(
    State(api): State<Api>,
    PathText(id): PathText,
    body: Body,
) -> Result<Json<DeliveryView>, ApiError> {
    let number = parse_id(&id)?;
    let asked: RedriveOne = body::read_optional(body)?.unwrap_or_default();
    match api.actions.redrive(number, asked.force).await? {
        RedriveResult::Owed(delivery) => Ok(Json(api.delivery_view(delivery))),
        RedriveResult::NotDead(delivery) => Err(ApiError::not_dead(not_dead_detail(&delivery))),
        RedriveResult::Missing => Err(ApiError::no_such_delivery(&id)),
        RedriveResult::NoSuchSink(sink) => Err(ApiError::no_such_sink(&sink)),
    }
}

/// Makes the dead letters of a sink, or those since a time, pending again.
#[utoipa::path(
    post,
    path = "/v1/deliveries/redrive",
    tag = "deliveries",
    operation_id = "redrive_dead_letters",
    request_body = RedriveDead,
    responses(
        (status = 200, body = RedriveView, description = "The numbers of those that are pending again"),
        (status = 400, description = "malformed body"),
        (status = 409, description = "no-such-sink"),
        (status = 413, description = "body"),
    )
)]
pub(super) async fn redrive_dead(
    State(api): State<Api>,
    body: Body,
) -> Result<Json<RedriveView>, ApiError> {
    let asked: Option<RedriveDead> = body::read_optional(body)?;
    let asked = asked.filter(|asked| asked.sink.is_some() || asked.since.is_some());
    let asked = asked.ok_or_else(|| {
        ApiError::malformed(
            "select dead letters with {\"sink\": \"ops\"}, {\"since\": \"2h\"} or both",
        )
    })?;
    let now = api.clock.now();
    let since = asked.since.as_deref().map(|text| parse_since(text, now));
    let report = api
        .actions
        .redrive_dead(asked.sink, since.transpose()?)
        .await?;
    if let ([sink], true) = (report.unconfigured.as_slice(), report.by_sink.is_empty()) {
        return Err(ApiError::no_such_sink(sink));
    }
    Ok(Json(RedriveView {
        redriven: report.total(),
        by_sink: report.by_sink,
        unconfigured: report.unconfigured,
        gone: report.gone,
    }))
}

/// Lists the configured sinks, and any other sink that still has deliveries.
#[utoipa::path(
    get,
    path = "/v1/sinks",
    tag = "deliveries",
    operation_id = "list_sinks",
    responses((status = 200, body = SinksView, description = "The sinks, sorted by name"))
)]
pub(super) async fn sinks(State(api): State<Api>) -> Result<Json<SinksView>, ApiError> {
    let mut backlog = api.store.backlog().await?;
    let mut sinks: Vec<SinkView> = api
        .courier
        .sinks()
        .map(|status| {
            let owed = backlog.iter().position(|owed| owed.sink == status.name);
            let owed = owed.map(|n| backlog.swap_remove(n));
            sink_view(status, owed.as_ref())
        })
        .collect();
    sinks.extend(backlog.into_iter().map(|owed| SinkView {
        name: owed.sink,
        kind: None,
        state: "unconfigured".to_owned(),
        gone_since: None,
        pending: owed.pending,
        dead: owed.dead,
    }));
    sinks.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Json(SinksView { sinks }))
}

impl Api {
    /// Shows a delivery, and whether the receiver of its sink is gone (410).
    fn delivery_view(&self, delivery: StoredDelivery) -> DeliveryView {
        let gone_since = self
            .courier
            .sink(&delivery.sink)
            .and_then(|sink| sink.gone_since);
        DeliveryView {
            gone_since,
            ..delivery.into()
        }
    }
}

fn sink_view(status: SinkStatus, owed: Option<&SinkBacklog>) -> SinkView {
    let state = match status.gone_since {
        None => "open",
        Some(_) => "gone",
    };
    SinkView {
        name: status.name,
        kind: Some(status.kind.to_owned()),
        state: state.to_owned(),
        gone_since: status.gone_since,
        pending: owed.map_or(0, |owed| owed.pending),
        dead: owed.map_or(0, |owed| owed.dead),
    }
}

/// Explains how to redrive a delivery that is not dead.
fn not_dead_detail(delivery: &StoredDelivery) -> String {
    let id = delivery.id;
    let force = "`--force` (in the API: {\"force\": true})";
    match delivery.due_at {
        Some(due_at) => format!(
            "delivery {id} is pending, and its next attempt is due at {due_at}; to send it now and restart its schedule, use {force}"
        ),
        None => format!(
            "delivery {id} was delivered; to send it again under the same event id, use {force}"
        ),
    }
}

fn parse_id(id: &str) -> Result<i64, ApiError> {
    id.parse().map_err(|_| ApiError::no_such_delivery(id))
}

fn parse_since(text: &str, now: Timestamp) -> Result<Timestamp, ApiError> {
    parse_time(text, now).ok_or_else(|| {
        ApiError::malformed(format!(
            "invalid since `{text}`; give a time such as `2026-12-24T18:00:00Z` or an age such as `2h`"
        ))
    })
}

impl Api {
    /// Parses the query of a list, and resolves the watch in it.
    async fn delivery_query(&self, text: &str) -> Result<DeliveryQuery, ApiError> {
        let now = self.clock.now();
        let mut query = DeliveryQuery {
            limit: PAGE_DEFAULT,
            ..DeliveryQuery::default()
        };
        for term in terms(text) {
            match &*term.name {
                "watch" => query.watch = Some(self.resolve_id(&term.value).await?),
                "cursor" => query.before = Some(term.cursor()),
                "limit" => query.limit = term.limit()?,
                _ if select(&mut query, &term, now)? => {}
                _ => return Err(term.unknown(&format!("{FILTERS}, cursor and limit"))),
            }
        }
        if let Some(service) = &query.service {
            self.check_service(service).await?;
        }
        if let Some(sink) = &query.sink {
            self.check_sink(sink).await?;
        }
        Ok(query)
    }
}

/// Takes a term that selects deliveries. Returns false if it is another one.
fn select(query: &mut DeliveryQuery, term: &Term<'_>, now: Timestamp) -> Result<bool, ApiError> {
    let value = || term.value.clone().into_owned();
    match &*term.name {
        "state" => query.states.extend(states(term)?),
        "sink" => query.sink = Some(term.once(query.sink.as_ref(), value())?),
        "service" => query.service = Some(term.once(query.service.as_ref(), value())?),
        "job" => query.job_id = Some(term.once(query.job_id.as_ref(), value())?),
        "label" => query.labels.push(label(term)?),
        "since" => query.since = Some(term.time(now)?),
        "until" => query.until = Some(term.time(now)?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn states(term: &Term<'_>) -> Result<Vec<DeliveryState>, ApiError> {
    let words = DeliveryState::ALL.map(DeliveryState::as_str);
    let states = term.value.split(',');
    states
        .map(|state| state.parse().map_err(|_| term.not_among(state, words)))
        .collect()
}
