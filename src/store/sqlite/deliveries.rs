//! Deliveries in `SQLite`: what is owed, who is at it, what came of it.

use jiff::Timestamp;
use rusqlite::Connection;
use rusqlite::params;

use crate::store::AttemptRecord;
use crate::store::Delivery;
use crate::store::DeliveryCounts;
use crate::store::Settlement;
use crate::store::row;
use crate::store::sqlite::SqlError;

pub(super) fn claim(
    db: &Connection,
    sink: &str,
    now: Timestamp,
    lease_until: Timestamp,
    limit: usize,
) -> Result<Vec<Delivery>, SqlError> {
    let mut statement = db.prepare_cached(
        "SELECT d.id, d.event_id, e.type, e.body, d.attempts, w.callback_url
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
            attempts = attempts + 1, last_status = ?4, last_error = ?5, settled_at = ?6
         WHERE id = ?1 AND state = 'pending'",
    )?;
    for record in records {
        let (state, due_at, settled_at) = match record.settlement {
            Settlement::Delivered => ("delivered", None, Some(record.at)),
            Settlement::Dead => ("dead", None, Some(record.at)),
            Settlement::Again(due_at) => ("pending", Some(due_at), None),
        };
        statement.execute(params![
            record.delivery,
            state,
            due_at.map(row::micros),
            record.http_status,
            record.error,
            settled_at.map(row::micros),
        ])?;
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

pub(super) fn owed(db: &Connection) -> Result<Vec<(String, u64)>, SqlError> {
    let mut statement = db.prepare_cached(
        "SELECT sink, count(*) FROM deliveries WHERE state = 'pending' GROUP BY sink",
    )?;
    let mut rows = statement.query([])?;
    let mut owed = Vec::new();
    while let Some(row) = rows.next()? {
        let count: i64 = row.get(1)?;
        owed.push((row.get(0)?, u64::try_from(count)?));
    }
    Ok(owed)
}

pub(super) fn counts(db: &Connection) -> Result<DeliveryCounts, SqlError> {
    let mut statement =
        db.prepare_cached("SELECT state, count(*) FROM deliveries GROUP BY state")?;
    let mut rows = statement.query([])?;
    let mut counts = DeliveryCounts::default();
    while let Some(row) = rows.next()? {
        let (state, count): (String, i64) = (row.get(0)?, row.get(1)?);
        let count = u64::try_from(count)?;
        match state.as_str() {
            "pending" => counts.pending = count,
            "delivered" => counts.delivered = count,
            "dead" => counts.dead = count,
            other => return Err(format!("`{other}` is no state of a delivery").into()),
        }
    }
    Ok(counts)
}
