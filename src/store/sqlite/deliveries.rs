//! Deliveries in `SQLite`: what is owed, who is at it, what came of it.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::clock::later;
use crate::store::delivery::{DeliveryState, SinkBacklog};
use crate::store::sqlite::{SqlError, attempts};
use crate::store::{AttemptRecord, Delivery, DeliveryCounts, Settlement, row};

pub(super) fn claim(
    db: &Connection,
    sink: &str,
    now: Timestamp,
    lease_until: Timestamp,
    limit: usize,
) -> Result<Vec<Delivery>, SqlError> {
    let mut statement = db.prepare_cached(
        "SELECT d.id, d.event_id, e.type, e.body, d.attempts - d.earlier_attempts, w.callback_url
         FROM deliveries d JOIN events e ON e.id = d.event_id
            LEFT JOIN watches w ON d.sink = 'callback' AND w.id = e.watch_id
         WHERE d.sink = ?1 AND d.state = 'pending' AND d.due_at <= ?2 AND d.lease_until <= ?2
         ORDER BY d.due_at LIMIT ?3",
    )?;
    let now = row::micros(now);
    let mut rows = statement.query(params![sink, now, i64::try_from(limit)?])?;
    let mut claimed = Vec::new();
    while let Some(row) = rows.next()? {
        claimed.push(Delivery {
            id: row.get(0)?,
            event_id: row.get(1)?,
            type_name: row.get(2)?,
            body: row.get(3)?,
            attempts: row.get(4)?,
            callback_url: row.get(5)?,
        });
    }
    let mut lease = db.prepare_cached("UPDATE deliveries SET lease_until = ?2 WHERE id = ?1")?;
    for delivery in &claimed {
        lease.execute(params![delivery.id, row::micros(lease_until)])?;
    }
    Ok(claimed)
}

pub(super) fn settle(db: &Connection, records: &[AttemptRecord]) -> Result<(), SqlError> {
    let mut statement = db.prepare_cached(
        "UPDATE deliveries SET state = ?2, due_at = coalesce(?3, due_at), lease_until = 0,
            attempts = attempts + 1, earlier_attempts = earlier_attempts + ?8,
            last_status = ?4, last_error = ?5, settled_at = ?6
         WHERE id = ?1 AND state = 'pending'
            AND (?2 <> 'pending' OR attempts - earlier_attempts = ?7 - 1)
            AND NOT (?8 AND EXISTS (SELECT 1 FROM attempts WHERE delivery = ?1 AND at = ?9))
         RETURNING attempts",
    )?;
    for record in records {
        let ended = later(record.at, record.took);
        let (state, due_at, settled_at) = match record.settlement {
            Settlement::Delivered => (DeliveryState::Delivered, None, Some(ended)),
            Settlement::Dead => (DeliveryState::Dead, None, Some(ended)),
            Settlement::RetryAt(due_at) => (DeliveryState::Pending, Some(due_at), None),
            Settlement::ReceiverGone => (DeliveryState::Pending, None, None),
        };
        let values = params![
            record.delivery,
            state.as_str(),
            due_at.map(row::micros),
            record.http_status,
            record.error,
            settled_at.map(row::micros),
            record.number,
            record.settlement == Settlement::ReceiverGone,
            row::micros(record.at),
        ];
        let number: Option<u32> = statement.query_row(values, |row| row.get(0)).optional()?;
        if let Some(number) = number {
            attempts::keep(db, number, record)?;
        }
    }
    Ok(())
}

pub(super) fn next_due(db: &Connection, sink: &str) -> Result<Option<Timestamp>, SqlError> {
    let due: Option<i64> = db
        .prepare_cached(
            "SELECT min(max(due_at, lease_until)) FROM deliveries WHERE sink = ?1 AND state = 'pending'",
        )?
        .query_row([sink], |row| row.get(0))?;
    Ok(due
        .map(|micros| row::timestamp("due_at", micros))
        .transpose()?)
}

pub(super) fn backlog(db: &Connection) -> Result<Vec<SinkBacklog>, SqlError> {
    // One index serves each half; a condition over both would read every delivery.
    let mut statement = db.prepare_cached(
        "SELECT sink, sum(pending), sum(dead) FROM (
             SELECT sink, count(*) AS pending, 0 AS dead
                 FROM deliveries WHERE state = 'pending' GROUP BY sink
             UNION ALL
             SELECT sink, 0, count(*) FROM deliveries WHERE state = 'dead' GROUP BY sink
         ) GROUP BY sink ORDER BY sink",
    )?;
    let mut rows = statement.query([])?;
    let mut backlog = Vec::new();
    while let Some(row) = rows.next()? {
        let (pending, dead): (i64, i64) = (row.get(1)?, row.get(2)?);
        backlog.push(SinkBacklog {
            sink: row.get(0)?,
            pending: u64::try_from(pending)?,
            dead: u64::try_from(dead)?,
        });
    }
    Ok(backlog)
}

pub(super) fn counts(db: &Connection) -> Result<DeliveryCounts, SqlError> {
    let mut statement =
        db.prepare_cached("SELECT state, count(*) FROM deliveries GROUP BY state")?;
    let mut rows = statement.query([])?;
    let mut counts = DeliveryCounts::default();
    while let Some(row) = rows.next()? {
        let (state, count): (String, i64) = (row.get(0)?, row.get(1)?);
        let count = u64::try_from(count)?;
        match state.parse()? {
            DeliveryState::Pending => counts.pending = count,
            DeliveryState::Delivered => counts.delivered = count,
            DeliveryState::Dead => counts.dead = count,
        }
    }
    Ok(counts)
}
