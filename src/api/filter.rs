//! The query of a list of watches: the filter, and how long to wait for its watches.

use std::time::Duration;

use jiff::Timestamp;

use crate::actions::Delivering;
use crate::api::Api;
use crate::api::error::ApiError;
use crate::api::query::{PAGE_DEFAULT, Term, terms};
use crate::clock::show_duration;
use crate::store::delivery::DeliveryQuery;
use crate::store::{Cursor, Query};
use crate::suggest;
use crate::watch::State;
use crate::workers::announcer::Until;

/// The longest wait of one request.
pub(super) const WAIT_MAX: Duration = Duration::from_mins(10);

/// The names of the parameters that select watches.
const FILTERS: &str = "state, service, job, label, group, id, since, until";

/// A list that was asked for, and the wait for its watches.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) query: Query,
    pub(super) wait: Option<Wait>,
}

/// How long a request waits, and for which change.
#[derive(Debug, Clone)]
pub(super) struct Wait {
    pub(super) limit: Duration,
    pub(super) until: Until,
    /// The position in the log of events that the client has seen.
    pub(super) after: Option<Cursor>,
}

impl Api {
    /// Parses the query of a list, and resolves the references in it.
    pub(super) async fn listing(&self, text: &str) -> Result<Listing, ApiError> {
        let now = self.clock.now();
        let mut query = Query {
            limit: PAGE_DEFAULT,
            ..Query::default()
        };
        let mut wait = WaitTerms::default();
        for term in terms(text) {
            match &*term.name {
                "id" => query.ids.push(self.resolve_id(&term.value).await?),
                "cursor" => query.before = Some(term.cursor()),
                "limit" => query.limit = term.limit()?,
                _ if select(&mut query, &term, now)? || wait.take(&term)? => {}
                _ => {
                    let known = format!("{FILTERS}, cursor, limit, wait, for and after");
                    return Err(term.unknown(&known));
                }
            }
        }
        if let Some(service) = &query.service {
            self.check_service(service).await?;
        }
        let wait = wait.finish()?;
        if wait.is_some() && query.before.is_some() {
            return Err(ApiError::malformed(
                "`wait` and `cursor` cannot be combined: a wait covers one whole list",
            ));
        }
        Ok(Listing { query, wait })
    }
}

impl Api {
    /// Checks the name of a service in a filter: a misspelt one would select nothing.
    pub(super) async fn check_service(&self, name: &str) -> Result<(), ApiError> {
        let of_earlier = Query {
            service: Some(name.to_owned()),
            limit: 1,
            ..Query::default()
        };
        // A service that was removed from the configuration may still have watches.
        if self.poller.service(name).is_some()
            || !self.store.watches(of_earlier).await?.watches.is_empty()
        {
            return Ok(());
        }
        let services = self.poller.services();
        let names = services.iter().map(|service| &*service.name);
        Err(unknown("service", name, names))
    }

    /// Checks the name of a sink in a filter, as [`Api::check_service`] does.
    pub(super) async fn check_sink(&self, name: &str) -> Result<(), ApiError> {
        let of_earlier = DeliveryQuery {
            sink: Some(name.to_owned()),
            limit: 1,
            ..DeliveryQuery::default()
        };
        // A sink that was removed from the configuration may still have deliveries.
        let of_earlier = || self.store.deliveries(of_earlier);
        if self.courier.sink(name).is_some() || !of_earlier().await?.deliveries.is_empty() {
            return Ok(());
        }
        let sinks: Vec<String> = self.courier.sinks().map(|sink| sink.name).collect();
        Err(unknown("sink", name, sinks.iter().map(String::as_str)))
    }
}

/// Composes the error for the unknown name of a service or of a sink.
fn unknown<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str>) -> ApiError {
    let known: Vec<&str> = known.collect();
    let near = suggest::did_you_mean(name, known.iter().copied());
    let known = known.join(", ");
    let rule = format!("has the unknown {kind} `{name}`{near} (known: {known})");
    ApiError::wrong_parameter(kind, &rule)
}

/// Takes a term that selects watches. Returns false if it is another one.
pub(super) fn select(query: &mut Query, term: &Term<'_>, now: Timestamp) -> Result<bool, ApiError> {
    let value = || term.value.clone().into_owned();
    match &*term.name {
        "state" => query.states.extend(states(term)?),
        "service" => query.service = Some(term.once(query.service.as_ref(), value())?),
        "job" => query.job_id = Some(term.once(query.job_id.as_ref(), value())?),
        "group" => query.group = Some(term.once(query.group.as_ref(), value())?),
        "label" => query.labels.push(label(term)?),
        "since" => query.since = Some(term.time(now)?),
        "until" => query.until = Some(term.time(now)?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn states(term: &Term<'_>) -> Result<Vec<State>, ApiError> {
    let words = term.value.split(',');
    let parsed = words.map(|word| {
        word.parse()
            .map_err(|_| term.not_among(word, State::words()))
    });
    parsed.collect()
}

/// Splits `NAME=VALUE`. The name goes into a JSON path of the store, so only the characters
/// of label names are accepted.
pub(super) fn label(term: &Term<'_>) -> Result<(String, String), ApiError> {
    let pair = term.value.split_once('=').filter(|(name, _)| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
        !name.is_empty() && name.chars().all(is_plain)
    });
    let (name, value) = pair.ok_or_else(|| term.wrong("NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The terms of a query that are about waiting.
#[derive(Debug, Default)]
pub(super) struct WaitTerms {
    limit: Option<Duration>,
    until: Option<Until>,
    after: Option<Cursor>,
}

impl WaitTerms {
    /// Takes a term about waiting. Returns false if it is another one.
    pub(super) fn take(&mut self, term: &Term<'_>) -> Result<bool, ApiError> {
        match &*term.name {
            "wait" => self.limit = Some(wait_limit(term)?),
            "for" => {
                self.until = Some(match &*term.value {
                    "all" => Until::All,
                    "any" => Until::Any,
                    "change" => Until::Change,
                    other => return Err(term.not_among(other, ["all", "any", "change"])),
                });
            }
            "after" => self.after = Some(Cursor::new(&*term.value)),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(self) -> Result<Option<Wait>, ApiError> {
        let Some(limit) = self.limit else {
            return match (self.until, self.after) {
                (None, None) => Ok(None),
                _ => Err(ApiError::malformed(
                    "`for` and `after` belong to a wait: add wait=60s",
                )),
            };
        };
        wait_of(limit, self.until.unwrap_or(Until::All), self.after).map(Some)
    }
}

/// Composes a wait. A position makes sense only where a client waits for a change.
pub(super) fn wait_of(
    limit: Duration,
    until: Until,
    after: Option<Cursor>,
) -> Result<Wait, ApiError> {
    if after.is_some() && until != Until::Change {
        return Err(ApiError::malformed(
            "`after` belongs to for=change: an end counts whenever it was",
        ));
    }
    Ok(Wait {
        limit,
        until,
        after,
    })
}

/// Parses the longest time that a request may wait.
pub(super) fn wait_limit(term: &Term<'_>) -> Result<Duration, ApiError> {
    let limit = crate::clock::parse_duration(&term.value).ok();
    let limit = limit.filter(|limit| *limit <= WAIT_MAX);
    limit.ok_or_else(|| {
        let most = show_duration(WAIT_MAX);
        term.wrong(&format!("a duration such as 60s, at most {most}"))
    })
}
