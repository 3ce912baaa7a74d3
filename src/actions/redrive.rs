//! Sending dead letters again.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::actions::Actions;
use crate::store::StoreError;
use crate::store::delivery::{Redriven, SinkBacklog, StoredDelivery};

/// The result of redriving one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedriveResult {
    /// It is owed again, from the first attempt of a new schedule.
    Owed(StoredDelivery),
    /// It is pending or delivered, and stays as it is without `force`.
    NotDead(StoredDelivery),
    /// There is no such delivery.
    Missing,
    /// Its sink is not configured: no attempt would follow.
    NoSuchSink(String),
}

/// The result of redriving many dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedriveReport {
    /// How many are owed again, by sink.
    pub by_sink: BTreeMap<String, u64>,
    /// Sinks with dead letters that are not configured; theirs were kept as they are.
    pub unconfigured: Vec<String>,
    /// Sinks of `by_sink` whose receiver is gone (410): their deliveries wait for a restart.
    pub gone: Vec<String>,
}

impl RedriveReport {
    /// How many deliveries are owed again.
    pub fn total(&self) -> u64 {
        self.by_sink.values().sum()
    }
}

impl Actions {
    /// Sends one dead letter again, under the same event id; with `force` also a delivery that
    /// is not dead.
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
        let redriven = parts.store.redrive(id, force, parts.clock.now()).await?;
        Ok(match redriven {
            Redriven::Owed(delivery) => {
                parts.wake.wake();
                RedriveResult::Owed(delivery)
            }
            Redriven::NotDead(delivery) => RedriveResult::NotDead(delivery),
            Redriven::Missing => RedriveResult::Missing,
        })
    }

    /// Sends the dead letters of `sink` again, or of every sink that has some; with `since`
    /// only those that were given up then or later.
    ///
    /// # Errors
    /// The store failed; some sinks may have been done.
    pub async fn redrive_dead(
        &self,
        sink: Option<String>,
        since: Option<Timestamp>,
    ) -> Result<RedriveReport, StoreError> {
        let parts = &self.parts;
        let now = parts.clock.now();
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
            let redriven = parts.store.redrive_dead(&sink, since, now).await?;
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
