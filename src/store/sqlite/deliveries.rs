//! Claims and settlements of deliveries in `SQLite`.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::clock::{later, until};
use crate::store::delivery::{DeliveryState, SinkBacklog};
use crate::store::sqlite::leases::Leases;
use crate::store::sqlite::{SqlError, attempts};
use crate::store::{AttemptRecord, Claimed, Settlement, row};
use crate::watch::delivery::{Delivery, RETRY_DELAY_MAX, Target};

/// Prepares pending deliveries for a process that has just started. A delivery that is due later
/// than the longest retry delay allows was scheduled by another wall clock than the present one,
/// so it is due now.
pub(super) fn begin(db: &Connection, now: Timestamp) -> Result<(), rusqlite::Error> {
    db.execute(
        "UPDATE deliveries SET due_at = ?1 WHERE state = 'pending' AND due_at > ?2",
        [row::micros(now), row::micros(later(now, RETRY_DELAY_MAX))],
    )?;
    Ok(())
}

pub(super) fn claim(
    db: &Connection,
    leases: &Leases,
    sink: &str,
    now: Timestamp,
    lease: Duration,
    limit: usize,
) -> Result<Vec<Claimed>, SqlError> {
    let mut held = leases.held(now);
    let mut statement = db.prepare_cached(
        "SELECT d.id, d.attempts - d.earlier_attempts, e.id, e.type, e.body, d.target
         FROM deliveries d JOIN events e ON e.seq = d.event
         WHERE d.sink = ?1 AND d.state = 'pending' AND d.due_at <= ?2 ORDER BY d.due_at",
    )?;
    let mut rows = statement.query(params![sink, row::micros(now)])?;
    let mut claimed = Vec::new();
    while claimed.len() < limit
        && let Some(row) = rows.next()?
    {
        let id = row.get(0)?;
        if held.until(id).is_some() {
            continue;
        }
        claimed.push(Claimed {
            id,
            schedule_attempts: row.get(1)?,
            delivery: Delivery {
                event_id: row.get(2)?,
                type_name: row.get(3)?,
                body: row.get(4)?,
                target: row.get::<_, Option<String>>(5)?.map(Target),
            },
        });
    }
    for one in &claimed {
        held.claim(one.id, later(now, lease));
    }
    Ok(claimed)
}

pub(super) fn settle(
    db: &Connection,
    records: &[AttemptRecord],
    now: Timestamp,
) -> Result<(), SqlError> {
    let mut statement = db.prepare_cached(
        "UPDATE deliveries SET state = ?2, due_at = coalesce(?3, due_at),
            attempts = attempts + 1, earlier_attempts = earlier_attempts + ?8,
            last_status = ?4, last_error = ?5, settled_at = ?6,
            took_us = iif(?2 = 'delivered' AND attempts = 0, ?10, NULL)
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
            Settlement::RetryAfter(delay) => {
                (DeliveryState::Pending, Some(later(now, delay)), None)
            }
            Settlement::ReceiverGone => (DeliveryState::Pending, None, None),
        };
        let values = params![
            record.delivery,
            state.as_str(),
            due_at.map(row::micros),
            record.http_status,
            record.error,
            settled_at.map(row::micros),
            record.schedule_attempt,
            record.settlement == Settlement::ReceiverGone,
            row::micros(record.at),
            i64::try_from(record.took.as_micros())?,
        ];
        let number: Option<u32> = statement.query_row(values, |row| row.get(0)).optional()?;
        // The delivery itself tells of a success at once.
        if let Some(number) = number
            && (number > 1 || record.settlement != Settlement::Delivered)
        {
            attempts::keep(db, number, record)?;
        }
    }
    Ok(())
}

pub(super) fn next_due(
    db: &Connection,
    leases: &Leases,
    sink: &str,
    now: Timestamp,
) -> Result<Option<Duration>, SqlError> {
    let held = leases.held(now);
    let mut statement = db.prepare_cached(
        "SELECT id, due_at FROM deliveries WHERE sink = ?1 AND state = 'pending' ORDER BY due_at",
    )?;
    let mut rows = statement.query([sink])?;
    let mut next: Option<Timestamp> = None;
    while let Some(row) = rows.next()? {
        let due = row::timestamp("due_at", row.get(1)?)?;
        // No later row can come earlier.
        if next.is_some_and(|next| next <= due) {
            break;
        }
        let at = held.until(row.get(0)?).map_or(due, |end| end.max(due));
        next = Some(next.map_or(at, |next| next.min(at)));
    }
    Ok(next.map(|due| until(now, due)))
}

pub(super) fn backlog(db: &Connection) -> Result<Vec<SinkBacklog>, SqlError> {
    // One index serves each half; a condition over both would read every delivery.
    let mut statement = db.prepare_cached(
        "SELECT sink, sum(pending), sum(dead) FROM (
             SELECT sink, count(*) AS pending, 0 AS dead
                 FROM deliveries INDEXED BY deliveries_due WHERE state = 'pending' GROUP BY sink
             UNION ALL
             SELECT sink, 0, count(*)
                 FROM deliveries INDEXED BY deliveries_dead WHERE state = 'dead' GROUP BY sink
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
