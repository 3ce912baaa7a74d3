//! Attempts, lists and redrives of deliveries in PostgreSQL.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::store::delivery::{
    DeliveryPage, DeliveryQuery, DeliveryState, Redriven, StoredAttempt, StoredDelivery,
};
use crate::store::postgres::conditions::Conditions;
use crate::store::postgres::connections::{Connections, Transaction};
use crate::store::postgres::rows::clean;
use crate::store::{AttemptRecord, PAGE_MAX, PageCursor, SqlError, row, time};
use crate::watch::WatchId;

const COLUMNS: &str = "d.id, e.id AS event_id, e.watch_id, e.type, d.sink, d.state, d.attempts, \
    d.due_at, d.last_status, d.last_error, d.settled_at, store_time() AS now";
const FROM: &str = "deliveries d JOIN events e ON e.seq = d.event";

/// Makes a delivery pending again. A lease on it is kept: an attempt may be under way.
const OWED_AGAIN: &str = "state = 'pending', due_at = store_time(), \
    earlier_attempts = attempts, settled_at = NULL, took_us = NULL";

/// The records of attempts, one array for each column.
#[derive(Default)]
pub(super) struct NewAttempts {
    delivery: Vec<i64>,
    number: Vec<i32>,
    at: Vec<i64>,
    took_ms: Vec<i64>,
    http_status: Vec<Option<i32>>,
    error: Vec<Option<String>>,
    answer: Vec<Option<String>>,
}

impl NewAttempts {
    pub(super) fn add(&mut self, number: i32, record: &AttemptRecord) {
        self.delivery.push(record.delivery);
        self.number.push(number);
        self.at.push(row::micros(record.at));
        let took_ms = i64::try_from(record.took.as_millis()).unwrap_or(i64::MAX);
        self.took_ms.push(took_ms);
        self.http_status.push(record.http_status.map(i32::from));
        self.error.push(record.error.as_deref().map(clean));
        self.answer.push(record.answer.as_deref().map(clean));
    }

    /// Stores the records, and deletes older ones of the same deliveries so that `kept` stay.
    pub(super) async fn write(&self, transaction: &Transaction, kept: i32) -> Result<(), SqlError> {
        if self.delivery.is_empty() {
            return Ok(());
        }
        transaction
            .execute(
                "INSERT INTO attempts (delivery, number, at, took_ms, http_status, error, answer)
                 SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7)",
                &[
                    (&self.delivery, Type::INT8_ARRAY),
                    (&self.number, Type::INT4_ARRAY),
                    (&self.at, Type::INT8_ARRAY),
                    (&self.took_ms, Type::INT8_ARRAY),
                    (&self.http_status, Type::INT4_ARRAY),
                    (&self.error, Type::TEXT_ARRAY),
                    (&self.answer, Type::TEXT_ARRAY),
                ],
            )
            .await?;
        if self.number.iter().all(|number| *number <= kept) {
            return Ok(());
        }
        transaction
            .execute(
                "DELETE FROM attempts a USING unnest($1, $2) AS new (delivery, number)
                 WHERE a.delivery = new.delivery AND a.number <= new.number - $3",
                &[
                    (&self.delivery, Type::INT8_ARRAY),
                    (&self.number, Type::INT4_ARRAY),
                    (&kept, Type::INT4),
                ],
            )
            .await?;
        Ok(())
    }
}

pub(super) async fn page(
    connections: &Connections,
    query: &DeliveryQuery,
    before: Option<i64>,
    clock: Timestamp,
) -> Result<DeliveryPage, SqlError> {
    let limit = query.limit.clamp(1, PAGE_MAX);
    let mut conditions = conditions(query);
    let before = conditions.place(before.unwrap_or(i64::MAX), Type::INT8);
    conditions.add(format!("d.id < {before}"));
    let more = conditions.place(i64::try_from(limit + 1)?, Type::INT8);
    let sql = format!(
        "SELECT {COLUMNS} FROM {FROM} LEFT JOIN watches w ON w.id = e.watch_id
         WHERE {} ORDER BY d.id DESC LIMIT {more}",
        conditions.sql()
    );
    let rows = connections.read(&sql, &conditions.values()).await?;
    let mut page = DeliveryPage::default();
    for row in &rows {
        if page.deliveries.len() == limit {
            let last = page.deliveries.last();
            page.next = last.map(|delivery| PageCursor::new(delivery.id.to_string()));
            break;
        }
        page.deliveries.push(delivery_of(row, clock)?);
    }
    Ok(page)
}

fn conditions(query: &DeliveryQuery) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.one_of("d.state", query.states.iter().map(|state| state.as_str()));
    conditions.equal("d.sink", query.sink.as_ref());
    if let Some(watch) = query.watch {
        let place = conditions.place(watch.0, Type::UUID);
        conditions.add(format!("e.watch_id = {place}"));
    }
    conditions.equal("w.service", query.service.as_ref());
    conditions.equal("w.job_id", query.job_id.as_ref());
    conditions.labels("w.number", &query.labels);
    if let Some(since) = query.since {
        let place = conditions.place(row::micros(since), Type::INT8);
        conditions.add(format!("e.at >= {place}"));
    }
    if let Some(until) = query.until {
        let place = conditions.place(row::micros(until), Type::INT8);
        conditions.add(format!("e.at < {place}"));
    }
    conditions
}

const ONE: &str = "WHERE d.id = $1";

pub(super) async fn one(
    connections: &Connections,
    id: i64,
    clock: Timestamp,
) -> Result<Option<StoredDelivery>, SqlError> {
    let sql = format!("SELECT {COLUMNS} FROM {FROM} {ONE}");
    let rows = connections.read(&sql, &[(&id, Type::INT8)]).await?;
    rows.first().map(|row| delivery_of(row, clock)).transpose()
}

/// The first attempt at a delivery, if it succeeded; its row is not in the table of attempts.
const FIRST: &str =
    "SELECT id, 1 AS number, settled_at - took_us, took_us / 1000, last_status, NULL::text, NULL::text
    FROM deliveries WHERE took_us IS NOT NULL AND id = $1";

pub(super) async fn of(
    connections: &Connections,
    delivery: i64,
) -> Result<Vec<StoredAttempt>, SqlError> {
    let sql = format!(
        "SELECT delivery, number, at, took_ms, http_status, error, answer
         FROM attempts WHERE delivery = $1 UNION ALL {FIRST} ORDER BY number"
    );
    let rows = connections.read(&sql, &[(&delivery, Type::INT8)]).await?;
    let attempts = rows.iter().map(|row| {
        let took_ms: i64 = row.try_get(3)?;
        Ok(StoredAttempt {
            number: u32::try_from(row.try_get::<_, i32>(1)?)?,
            at: row::timestamp("at", row.try_get(2)?)?,
            took: Duration::from_millis(u64::try_from(took_ms)?),
            http_status: status(row.try_get(4)?)?,
            error: row.try_get(5)?,
            answer: row.try_get(6)?,
        })
    });
    attempts.collect()
}

fn status(status: Option<i32>) -> Result<Option<u16>, SqlError> {
    Ok(status.map(u16::try_from).transpose()?)
}

pub(super) async fn redrive(
    connections: &Connections,
    id: i64,
    force: bool,
    clock: Timestamp,
) -> Result<Redriven, SqlError> {
    let transaction = connections.begin().await?;
    if force {
        // From now on the delivery tells of the next attempt.
        let sql = format!("INSERT INTO attempts {FIRST}");
        transaction.execute(&sql, &[(&id, Type::INT8)]).await?;
    }
    let sql =
        format!("UPDATE deliveries SET {OWED_AGAIN} WHERE id = $1 AND (state = 'dead' OR $2)");
    let values = [(&id as _, Type::INT8), (&force as _, Type::BOOL)];
    let changed = transaction.execute(&sql, &values).await?;
    let sql = format!("SELECT {COLUMNS} FROM {FROM} {ONE}");
    let rows = transaction.query(&sql, &[(&id, Type::INT8)]).await?;
    let delivery = rows
        .first()
        .map(|row| delivery_of(row, clock))
        .transpose()?;
    transaction.commit().await?;
    Ok(match delivery {
        Some(delivery) if changed == 1 => Redriven::Owed(delivery),
        Some(delivery) => Redriven::NotDead(delivery),
        None => Redriven::Missing,
    })
}

pub(super) async fn redrive_dead(
    connections: &Connections,
    sink: &str,
    since: Option<Timestamp>,
) -> Result<u64, SqlError> {
    let sql = format!(
        "UPDATE deliveries SET {OWED_AGAIN} WHERE sink = $1 AND state = 'dead' AND settled_at >= $2"
    );
    let since = since.map_or(i64::MIN, row::micros);
    let transaction = connections.begin().await?;
    let values = [(&sink as _, Type::TEXT), (&since as _, Type::INT8)];
    let changed = transaction.execute(&sql, &values).await?;
    transaction.commit().await?;
    Ok(changed)
}

fn delivery_of(row: &Row, clock: Timestamp) -> Result<StoredDelivery, SqlError> {
    let state: DeliveryState = row.try_get::<_, &str>("state")?.parse()?;
    let settled_at: Option<i64> = row.try_get("settled_at")?;
    let due_at = row::timestamp("due_at", row.try_get("due_at")?)?;
    let now = row::timestamp("now", row.try_get("now")?)?;
    Ok(StoredDelivery {
        id: row.try_get("id")?,
        event_id: row.try_get("event_id")?,
        watch_id: row.try_get::<_, Option<Uuid>>("watch_id")?.map(WatchId),
        type_name: row.try_get("type")?,
        sink: row.try_get("sink")?,
        state,
        attempts_total: u32::try_from(row.try_get::<_, i32>("attempts")?)?,
        due_at: (state == DeliveryState::Pending).then(|| time::shown(due_at, now, clock)),
        last_status: status(row.try_get("last_status")?)?,
        last_error: row.try_get("last_error")?,
        settled_at: settled_at
            .map(|micros| row::timestamp("settled_at", micros))
            .transpose()?,
    })
}
