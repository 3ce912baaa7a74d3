//! `/v1/durations`: how long jobs took; and the usual duration of the jobs in lists.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Api;
use crate::api::error::ApiError;
use crate::api::query::terms;
use crate::api::view::UsualView;
use crate::store::{JobDurations, StoreError};
use crate::watch::{State as WatchState, Watch};

/// The fewest ends from which a duration counts as usual.
const ENDS_MIN: usize = 3;
/// The time for which a usual duration is not read again.
const FRESH_FOR: Duration = Duration::from_secs(15);
/// The most types of jobs whose usual duration is kept in memory.
const KEPT_MAX: usize = 1000;
/// The most types of jobs that one request reads.
const READS_MAX: usize = 50;

/// How long jobs took, by service and type.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Durations)]
pub(crate) struct DurationsView {
    pub(crate) durations: Vec<DurationView>,
}

/// How long the newest jobs of one type took, from those that ended with a verdict.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Duration)]
pub(crate) struct DurationView {
    pub(crate) service: String,
    /// The type in the words of the service; `null` for jobs without one.
    pub(crate) job_type: Option<String>,
    /// The number of jobs that were counted, at most 64.
    pub(crate) count: usize,
    /// One of ten jobs took at most this long, in seconds.
    pub(crate) p10_s: f64,
    /// Half of them took at most this long.
    pub(crate) p50_s: f64,
    /// Nine of ten took at most this long.
    pub(crate) p90_s: f64,
}

/// Lists how long jobs took, of one service or of all.
#[utoipa::path(
    get,
    path = "/v1/durations",
    tag = "services",
    operation_id = "list_durations",
    params(("service" = Option<String>, Query, description = "The jobs of this service")),
    responses((status = 200, body = DurationsView, description = "The durations, by service and type"))
)]
pub(super) async fn list(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<DurationsView>, ApiError> {
    let mut service = None;
    for term in terms(query.as_deref().unwrap_or_default()) {
        match &*term.name {
            "service" => {
                let value = term.value.clone().into_owned();
                service = Some(term.once(service.as_ref(), value)?);
            }
            _ => return Err(term.unknown("service")),
        }
    }
    let durations = api.store.durations(service.as_deref()).await?;
    Ok(Json(DurationsView {
        durations: durations.into_iter().map(DurationView::from).collect(),
    }))
}

impl From<JobDurations> for DurationView {
    fn from(of: JobDurations) -> Self {
        Self {
            service: of.service,
            job_type: Some(of.job_type).filter(|job_type| !job_type.is_empty()),
            count: of.count,
            p10_s: of.p10.as_secs_f64(),
            p50_s: of.p50.as_secs_f64(),
            p90_s: of.p90.as_secs_f64(),
        }
    }
}

/// A service and a type of its jobs.
type Key = (String, String);

/// The usual durations in memory, so that a list reads each type once in a while and not for each
/// row. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Usual(Arc<Mutex<HashMap<Key, Kept>>>);

#[derive(Clone, Copy)]
struct Kept {
    usual: Option<UsualView>,
    /// The uptime of the read.
    read_at: Duration,
}

impl Usual {
    /// Returns the usual duration of such a job as far as it is in memory.
    pub(super) fn of(&self, watch: &Watch) -> Option<UsualView> {
        self.0.lock().get(&key_of(watch)?)?.usual
    }

    /// Returns those of these keys that are missing or old.
    fn outdated(&self, keys: BTreeSet<Key>, uptime: Duration) -> Vec<Key> {
        let kept = self.0.lock();
        let is_fresh = |key: &Key| {
            let kept = kept.get(key);
            kept.is_some_and(|kept| uptime.saturating_sub(kept.read_at) < FRESH_FOR)
        };
        let keys = keys.into_iter().filter(|key| !is_fresh(key));
        keys.take(READS_MAX).collect()
    }

    fn keep(&self, key: Key, usual: Option<UsualView>, read_at: Duration) {
        let mut kept = self.0.lock();
        if kept.len() >= KEPT_MAX && !kept.contains_key(&key) {
            kept.clear();
        }
        kept.insert(key, Kept { usual, read_at });
    }
}

/// Returns the key of a watch whose job was seen and goes on.
fn key_of(watch: &Watch) -> Option<Key> {
    let job = watch.job.as_ref()?;
    let goes_on = watch.state == WatchState::Watching;
    goes_on.then(|| {
        let job_type = job.job_type.clone().unwrap_or_default();
        (watch.service.clone(), job_type)
    })
}

impl Api {
    /// Reads the usual durations of these watches, where they are not known or old.
    pub(super) async fn refresh_usual(&self, watches: &[Watch]) -> Result<(), StoreError> {
        let keys = watches.iter().filter_map(key_of).collect();
        let uptime = self.clock.uptime();
        for key in self.usual.outdated(keys, uptime) {
            let found = self.store.usual_duration(&key.0, &key.1).await?;
            let usual = found.filter(|found| found.count >= ENDS_MIN);
            let usual = usual.map(|found| UsualView {
                count: found.count,
                p50_s: found.p50.as_secs_f64(),
                p90_s: found.p90.as_secs_f64(),
            });
            self.usual.keep(key, usual, uptime);
        }
        Ok(())
    }
}
