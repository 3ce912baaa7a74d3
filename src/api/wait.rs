//! Waits: an answer that comes when watches end or change.
//!
//! A waiting request holds no thread and no read of the store: the announcer wakes it.

use std::pin::pin;
use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use tokio::time::{sleep, timeout};

use crate::actions::Polling;
use crate::api::Api;
use crate::api::error::ApiError;
use crate::api::filter::{Wait, wait_limit, wait_of};
use crate::api::path::PathText;
use crate::api::query::terms;
use crate::api::schema::{self, REFERENCE};
use crate::api::view::{PageView, WatchView};
use crate::store::{Cursor, Query};
use crate::watch::{State as WatchState, Watch, WatchId};
use crate::workers::announcer::Until;

/// The longest wait if the request names none.
const WAIT_DEFAULT: Duration = Duration::from_mins(1);

/// Waits until a watch has ended, and shows it; after `timeout`, shows it as it is.
#[utoipa::path(
    get,
    path = "/v1/watches/{id}/wait",
    tag = "watches",
    operation_id = "wait_for_watch",
    params(
        ("id" = String, Path, description = REFERENCE),
        ("timeout" = Option<String>, Query, example = "1s", description = "The longest wait, at most 10m; 1m unless given"),
        ("for" = Option<schema::WaitForOne>, Query, description = "Until the watch has ended (the default), or a change"),
        ("after" = Option<String>, Query, description = "With `for=change`: changes after this position, the `as_of` of a list or the id of an event"),
    ),
    responses(
        (status = 200, body = WatchView, description = "The watch, which has ended or changed, or as it is at the timeout"),
        (status = 404, description = "no-such-watch"),
        (status = 409, description = "ambiguous-reference"),
    )
)]
pub(super) async fn one(
    State(api): State<Api>,
    PathText(reference): PathText,
    RawQuery(query): RawQuery,
) -> Result<Json<WatchView>, ApiError> {
    let wait = parse_query(query.as_deref().unwrap_or_default())?;
    let id = api.resolve_id(&reference).await?;
    let watch = if wait.until == Until::Change {
        let query = Query {
            ids: vec![id],
            limit: 1,
            ..Query::default()
        };
        let (mut watches, _) = api.when(query, wait).await?;
        watches.pop()
    } else {
        api.when_ended(id, wait.limit).await?
    };
    let watch = watch.ok_or_else(|| ApiError::no_such_watch(&reference))?;
    Ok(Json(api.view(watch)))
}

fn parse_query(text: &str) -> Result<Wait, ApiError> {
    let (mut limit, mut until, mut after) = (WAIT_DEFAULT, Until::All, None);
    for term in terms(text) {
        match &*term.name {
            "timeout" => limit = wait_limit(&term)?,
            "for" => {
                until = match &*term.value {
                    "end" => Until::All,
                    "change" => Until::Change,
                    other => return Err(term.not_among(other, ["end", "change"])),
                };
            }
            "after" => after = Some(Cursor::new(&*term.value)),
            _ => return Err(term.unknown("timeout, for and after")),
        }
    }
    wait_of(limit, until, after)
}

impl Api {
    /// Returns a watch once it has ended, or as it is after `limit`; `None` if there is no such
    /// watch.
    async fn when_ended(&self, id: WatchId, limit: Duration) -> Result<Option<Watch>, ApiError> {
        let (waiting, may_have_ended) = self.announcer.wait_for_end(id).await;
        // The poller knows every watch without an outcome, so this needs no read.
        if may_have_ended || self.poller.progress(id).is_none() {
            let watch = self.store.watch(id).await?;
            if watch
                .as_ref()
                .is_none_or(|it| it.state != WatchState::Watching)
            {
                return Ok(watch);
            }
        }
        let ended = self.unless_stopping(timeout(limit, waiting.over()));
        match ended.await? {
            Ok(Some(ended)) => Ok(Some(Watch::clone(&ended))),
            Ok(None) | Err(_) => Ok(self.store.watch(id).await?),
        }
    }

    /// Returns the watches of a query when the wait is over, and the position in the log of events
    /// that they show.
    pub(super) async fn when(
        &self,
        query: Query,
        wait: Wait,
    ) -> Result<(Vec<Watch>, Cursor), ApiError> {
        if let Some(after) = &wait.after {
            self.announcer.check_position(after).await?;
        }
        let mut time_is_up = pin!(sleep(wait.limit));
        let (mut seen, mut is_last) = (wait.after, false);
        loop {
            let position = self.announcer.present_position().await?;
            let page = self.store.full_page(query.clone()).await?;
            if page.next.is_some() {
                return Err(ApiError::malformed(format!(
                    "a wait covers at most {} watches, and more match; narrow the filter or raise `limit`",
                    query.limit
                )));
            }
            let watches = page.watches;
            if is_last || is_over(&watches, wait.until) {
                return Ok((watches, position));
            }
            let open = watches.iter().filter(|it| it.state == WatchState::Watching);
            let ids = open.map(|it| it.id).collect();
            let since = seen.take().unwrap_or(position);
            let waiting = self.announcer.begin_wait(ids, wait.until, &since).await;
            let change = async {
                tokio::select! {
                    biased;
                    _ = waiting.over() => wait.until == Until::Change,
                    () = time_is_up.as_mut() => true,
                }
            };
            is_last = self.unless_stopping(change).await?;
        }
    }

    /// Waits for a result, unless the daemon stops: the client then asks again.
    async fn unless_stopping<T>(&self, work: impl Future<Output = T>) -> Result<T, ApiError> {
        let done = self.stop.run_until_cancelled(work).await;
        done.ok_or_else(ApiError::stopping)
    }

    /// Shows a list of watches, as it is at this position in the log of events.
    pub(super) fn page(&self, watches: Vec<Watch>, next: Option<String>, at: &Cursor) -> PageView {
        PageView {
            watches: watches.into_iter().map(|watch| self.view(watch)).collect(),
            next,
            as_of: at.content().to_owned(),
        }
    }
}

/// True if nothing is left to wait for.
fn is_over(watches: &[Watch], until: Until) -> bool {
    let ended = watches.iter().filter(|it| it.state != WatchState::Watching);
    let ended = ended.count();
    ended == watches.len() || (until == Until::Any && ended > 0)
}
