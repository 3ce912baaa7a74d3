//! Attempts, lists and redrives of deliveries in `SQLite`.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use uuid::Uuid;

use crate::store::delivery::{
    ATTEMPTS_KEPT, DeliveryPage, DeliveryQuery, DeliveryState, Redriven, StoredAttempt,
    StoredDelivery,
};
use crate::store::sqlite::SqlError;
use crate::store::time::StoreTime;
use crate::store::{AttemptRecord, PAGE_MAX, PageCursor, row};
use crate::watch::WatchId;

const COLUMNS: &str = "d.id, d.event_id, e.watch_id, e.type, d.sink, d.state, d.attempts, \
    d.due_at, d.last_status, d.last_error, d.settled_at";
const FROM: &str = "FROM deliveries d JOIN events e ON e.id = d.event_id";

/// Makes a delivery pending again. The lease is kept: an attempt may be under way.
const OWED_AGAIN: &str = "state = 'pending', due_at = :now, \
    earlier_attempts = attempts, settled_at = NULL";

/// Stores the record of attempt `number` and deletes records beyond [`ATTEMPTS_KEPT`].
pub(super) fn keep(db: &Connection, number: u32, record: &AttemptRecord) -> Result<(), SqlError> {
    db.prepare_cached(
        "INSERT INTO attempts (delivery, number, at, took_ms, http_status, error, answer)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        record.delivery,
        number,
        row::micros(record.at),
        i64::try_from(record.took.as_millis()).unwrap_or(i64::MAX),
        record.http_status,
        record.error,
        record.answer,
    ])?;
    if number > ATTEMPTS_KEPT {
        db.prepare_cached("DELETE FROM attempts WHERE delivery = ?1 AND number <= ?2")?
            .execute(params![record.delivery, number - ATTEMPTS_KEPT])?;
    }
    Ok(())
}

pub(super) fn page(
    db: &Connection,
    query: &DeliveryQuery,
    before: Option<i64>,
    time: &StoreTime,
) -> Result<DeliveryPage, SqlError> {
    let limit = query.limit.clamp(1, PAGE_MAX);
    let mut statement = db.prepare_cached(&page_sql(query))?;
    let mut rows = statement.query(named_params! {
        ":state": query.state.map(DeliveryState::as_str),
        ":sink": query.sink,
        ":before": before.unwrap_or(i64::MAX),
        ":limit": i64::try_from(limit + 1)?,
    })?;
    let mut page = DeliveryPage::default();
    while let Some(row) = rows.next()? {
        if page.deliveries.len() == limit {
            let last = page.deliveries.last();
            page.next = last.map(|delivery| PageCursor::new(delivery.id.to_string()));
            break;
        }
        page.deliveries.push(delivery_of(row, time)?);
    }
    Ok(page)
}

/// Returns SQL with only the conditions that the query sets, so that `SQLite` can use an
/// index; it names every parameter, because an unused one cannot be bound.
fn page_sql(query: &DeliveryQuery) -> String {
    let state = match query.state {
        Some(_) => "d.state = :state",
        None => ":state IS NULL",
    };
    let sink = match query.sink {
        Some(_) => "d.sink = :sink",
        None => ":sink IS NULL",
    };
    format!(
        "SELECT {COLUMNS} {FROM} WHERE d.id < :before AND {state} AND {sink}
         ORDER BY d.id DESC LIMIT :limit"
    )
}

pub(super) fn one(
    db: &Connection,
    id: i64,
    time: &StoreTime,
) -> Result<Option<StoredDelivery>, SqlError> {
    let found = db
        .prepare_cached(&format!("SELECT {COLUMNS} {FROM} WHERE d.id = ?1"))?
        .query_row([id], |row| Ok(delivery_of(row, time)))
        .optional()?;
    found.transpose()
}

pub(super) fn of(db: &Connection, delivery: i64) -> Result<Vec<StoredAttempt>, SqlError> {
    let mut statement = db.prepare_cached(
        "SELECT number, at, took_ms, http_status, error, answer
         FROM attempts WHERE delivery = ?1 ORDER BY number",
    )?;
    let mut rows = statement.query([delivery])?;
    let mut attempts = Vec::new();
    while let Some(row) = rows.next()? {
        let took_ms: i64 = row.get(2)?;
        attempts.push(StoredAttempt {
            number: row.get(0)?,
            at: row::timestamp("at", row.get(1)?)?,
            took: Duration::from_millis(u64::try_from(took_ms)?),
            http_status: row.get(3)?,
            error: row.get(4)?,
            answer: row.get(5)?,
        });
    }
    Ok(attempts)
}

pub(super) fn redrive(
    db: &Connection,
    id: i64,
    force: bool,
    time: &StoreTime,
) -> Result<Redriven, SqlError> {
    let changed = db
        .prepare_cached(&format!(
            "UPDATE deliveries SET {OWED_AGAIN} WHERE id = :id AND (state = 'dead' OR :force)"
        ))?
        .execute(named_params! { ":now": row::micros(time.now()), ":id": id, ":force": force })?;
    Ok(match one(db, id, time)? {
        Some(delivery) if changed == 1 => Redriven::Owed(delivery),
        Some(delivery) => Redriven::NotDead(delivery),
        None => Redriven::Missing,
    })
}

pub(super) fn redrive_dead(
    db: &Connection,
    sink: &str,
    since: Option<Timestamp>,
    now: Timestamp,
) -> Result<u64, SqlError> {
    let changed = db
        .prepare_cached(&format!(
            "UPDATE deliveries SET {OWED_AGAIN}
             WHERE sink = :sink AND state = 'dead' AND settled_at >= :since"
        ))?
        .execute(named_params! {
            ":now": row::micros(now),
            ":sink": sink,
            ":since": since.map_or(i64::MIN, row::micros),
        })?;
    Ok(u64::try_from(changed)?)
}

fn delivery_of(row: &Row<'_>, time: &StoreTime) -> Result<StoredDelivery, SqlError> {
    let state: DeliveryState = row.get::<_, String>("state")?.parse()?;
    let settled_at: Option<i64> = row.get("settled_at")?;
    let due_at = row::timestamp("due_at", row.get("due_at")?)?;
    Ok(StoredDelivery {
        id: row.get("id")?,
        event_id: row.get("event_id")?,
        watch_id: row.get::<_, Option<Uuid>>("watch_id")?.map(WatchId),
        type_name: row.get("type")?,
        sink: row.get("sink")?,
        state,
        attempts_total: row.get("attempts")?,
        due_at: (state == DeliveryState::Pending).then(|| time.shown(due_at)),
        last_status: row.get("last_status")?,
        last_error: row.get("last_error")?,
        settled_at: settled_at
            .map(|micros| row::timestamp("settled_at", micros))
            .transpose()?,
    })
}
