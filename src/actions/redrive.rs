//! Redrive: dead letters become pending again.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::actions::Actions;
use crate::store::StoreError;
use crate::store::delivery::{Redriven, SinkBacklog, StoredDelivery};

/// The result of redriving one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedriveResult {
    /// The delivery is pending again, with a new schedule of attempts.
    Owed(StoredDelivery),
    /// The delivery is pending or delivered; without `force` it stays as it is.
    NotDead(StoredDelivery),
    /// There is no such delivery.
    Missing,
    /// The sink of the delivery is not configured, so no attempt would follow.
    NoSuchSink(String),
}

/// The result of redriving many dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedriveReport {
    /// The number of deliveries that are pending again, by sink.
    pub by_sink: BTreeMap<String, u64>,
    /// The sinks with dead letters that are not configured; their dead letters stay as they are.
    pub unconfigured: Vec<String>,
    /// The sinks of `by_sink` whose receiver is gone (410): their deliveries wait for a restart.
    pub gone: Vec<String>,
}

impl RedriveReport {
    /// Returns the number of deliveries that are pending again.
    pub fn total(&self) -> u64 {
        self.by_sink.values().sum()
    }
}

impl Actions {
    /// Makes one dead letter pending again, with the same event id; with `force` also a delivery
    /// that is not dead.
    ///
    /// # Errors
    /// The store failed.
    pub async fn redrive(&self, id: i64, force: bool) -> Result<RedriveResult, StoreError> {
        let parts = &self.parts;
        let Some((delivery, _)) = parts.store.delivery(id).await? else {
            return Ok(RedriveResult::Missing);
        };
        if parts.courier.sink(&delivery.sink).is_none() {
            return Ok(RedriveResult::NoSuchSink(delivery.sink));
        }
        let redriven = parts.store.redrive(id, force).await?;
        Ok(match redriven {
            Redriven::Owed(delivery) => {
                parts.wake.wake();
                RedriveResult::Owed(delivery)
            }
            Redriven::NotDead(delivery) => RedriveResult::NotDead(delivery),
            Redriven::Missing => RedriveResult::Missing,
        })
    }

    /// Makes the dead letters of `sink` pending again, or those of all sinks; with `since` only
    /// those that were given up at that time or later.
    ///
    /// # Errors
    /// The store failed; the dead letters of some sinks may be pending already.
    pub async fn redrive_dead(
        &self,
        sink: Option<String>,
        since: Option<Timestamp>,
    ) -> Result<RedriveReport, StoreError> {
        let parts = &self.parts;
        let sinks = match sink {
            Some(sink) => vec![sink],
            None => with_dead_letters(parts.store.backlog().await?),
        };
        let mut report = RedriveReport::default();
        for sink in sinks {
            let Some(status) = parts.courier.sink(&sink) else {
                report.unconfigured.push(sink);
                continue;
            };
            let redriven = parts.store.redrive_dead(&sink, since).await?;
            if redriven > 0 && status.gone_since.is_some() {
                report.gone.push(sink.clone());
            }
            report.by_sink.insert(sink, redriven);
        }
        if report.total() > 0 {
            parts.wake.wake();
        }
        Ok(report)
    }
}

fn with_dead_letters(backlog: Vec<SinkBacklog>) -> Vec<String> {
    let sinks = backlog.into_iter().filter(|backlog| backlog.dead > 0);
    sinks.map(|backlog| backlog.sink).collect()
}
