//! Deletes expired watches in `SQLite`, in steps that hold the writer for a few milliseconds.
//!
//! A step walks the watches in the order of their acceptance with a reader, up to the first one
//! that is too young, so no transition pays for an index of ends. The writer then deletes what the
//! reader found, and checks again that it has expired: a redrive may have come between.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, named_params, params};
use uuid::Uuid;

use crate::store::retention::{Expiry, PruneStep, Pruned, Retention};
use crate::store::sqlite::{SqlError, SqliteStore, number, space};
use crate::store::{PageCursor, StoreError, row};

/// The bounds of one step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The most watches that are looked at.
    pub(super) looks: usize,
    /// The number of expired ones after which a look ends.
    pub(super) found: usize,
    /// The number of deleted rows after which a step ends. The rows of one event are deleted
    /// together, so it may be a few more.
    pub(super) rows: u64,
}

/// The bounds beside other writes: a step takes the writer 1 or 2 ms of CPU.
const BESIDE_OTHERS: Bounds = Bounds {
    looks: 1000,
    found: 32,
    rows: 100,
};

/// The condition that a watch `w` has expired.
pub(super) const HAS_EXPIRED: &str = "w.finished_at < :before
    AND NOT EXISTS (SELECT 1 FROM groups g WHERE g.name = w.group_name AND (
        (g.closed_at IS NOT NULL AND coalesce(g.finished_at, :before) >= :before)
        OR (g.closed_at IS NULL AND g.size IS NOT NULL AND g.open > 0)))
    AND NOT EXISTS (SELECT 1 FROM events e LEFT JOIN deliveries d ON d.event = e.seq
        WHERE e.watch_id = w.id
        AND (e.at >= :before OR d.state = 'pending' OR d.settled_at >= :before))";

/// The condition that an event `e` about no watch has expired.
pub(super) const EVENT_WITHOUT_WATCH_HAS_EXPIRED: &str = "e.watch_id IS NULL AND e.at < :before
    AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event = e.seq
        AND (d.state = 'pending' OR d.settled_at >= :before))";

/// The watches that a look has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The numbers of those that have expired.
    pub(super) expired: Vec<i64>,
    /// The number of the last watch that was looked at, if others follow.
    pub(super) last: Option<i64>,
}

#[async_trait]
impl Retention for SqliteStore {
    async fn prune(
        &self,
        expiry: &Expiry,
        cursor: Option<PageCursor>,
    ) -> Result<PruneStep, StoreError> {
        let after = number(cursor.as_ref())?.unwrap_or(0);
        let (bounds, wanted) = (BESIDE_OTHERS, expiry.clone());
        let look = move |db: &Connection| look(db, &wanted, after, bounds);
        let found = self.readers.run("find expired watches", look).await?;
        let has_more = found.last.map(|last| PageCursor::new(last.to_string()));
        if found.expired.is_empty() && has_more.is_some() {
            return Ok(PruneStep {
                pruned: Pruned::default(),
                next: has_more,
            });
        }
        let before = expiry.before;
        self.writer
            .run("delete expired watches", move |db| {
                delete(db, before, after, &found, bounds.rows)
            })
            .await
    }

    async fn give_back(&self) -> Result<u64, StoreError> {
        let surplus = self.readers.run("read the free pages", space::surplus);
        if surplus.await? == 0 {
            return Ok(0);
        }
        self.writer
            .run("give back free pages", space::give_back)
            .await
    }
}

/// Looks at the watches after a number, in their order, up to the first one that is too young.
pub(super) fn look(
    db: &Connection,
    expiry: &Expiry,
    after: i64,
    bounds: Bounds,
) -> Result<Found, SqlError> {
    let (before, now) = (row::micros(expiry.before), row::micros(expiry.now));
    let mut statement = db.prepare_cached(&format!(
        "SELECT w.number, w.submitted_at, iif(w.finished_at < :before, {HAS_EXPIRED}, 0), w.service, w.job_id
         FROM watches w WHERE w.number > :after ORDER BY w.number LIMIT :limit"
    ))?;
    let limit = i64::try_from(bounds.looks)?;
    let mut rows =
        statement.query(named_params! { ":after": after, ":limit": limit, ":before": before })?;
    let (mut found, mut seen) = (Found::default(), 0);
    while let Some(row) = rows.next()? {
        let (number, submitted_at): (i64, i64) = (row.get(0)?, row.get(1)?);
        // All further ones are younger, but for those from a wrong clock.
        if (before..=now).contains(&submitted_at) {
            return Ok(Found {
                last: None,
                ..found
            });
        }
        seen += 1;
        found.last = Some(number);
        if row.get(2)? {
            let job = (row.get(3)?, row.get(4)?);
            if !expiry.spared.contains(&job) {
                found.expired.push(number);
            }
            if found.expired.len() == bounds.found {
                return Ok(found);
            }
        }
    }
    if seen < limit {
        found.last = None;
    }
    Ok(found)
}

/// Deletes those watches of `found` that have still expired, and after the last watch the events
/// about none. The next step begins with the watch that found no room in this one.
pub(super) fn delete(
    db: &Connection,
    before: Timestamp,
    after: i64,
    found: &Found,
    rows: u64,
) -> Result<PruneStep, SqlError> {
    let mut deletion = Deletion {
        db,
        before: row::micros(before),
        room: rows,
        pruned: Pruned::default(),
        log_start: 0,
    };
    let mut done = after;
    let mut is_complete = true;
    for number in &found.expired {
        if !deletion.watch(*number)? {
            is_complete = false;
            break;
        }
        done = *number;
    }
    let next = if !is_complete {
        Some(done)
    } else if found.last.is_some() {
        found.last
    } else {
        (!deletion.events_without_watch()?).then_some(done)
    };
    deletion.move_log_start()?;
    Ok(PruneStep {
        pruned: deletion.pruned,
        next: next.map(|number| PageCursor::new(number.to_string())),
    })
}

/// The work of one step.
struct Deletion<'db> {
    db: &'db Connection,
    before: i64,
    /// The number of rows that may still be deleted.
    room: u64,
    pruned: Pruned,
    /// The position of the last event that was deleted.
    log_start: i64,
}

impl Deletion<'_> {
    /// Deletes a watch with everything about it, if it has expired. Returns false if the room was
    /// not enough for all of it.
    fn watch(&mut self, number: i64) -> Result<bool, SqlError> {
        if self.room == 0 {
            return Ok(false);
        }
        let Some((id, group)) = self.expired(number)? else {
            return Ok(true);
        };
        let events = self.numbers(
            "SELECT seq FROM events WHERE watch_id = :id LIMIT :room",
            &[(":id", &id), (":room", &i64::try_from(self.room)?)],
        )?;
        for seq in events {
            self.event(seq)?;
            if self.room == 0 {
                return Ok(false);
            }
        }
        let evidence = self
            .db
            .prepare_cached("DELETE FROM evidence WHERE watch = ?1")?
            .execute([number])?;
        self.pruned.evidence += self.count_deleted(evidence)?;
        let watch = self
            .db
            .prepare_cached("DELETE FROM watches WHERE number = ?1")?
            .execute([number])?;
        self.pruned.watches += self.count_deleted(watch)?;
        self.span_of(number)?;
        if let Some(group) = group {
            self.group(&group)?;
        }
        Ok(true)
    }

    /// Returns the id and the group of a watch; `None` if it has not expired.
    fn expired(&self, number: i64) -> Result<Option<(Uuid, Option<String>)>, SqlError> {
        let mut statement = self.db.prepare_cached(&format!(
            "SELECT w.id, w.group_name FROM watches w WHERE w.number = :number AND {HAS_EXPIRED}"
        ))?;
        let mut rows =
            statement.query(named_params! { ":number": number, ":before": self.before })?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        Ok(Some((row.get(0)?, row.get(1)?)))
    }

    /// Deletes the span of a number if it has no watches: numbers that are given again have other
    /// times.
    fn span_of(&self, number: i64) -> Result<(), SqlError> {
        let mut statement = self.db.prepare_cached(
            "DELETE FROM submission_spans WHERE span = ?1 >> 9 AND NOT EXISTS (
                 SELECT 1 FROM watches WHERE number BETWEEN ?1 & ~511 AND ?1 | 511)",
        )?;
        statement.execute([number])?;
        Ok(())
    }

    /// Deletes a group without watches, unless it still has to finish.
    fn group(&mut self, name: &str) -> Result<(), SqlError> {
        let deleted = self
            .db
            .prepare_cached(
                "DELETE FROM groups WHERE name = ?1
                 AND NOT EXISTS (SELECT 1 FROM watches WHERE group_name = ?1)
                 AND (closed_at IS NULL OR finished_at IS NOT NULL)",
            )?
            .execute([name])?;
        self.pruned.groups += self.count_deleted(deleted)?;
        Ok(())
    }

    /// Deletes events about no watch. Returns false if the room was not enough for all of them.
    fn events_without_watch(&mut self) -> Result<bool, SqlError> {
        let events = self.numbers(
            &format!(
                "SELECT e.seq FROM events e WHERE {EVENT_WITHOUT_WATCH_HAS_EXPIRED} LIMIT :room"
            ),
            &[
                (":before", &self.before),
                (":room", &i64::try_from(self.room)?),
            ],
        )?;
        for seq in events {
            self.event(seq)?;
        }
        Ok(self.room > 0)
    }

    /// Deletes an event with its deliveries and their attempts.
    fn event(&mut self, seq: i64) -> Result<(), SqlError> {
        let attempts = self
            .db
            .prepare_cached(
                "DELETE FROM attempts WHERE delivery IN (
                     SELECT id FROM deliveries WHERE event = ?1)",
            )?
            .execute([seq])?;
        self.pruned.attempts += self.count_deleted(attempts)?;
        let deliveries = self
            .db
            .prepare_cached("DELETE FROM deliveries WHERE event = ?1")?
            .execute([seq])?;
        self.pruned.deliveries += self.count_deleted(deliveries)?;
        let event = self
            .db
            .prepare_cached("DELETE FROM events WHERE seq = ?1")?
            .execute([seq])?;
        self.pruned.events += self.count_deleted(event)?;
        self.log_start = self.log_start.max(seq);
        Ok(())
    }

    fn move_log_start(&self) -> Result<(), SqlError> {
        if self.log_start > 0 {
            self.db
                .prepare_cached("UPDATE log_start SET seq = max(seq, ?1)")?
                .execute(params![self.log_start])?;
        }
        Ok(())
    }

    /// Notes that rows were deleted, and returns their number.
    fn count_deleted(&mut self, rows: usize) -> Result<u64, SqlError> {
        let rows = u64::try_from(rows)?;
        self.room = self.room.saturating_sub(rows);
        Ok(rows)
    }

    fn numbers(
        &self,
        sql: &str,
        values: &[(&str, &dyn rusqlite::ToSql)],
    ) -> Result<Vec<i64>, SqlError> {
        let mut statement = self.db.prepare_cached(sql)?;
        let numbers = statement.query_map(values, |row| row.get(0))?;
        Ok(numbers.collect::<Result<_, _>>()?)
    }
}
