//! The deliveries of the store in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use jobwatch::clock::{later, until};
use jobwatch::store::delivery::{
    ATTEMPTS_KEPT, DeliveryPage, DeliveryQuery, DeliveryState, Redriven, SinkBacklog,
    StoredAttempt, StoredDelivery,
};
use jobwatch::store::time::StoreTime;
use jobwatch::store::{AttemptRecord, Claimed, Outbox, PAGE_MAX, Query, Settlement, StoreError};
use jobwatch::watch::delivery::Delivery;
use uuid::Uuid;

use crate::store::memory::{
    DeliveryRow, MemoryStore, Rows, after, before, cursor, matches, number,
};

impl Rows {
    pub(super) fn settle(&mut self, record: &AttemptRecord, now: Timestamp) {
        let owed = &mut self.deliveries[after(record.delivery) - 1];
        let is_known = match record.settlement {
            Settlement::Delivered | Settlement::Dead => false,
            Settlement::RetryAfter(_) => {
                owed.attempts_total - owed.earlier != record.schedule_attempt - 1
            }
            Settlement::ReceiverGone => owed.history.iter().any(|kept| kept.at == record.at),
        };
        if owed.state != DeliveryState::Pending || is_known {
            return;
        }
        owed.attempts_total += 1;
        owed.lease_until = Timestamp::MIN;
        owed.last = Some(record.clone());
        owed.history.push(StoredAttempt {
            number: owed.attempts_total,
            at: record.at,
            took: record.took,
            http_status: record.http_status,
            error: record.error.clone(),
            answer: record.answer.clone(),
        });
        let kept = usize::try_from(ATTEMPTS_KEPT).unwrap();
        let surplus = owed.history.len().saturating_sub(kept);
        owed.history.drain(..surplus);
        let ended = later(record.at, record.took);
        owed.settled_at = Some(ended);
        match record.settlement {
            Settlement::Delivered => owed.state = DeliveryState::Delivered,
            Settlement::Dead => owed.state = DeliveryState::Dead,
            Settlement::RetryAfter(delay) => {
                owed.due_at = later(now, delay);
                owed.settled_at = None;
            }
            Settlement::ReceiverGone => {
                owed.earlier += 1;
                owed.settled_at = None;
            }
        }
    }

    pub(super) fn claim(
        &mut self,
        sink: &str,
        lease: Duration,
        limit: usize,
        now: Timestamp,
    ) -> Vec<Claimed> {
        let mut due: Vec<usize> = (0..self.deliveries.len())
            .filter(|index| {
                let owed = &self.deliveries[*index];
                owed.sink == sink
                    && owed.state == DeliveryState::Pending
                    && owed.due_at <= now
                    && owed.lease_until <= now
            })
            .collect();
        due.sort_by_key(|index| self.deliveries[*index].due_at);
        due.truncate(limit);
        let mut claimed = Vec::new();
        for index in due {
            self.deliveries[index].lease_until = later(now, lease);
            let owed = &self.deliveries[index];
            let event = &self.events[self.event_ids[&owed.event_id]].event;
            claimed.push(Claimed {
                id: number(index),
                schedule_attempts: owed.attempts_total - owed.earlier,
                delivery: Delivery {
                    event_id: event.id,
                    type_name: event.kind.type_name().to_owned(),
                    body: event.body.clone(),
                    target: owed.target.clone(),
                },
            });
        }
        claimed
    }

    pub(super) fn stored(&self, index: usize, time: &StoreTime) -> StoredDelivery {
        let owed = &self.deliveries[index];
        let logged = self.event(owed.event_id).unwrap();
        let last = owed.last.as_ref();
        StoredDelivery {
            id: number(index),
            event_id: owed.event_id,
            watch_id: logged.watch,
            type_name: logged.event.kind.type_name().to_owned(),
            sink: owed.sink.clone(),
            state: owed.state,
            attempts_total: owed.attempts_total,
            due_at: (owed.state == DeliveryState::Pending).then(|| time.shown(owed.due_at)),
            last_status: last.and_then(|last| last.http_status),
            last_error: last.and_then(|last| last.error.clone()),
            settled_at: owed.settled_at,
        }
    }

    pub(super) fn owe_again(&mut self, index: usize, now: Timestamp) {
        let owed = &mut self.deliveries[index];
        owed.state = DeliveryState::Pending;
        owed.due_at = now;
        owed.earlier = owed.attempts_total;
        owed.settled_at = None;
    }

    pub(super) fn delivery_page(
        &self,
        query: &DeliveryQuery,
        time: &StoreTime,
    ) -> Result<DeliveryPage, StoreError> {
        let before = before(query.before.as_ref())?;
        let wanted = |index: &usize| {
            let owed = &self.deliveries[*index];
            number(*index) < before
                && (query.states.is_empty() || query.states.contains(&owed.state))
                && query.sink.as_ref().is_none_or(|sink| owed.sink == *sink)
                && self.is_about(owed.event_id, query)
        };
        let mut found = (0..self.deliveries.len()).rev().filter(wanted);
        let limit = query.limit.clamp(1, PAGE_MAX);
        let page: Vec<usize> = found.by_ref().take(limit).collect();
        let last = page.last().map(|index| cursor(*index));
        let stored = page.into_iter().map(|index| self.stored(index, time));
        Ok(DeliveryPage {
            deliveries: stored.collect(),
            next: last.filter(|_| found.next().is_some()),
        })
    }

    /// True if an event matches the parts of a query that are about it and its watch.
    pub(super) fn is_about(&self, event_id: Uuid, query: &DeliveryQuery) -> bool {
        let logged = self.event(event_id).unwrap();
        let at = logged.event.at;
        let of_watch = Query {
            service: query.service.clone(),
            job_id: query.job_id.clone(),
            labels: query.labels.clone(),
            ids: query.watch.into_iter().collect(),
            ..Query::default()
        };
        let has_any = query.service.is_some()
            || query.job_id.is_some()
            || !query.labels.is_empty()
            || query.watch.is_some();
        let watch = logged.watch.and_then(|id| self.watch(id));
        query.since.is_none_or(|since| at >= since)
            && query.until.is_none_or(|until| at < until)
            && watch.map_or(!has_any, |watch| matches(watch, &of_watch))
    }
}

#[async_trait]
impl Outbox for MemoryStore {
    async fn claim_deliveries(
        &self,
        sink: &str,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Claimed>, StoreError> {
        let now = self.time.now();
        Ok(self.rows()?.claim(sink, lease, limit, now))
    }

    async fn settle(&self, records: Vec<AttemptRecord>) -> Result<(), StoreError> {
        let now = self.time.now();
        let mut rows = self.rows()?;
        for record in &records {
            rows.settle(record, now);
        }
        Ok(())
    }

    async fn next_delivery_due(&self, sink: &str) -> Result<Option<Duration>, StoreError> {
        let rows = self.rows()?;
        let owed = rows.deliveries.iter();
        let pending = owed.filter(|owed| owed.sink == sink && owed.state == DeliveryState::Pending);
        let due = pending.map(|owed| owed.due_at.max(owed.lease_until)).min();
        Ok(due.map(|due| until(self.time.now(), due)))
    }

    async fn backlog(&self) -> Result<Vec<SinkBacklog>, StoreError> {
        let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for owed in &self.rows()?.deliveries {
            match owed.state {
                DeliveryState::Pending => counts.entry(owed.sink.clone()).or_default().0 += 1,
                DeliveryState::Dead => counts.entry(owed.sink.clone()).or_default().1 += 1,
                DeliveryState::Delivered => {}
            }
        }
        let backlog = counts.into_iter();
        Ok(backlog
            .map(|(sink, (pending, dead))| SinkBacklog {
                sink,
                pending,
                dead,
            })
            .collect())
    }

    async fn deliveries(&self, query: DeliveryQuery) -> Result<DeliveryPage, StoreError> {
        self.rows()?.delivery_page(&query, &self.time)
    }

    async fn delivery(
        &self,
        id: i64,
    ) -> Result<Option<(StoredDelivery, Vec<StoredAttempt>)>, StoreError> {
        let rows = self.rows()?;
        let index = after(id).checked_sub(1);
        let index = index.filter(|index| *index < rows.deliveries.len());
        let history = |index: usize| rows.deliveries[index].history.clone();
        Ok(index.map(|index| (rows.stored(index, &self.time), history(index))))
    }

    async fn redrive(&self, id: i64, force: bool) -> Result<Redriven, StoreError> {
        let mut rows = self.rows()?;
        let index = after(id).checked_sub(1);
        let Some(index) = index.filter(|index| *index < rows.deliveries.len()) else {
            return Ok(Redriven::Missing);
        };
        if rows.deliveries[index].state != DeliveryState::Dead && !force {
            return Ok(Redriven::NotDead(rows.stored(index, &self.time)));
        }
        rows.owe_again(index, self.time.now());
        Ok(Redriven::Owed(rows.stored(index, &self.time)))
    }

    async fn redrive_dead(&self, sink: &str, since: Option<Timestamp>) -> Result<u64, StoreError> {
        let mut rows = self.rows()?;
        let is_wanted = |owed: &DeliveryRow| {
            owed.state == DeliveryState::Dead
                && owed.sink == sink
                && since.is_none_or(|since| owed.settled_at.is_some_and(|at| at >= since))
        };
        let wanted: Vec<usize> = (0..rows.deliveries.len())
            .filter(|index| is_wanted(&rows.deliveries[*index]))
            .collect();
        for index in &wanted {
            rows.owe_again(*index, self.time.now());
        }
        Ok(u64::try_from(wanted.len()).unwrap())
    }
}
