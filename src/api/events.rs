//! `/v1/events`: the log of events as it grows, as server-sent events.
//!
//! The id of each is its position in the log, from which a client continues after a break.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::api::Api;
use crate::api::error::ApiError;
use crate::api::filter::label;
use crate::api::path::PathText;
use crate::api::query::{PAGE_DEFAULT, Term, terms};
use crate::api::schema::{self, REFERENCE};
use crate::store::{Cursor, LoggedEvent};
use crate::watch::WatchId;
use crate::watch::event::EventKind;
use crate::watch::subscription::EventFilter;
use crate::workers::announcer::{Followed, Follower};

/// The longest silence on a connection.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// This long after the first event that its filter left out, a client gets the position after them,
/// so that it can continue there.
const QUIET: Duration = Duration::from_millis(100);
/// The pause before a client connects again.
const RETRY: Duration = Duration::from_secs(1);

/// Follows the log from `Last-Event-ID` or `after`; without them, from now on.
///
/// The stream begins with the present position as an `id`. Each event has its position as `id`,
/// its type as `event` and the event itself (a `CloudEvent`) as `data`. A comment comes after 15 s
/// of silence. The stream of a client that is too slow ends; it continues with `Last-Event-ID`.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "events",
    operation_id = "follow_events",
    params(
        ("after" = Option<String>, Query, example = "0", description = "Events after this position; `0` for all that are kept"),
        ("type" = Option<Vec<String>>, Query, style = Form, explode = false, example = "finished", description = "Events of these types: exact types, `finished` or `changed`"),
        ("service" = Option<Vec<String>>, Query, style = Form, explode = false, description = "Events about watches of these services"),
        ("label" = Option<Vec<schema::Label>>, Query, description = "Events about watches with this label; of several, all must hold"),
        ("watch" = Option<Vec<String>>, Query, description = "Events about these watches, by references"),
        ("group" = Option<String>, Query, description = "Events about watches of this group"),
        ("last-event-id" = Option<String>, Header, description = "The position after which the stream continues"),
    ),
    responses(
        (status = 200, body = schema::StreamedEvent, content_type = "text/event-stream", description = "The events"),
        (status = 404, description = "no-such-watch"),
        (status = 409, description = "ambiguous-reference"),
        (status = 410, description = "events-pruned"),
    )
)]
pub(super) async fn follow(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let (mut after, filter) = api.filter(query.as_deref().unwrap_or_default()).await?;
    if let Some(last) = headers.get("last-event-id") {
        let last = last.to_str().map_err(|_| {
            ApiError::malformed("the header Last-Event-ID must be the `id` of an event")
        })?;
        after = Some(last.to_owned());
    }
    let after = match after.as_deref() {
        Some("0") => Some(api.store.first_cursor().await?),
        // An EventSource that has seen no id sends none.
        Some("") | None => None,
        Some(position) => Some(Cursor::new(position)),
    };
    let events = EventStream {
        follower: Some(api.announcer.follow(after).await?),
        filter,
        has_begun: false,
        has_skipped: false,
        stop: api.stop.clone(),
    };
    let events = stream::unfold(events, |mut events| async move {
        let event = events.next().await?;
        Some((Ok(event), events))
    });
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("heartbeat");
    Ok(Sse::new(events).keep_alive(heartbeat))
}

/// The stream of one client.
struct EventStream {
    /// `None` once the stream ends.
    follower: Option<Follower>,
    filter: Filter,
    has_begun: bool,
    /// True if the client does not know the position after the latest events, which its filter
    /// left out.
    has_skipped: bool,
    stop: CancellationToken,
}

impl EventStream {
    async fn next(&mut self) -> Option<Event> {
        let follower = self.follower.as_mut()?;
        if !self.has_begun {
            self.has_begun = true;
            let position = follower.position().content();
            return Some(Event::default().retry(RETRY).id(position));
        }
        // Runs on while events are left out, however many come.
        let mut position_due = pin!(sleep(QUIET));
        loop {
            let next = async {
                tokio::select! {
                    biased;
                    () = position_due.as_mut(), if self.has_skipped => None,
                    next = follower.next() => Some(next),
                }
            };
            let Some(next) = self.stop.run_until_cancelled(next).await? else {
                self.has_skipped = false;
                return Some(Event::default().id(follower.position().content()));
            };
            match next {
                Ok(Followed::Event(event)) if self.filter.takes(&event) => {
                    self.has_skipped = false;
                    return Some(in_stream(&event));
                }
                Ok(Followed::Event(_)) if self.has_skipped => {}
                Ok(Followed::Event(_)) => {
                    self.has_skipped = true;
                    position_due.set(sleep(QUIET));
                }
                Ok(Followed::TooSlow) => {
                    self.follower = None;
                    return Some(Event::default().comment(
                        "too slow: later events are not in memory any more; connect again with Last-Event-ID",
                    ));
                }
                Err(error) => {
                    let error = anyhow::Error::from(error);
                    tracing::error!(error = format!("{error:#}"), "a stream of events ends");
                    return None;
                }
            }
        }
    }
}

fn in_stream(event: &LoggedEvent) -> Event {
    let shown = Event::default().id(event.cursor.content());
    shown.event(&event.type_name).data(&event.body)
}

/// The events that a client asked for; an empty list means all.
#[derive(Debug, Default)]
struct Filter {
    types: Vec<String>,
    services: Vec<String>,
    labels: Vec<(String, String)>,
    watches: Vec<WatchId>,
    group: Option<String>,
}

/// The part of the body that a filter looks at.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, default)]
    service: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    group: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    labels: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

impl Filter {
    fn takes(&self, event: &LoggedEvent) -> bool {
        let is_type = self.types.is_empty() || self.types.contains(&event.type_name);
        let is_watch =
            self.watches.is_empty() || event.watch_id.is_some_and(|id| self.watches.contains(&id));
        is_type && is_watch && self.takes_body(&event.body)
    }

    fn takes_body(&self, body: &str) -> bool {
        if self.services.is_empty() && self.labels.is_empty() && self.group.is_none() {
            return true;
        }
        let Ok(Envelope { data }) = serde_json::from_str(body) else {
            return false;
        };
        let is_service = self.services.is_empty()
            || data
                .service
                .is_some_and(|it| self.services.iter().any(|name| *name == it));
        let has = |(name, value): &(String, String)| {
            data.labels.get(name.as_str()).is_some_and(|it| it == value)
        };
        let is_group = self.group.is_none() || self.group.as_deref() == data.group.as_deref();
        is_service && is_group && self.labels.iter().all(has)
    }
}

impl Api {
    /// Parses the query of a stream: the position to begin at, and the filter.
    async fn filter(&self, text: &str) -> Result<(Option<String>, Filter), ApiError> {
        let mut filter = Filter::default();
        let mut after = None;
        for term in terms(text) {
            let value = || term.value.clone().into_owned();
            match &*term.name {
                "after" => after = Some(value()),
                "type" => filter.types.extend(types(&term)?),
                "service" => filter
                    .services
                    .extend(term.value.split(',').map(str::to_owned)),
                "label" => filter.labels.push(label(&term)?),
                "watch" => filter.watches.push(self.resolve_id(&term.value).await?),
                "group" => filter.group = Some(value()),
                _ => return Err(term.unknown("after, type, service, label, watch and group")),
            }
        }
        for service in &filter.services {
            self.check_service(service).await?;
        }
        Ok((after, filter))
    }
}

/// Returns the types that a word means, as in the filter of a sink: `finished`, `changed`, or a type
/// with or without its prefix.
fn types(term: &Term<'_>) -> Result<Vec<String>, ApiError> {
    let mut types = Vec::new();
    for word in term.value.split(',') {
        let filter =
            EventFilter::parse(word).ok_or_else(|| term.not_among(word, EventFilter::words()))?;
        let found = EventKind::all().filter(|kind| filter.admits(*kind));
        types.extend(found.map(|kind| kind.type_name().to_owned()));
    }
    Ok(types)
}

/// The latest events of one watch.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Events)]
pub(super) struct EventsView {
    /// The events as they were sent, oldest first.
    #[schema(value_type = Vec<schema::CloudEvent>)]
    events: Vec<Box<RawValue>>,
}

/// Shows the latest events of one watch, oldest first.
#[utoipa::path(
    get,
    path = "/v1/watches/{id}/events",
    tag = "events",
    operation_id = "list_events",
    params(
        ("id" = String, Path, description = REFERENCE),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "The most events; 100 unless given"),
    ),
    responses(
        (status = 200, body = EventsView, description = "The events"),
        (status = 404, description = "no-such-watch"),
        (status = 409, description = "ambiguous-reference"),
    )
)]
pub(super) async fn of_watch(
    State(api): State<Api>,
    PathText(reference): PathText,
    RawQuery(query): RawQuery,
) -> Result<Json<EventsView>, ApiError> {
    let mut limit = PAGE_DEFAULT;
    for term in terms(query.as_deref().unwrap_or_default()) {
        match &*term.name {
            "limit" => limit = term.limit()?,
            _ => return Err(term.unknown("limit")),
        }
    }
    let watch = api.resolve(&reference).await?;
    let events = api.store.events_of(watch.id, limit).await?;
    // The store keeps only what this program composed.
    let bodies = events
        .into_iter()
        .filter_map(|event| RawValue::from_string(event.body).ok());
    Ok(Json(EventsView {
        events: bodies.collect(),
    }))
}
