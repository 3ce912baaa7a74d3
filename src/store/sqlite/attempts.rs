//! Attempts, lists and redrives of deliveries in `SQLite`.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params, params_from_iter};
use uuid::Uuid;

use crate::store::delivery::{
    ATTEMPTS_KEPT, DeliveryPage, DeliveryQuery, DeliveryState, Redriven, StoredAttempt,
    StoredDelivery,
};
use crate::store::sqlite::SqlError;
use crate::store::sqlite::conditions::Conditions;
use crate::store::time::StoreTime;
use crate::store::{AttemptRecord, PAGE_MAX, PageCursor, row};
use crate::watch::WatchId;

const COLUMNS: &str = "d.id, e.id AS event_id, e.watch_id, e.type, d.sink, d.state, d.attempts, \
    d.due_at, d.last_status, d.last_error, d.settled_at";
const FROM: &str = "deliveries d JOIN events e ON e.seq = d.event";

/// Makes a delivery pending again. A claim on it is kept: an attempt may be under way.
const OWED_AGAIN: &str = "state = 'pending', due_at = :now, \
    earlier_attempts = attempts, settled_at = NULL, took_us = NULL";

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
        millis(record.took),
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

pub(super) fn millis(took: Duration) -> i64 {
    i64::try_from(took.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn page(
    db: &Connection,
    query: &DeliveryQuery,
    before: Option<i64>,
    time: &StoreTime,
) -> Result<DeliveryPage, SqlError> {
    let limit = query.limit.clamp(1, PAGE_MAX);
    let (from, mut conditions) = search(query);
    conditions.add("d.id < ?", [before.unwrap_or(i64::MAX).into()]);
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM {from} WHERE {} ORDER BY d.id DESC LIMIT ?",
        conditions.sql()
    ))?;
    conditions.values.push(i64::try_from(limit + 1)?.into());
    let mut rows = statement.query(params_from_iter(conditions.values))?;
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

/// Returns the tables of a query in the order in which `SQLite` reads them, and its conditions.
/// A watch or a job leads to few deliveries. Otherwise the deliveries are read in their order.
fn search(query: &DeliveryQuery) -> (&'static str, Conditions) {
    let mut conditions = Conditions::default();
    of_states(&mut conditions, &query.states);
    conditions.equal("d.sink", query.sink.clone());
    conditions.equal("e.watch_id", query.watch.map(|id| id.0.as_bytes().to_vec()));
    conditions.equal("w.service", query.service.clone());
    conditions.equal("w.job_id", query.job_id.clone());
    conditions.members("w.labels", &query.labels);
    if let Some(since) = query.since {
        conditions.add("e.at >= ?", [row::micros(since).into()]);
    }
    if let Some(until) = query.until {
        conditions.add("e.at < ?", [row::micros(until).into()]);
    }
    let from = if query.job_id.is_some() {
        "watches w CROSS JOIN events e ON e.watch_id = w.id
            CROSS JOIN deliveries d ON d.event = e.seq"
    } else if query.watch.is_some() && query.service.is_none() && query.labels.is_empty() {
        "events e CROSS JOIN deliveries d ON d.event = e.seq"
    } else if query.watch.is_some() {
        "events e CROSS JOIN deliveries d ON d.event = e.seq
            CROSS JOIN watches w ON w.id = e.watch_id"
    } else if query.service.is_none() && query.labels.is_empty() {
        "deliveries d CROSS JOIN events e ON e.seq = d.event"
    } else {
        "deliveries d CROSS JOIN events e ON e.seq = d.event
            CROSS JOIN watches w ON w.id = e.watch_id"
    };
    (from, conditions)
}

/// Adds the condition that a delivery is in one of these states; none means any. A state is part of
/// the SQL, so that `SQLite` can use the index of those in it.
fn of_states(conditions: &mut Conditions, states: &[DeliveryState]) {
    match states {
        [] => {}
        several if several.contains(&DeliveryState::Delivered) => {
            conditions.one_of("d.state", several.iter().map(|state| state.as_str()));
        }
        open => {
            let each = open
                .iter()
                .map(|state| format!("SELECT id FROM deliveries WHERE state = '{state}'"));
            let each = each.collect::<Vec<_>>().join(" UNION ALL ");
            conditions.add(format!("d.id IN ({each})"), []);
        }
    }
}

pub(super) fn one(
    db: &Connection,
    id: i64,
    time: &StoreTime,
) -> Result<Option<StoredDelivery>, SqlError> {
    let found = db
        .prepare_cached(&format!("SELECT {COLUMNS} FROM {FROM} WHERE d.id = ?1"))?
        .query_row([id], |row| Ok(delivery_of(row, time)))
        .optional()?;
    found.transpose()
}

/// The first attempt at a delivery, if it succeeded; its row is not in the table of attempts.
const FIRST: &str =
    "SELECT id, 1 AS number, settled_at - took_us, took_us / 1000, last_status, NULL, NULL
    FROM deliveries WHERE took_us NOT NULL AND id = :id";

pub(super) fn of(db: &Connection, delivery: i64) -> Result<Vec<StoredAttempt>, SqlError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT delivery, number, at, took_ms, http_status, error, answer
             FROM attempts WHERE delivery = :id UNION ALL {FIRST} ORDER BY number"
    ))?;
    let mut rows = statement.query(named_params! { ":id": delivery })?;
    let mut attempts = Vec::new();
    while let Some(row) = rows.next()? {
        let took_ms: i64 = row.get(3)?;
        attempts.push(StoredAttempt {
            number: row.get(1)?,
            at: row::timestamp("at", row.get(2)?)?,
            took: Duration::from_millis(u64::try_from(took_ms)?),
            http_status: row.get(4)?,
            error: row.get(5)?,
            answer: row.get(6)?,
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
    if force {
        // From now on the delivery tells of the next attempt.
        db.prepare_cached(&format!("INSERT INTO attempts {FIRST}"))?
            .execute(named_params! { ":id": id })?;
    }
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
