//! `/v1/deliveries` and `/v1/sinks`: what is owed, what was given up, and driving it again.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, RawQuery, State};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::api::Api;
use crate::api::delivery_view::{
    AttemptView, DeliveryPageView, DeliveryView, RedriveView, SinkView, SinksView,
};
use crate::api::error::ApiError;
use crate::api::query::{PAGE_DEFAULT, terms};
use crate::clock::parse_duration;
use crate::store::delivery::{DeliveryQuery, DeliveryState, Redriven, SinkBacklog, StoredDelivery};
use crate::workers::courier::SinkStatus;

/// The body of a wish to drive one delivery again.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RedriveOne {
    #[serde(default)]
    force: bool,
}

/// The body of a wish to drive dead letters again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RedriveDead {
    sink: Option<String>,
    since: Option<String>,
}

/// A page of deliveries, newest first.
pub(super) async fn list(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<DeliveryPageView>, ApiError> {
    let query = parse_query(query.as_deref().unwrap_or_default())?;
    let page = api.store.deliveries(query).await?;
    Ok(Json(DeliveryPageView {
        deliveries: page
            .deliveries
            .into_iter()
            .map(DeliveryView::from)
            .collect(),
        next: page.next.map(|id| id.to_string()),
    }))
}

/// One delivery with its attempts.
pub(super) async fn show(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<DeliveryView>, ApiError> {
    let number = parse_id(&id)?;
    let found = api.store.delivery(number).await?;
    let (delivery, attempts) = found.ok_or_else(|| ApiError::no_such_delivery(&id))?;
    let mut view = api.delivery_view(delivery);
    view.history = Some(attempts.into_iter().map(AttemptView::from).collect());
    Ok(Json(view))
}

/// Owes one dead letter again; with `{"force": true}` also a delivery that is not dead.
pub(super) async fn redrive(
    State(api): State<Api>,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<DeliveryView>, ApiError> {
    let number = parse_id(&id)?;
    let wish: RedriveOne = read_body(body)?.unwrap_or_default();
    let found = api.store.delivery(number).await?;
    let (delivery, _) = found.ok_or_else(|| ApiError::no_such_delivery(&id))?;
    if api.sink(&delivery.sink).is_none() {
        return Err(ApiError::no_such_sink(&delivery.sink));
    }
    let now = api.clock.now();
    match api.store.redrive(number, wish.force, now).await? {
        Redriven::Owed(delivery) => {
            api.courier.wake_handle().wake();
            Ok(Json(api.delivery_view(delivery)))
        }
        Redriven::NotDead(delivery) => Err(ApiError::not_dead(why_not(&delivery))),
        Redriven::Missing => Err(ApiError::no_such_delivery(&id)),
    }
}

/// Owes all dead letters of a sink again, or all since a time.
pub(super) async fn redrive_dead(
    State(api): State<Api>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<RedriveView>, ApiError> {
    let wish: Option<RedriveDead> = read_body(body)?;
    let wish = wish.filter(|wish| wish.sink.is_some() || wish.since.is_some());
    let wish = wish.ok_or_else(|| {
        ApiError::malformed(
            "say which dead letters: {\"sink\": \"ops\"}, {\"since\": \"2h\"}, or both",
        )
    })?;
    let now = api.clock.now();
    let since = wish.since.as_deref().map(|text| parse_since(text, now));
    let since = since.transpose()?;
    let backlog = api.store.backlog().await?;
    let mut view = RedriveView::default();
    for sink in sinks_of(wish.sink, backlog) {
        match api.sink(&sink) {
            Some(status) => {
                let redriven = api.store.redrive_dead(&sink, since, now).await?;
                if redriven > 0 && status.gone_since.is_some() {
                    view.gone.push(sink.clone());
                }
                view.redriven += redriven;
                view.by_sink.insert(sink, redriven);
            }
            None => view.unconfigured.push(sink),
        }
    }
    if let ([sink], true) = (view.unconfigured.as_slice(), view.by_sink.is_empty()) {
        return Err(ApiError::no_such_sink(sink));
    }
    if view.redriven > 0 {
        api.courier.wake_handle().wake();
    }
    Ok(Json(view))
}

/// Every sink, configured or still owed something.
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
    /// The sink of this name, if somebody delivers to it.
    fn sink(&self, name: &str) -> Option<SinkStatus> {
        self.courier.sinks().find(|status| status.name == name)
    }

    /// A delivery, and whether its sink takes any.
    fn delivery_view(&self, delivery: StoredDelivery) -> DeliveryView {
        let gone_since = self.sink(&delivery.sink).and_then(|sink| sink.gone_since);
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

/// The sink that was named, or all that have dead letters.
fn sinks_of(named: Option<String>, backlog: Vec<SinkBacklog>) -> Vec<String> {
    let with_dead = || backlog.into_iter().filter(|owed| owed.dead > 0);
    named.map_or_else(
        || with_dead().map(|owed| owed.sink).collect(),
        |sink| vec![sink],
    )
}

fn why_not(delivery: &StoredDelivery) -> String {
    let id = delivery.id;
    let force = "force (`--force`, {\"force\": true})";
    match delivery.due_at {
        Some(due_at) => format!(
            "delivery {id} is pending, its next attempt is due at {due_at}; with {force} it is made now and the schedule begins anew"
        ),
        None => format!(
            "delivery {id} was delivered; with {force} it is sent again under the same event id"
        ),
    }
}

fn read_body<T: DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
) -> Result<Option<T>, ApiError> {
    let body =
        body.map_err(|rejection| ApiError::bad_body(rejection.status(), rejection.body_text()))?;
    if body.is_empty() {
        return Ok(None);
    }
    let read = serde_json::from_slice(&body);
    read.map(Some)
        .map_err(|error| ApiError::malformed(format!("the body says not what to redrive: {error}")))
}

fn parse_id(id: &str) -> Result<i64, ApiError> {
    id.parse().map_err(|_| ApiError::no_such_delivery(id))
}

/// A time, or so long before `now`.
fn parse_since(text: &str, now: Timestamp) -> Result<Timestamp, ApiError> {
    let ago = || {
        let ago = SignedDuration::try_from(parse_duration(text).ok()?).ok()?;
        now.checked_sub(ago).ok()
    };
    text.parse().ok().or_else(ago).ok_or_else(|| {
        ApiError::malformed(format!(
            "since is `{text}`; it must be a time such as `2026-12-24T18:00:00Z`, or how long ago, such as `2h`"
        ))
    })
}

fn parse_query(text: &str) -> Result<DeliveryQuery, ApiError> {
    let mut query = DeliveryQuery {
        limit: PAGE_DEFAULT,
        ..DeliveryQuery::default()
    };
    for term in terms(text) {
        match &*term.name {
            "state" => {
                let state = term.value.parse().map_err(|_| term.wrong(&states()))?;
                query.state = Some(state);
            }
            "sink" => query.sink = Some(term.value.clone().into_owned()),
            "cursor" => query.before = Some(term.cursor()?),
            "limit" => query.limit = term.limit()?,
            _ => return Err(term.unknown("state, sink, cursor and limit")),
        }
    }
    Ok(query)
}

fn states() -> String {
    DeliveryState::ALL.map(DeliveryState::as_str).join(", ")
}
