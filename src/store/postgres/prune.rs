//! Deletes expired watches in PostgreSQL, in short transactions. One replica does it at a time.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::store::postgres::connections::{Connections, Transaction, Value};
use crate::store::postgres::{PostgresStore, number};
use crate::store::retention::{Expiry, PruneStep, Pruned, Retention};
use crate::store::{PageCursor, SqlError, StoreError, row};

/// The bounds of a look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The most watches that are looked at.
    pub(super) looks: usize,
    /// The number of expired ones after which it ends.
    pub(super) found: usize,
}

const OF_A_STEP: Bounds = Bounds {
    looks: 1000,
    found: 32,
};
/// The number of rows of events, deliveries and attempts after which a step deletes no more events.
const ROWS: i64 = 100;

/// The number of the lock of the one replica that deletes.
const LOCK: &str = "SELECT pg_try_advisory_xact_lock(7526473922)";

/// The condition that a watch `w` has expired; `$1` is the time before which everything about it
/// ended.
const HAS_EXPIRED: &str = "w.finished_at < $1
    AND NOT EXISTS (SELECT 1 FROM groups g WHERE g.name = w.group_name AND (
        (g.closed_at IS NOT NULL AND coalesce(g.finished_at, $1) >= $1)
        OR (g.closed_at IS NULL AND g.size IS NOT NULL AND g.open > 0)))
    AND NOT EXISTS (SELECT 1 FROM events e LEFT JOIN deliveries d ON d.event = e.seq
        WHERE e.watch_id = w.id AND (e.at >= $1 OR d.state = 'pending' OR d.settled_at >= $1))";

/// The condition that an event `e` about no watch has expired.
pub(super) const EVENT_WITHOUT_WATCH_HAS_EXPIRED: &str = "e.watch_id IS NULL AND e.at < $1
    AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event = e.seq
        AND (d.state = 'pending' OR d.settled_at >= $1))";

#[async_trait]
impl Retention for PostgresStore {
    async fn prune(
        &self,
        expiry: &Expiry,
        cursor: Option<PageCursor>,
    ) -> Result<PruneStep, StoreError> {
        let after = number(cursor.as_ref())?.unwrap_or(0);
        let pruning = step(&self.connections, expiry, after);
        let done = self.run("delete expired watches", pruning).await?;
        // Another replica goes on with it.
        let done = done.unwrap_or_default();
        Ok(PruneStep {
            pruned: done.pruned,
            next: done.next.map(|number| PageCursor::new(number.to_string())),
        })
    }

    async fn give_back(&self) -> Result<u64, StoreError> {
        // The server's vacuum does it.
        Ok(0)
    }
}

/// The rows that a step has deleted, and the number after which the next one begins.
#[derive(Default)]
pub(super) struct Done {
    pub(super) pruned: Pruned,
    pub(super) next: Option<i64>,
}

/// Makes one step. Returns nothing if another replica is at one.
pub(super) async fn step(
    connections: &Connections,
    expiry: &Expiry,
    after: i64,
) -> Result<Option<Done>, SqlError> {
    let look = Look::new(expiry, after, OF_A_STEP);
    let found = look.found(&connections.read(&Look::sql(), &look.values()).await?)?;
    if found.expired.is_empty() && found.last.is_some() {
        return Ok(Some(Done {
            pruned: Pruned::default(),
            next: found.last,
        }));
    }
    let transaction = connections.begin().await?;
    if !is_true(&transaction, LOCK).await? {
        transaction.roll_back().await?;
        return Ok(None);
    }
    let mut deletion = Deletion {
        transaction: &transaction,
        before: row::micros(expiry.before),
        pruned: Pruned::default(),
        log_start: 0,
    };
    let next = if !deletion.watches(&found.expired).await? {
        Some(after)
    } else if found.last.is_some() {
        found.last
    } else {
        let last = found.expired.last().copied().unwrap_or(after);
        (!deletion.events_without_watch().await?).then_some(last)
    };
    deletion.move_log_start().await?;
    let pruned = deletion.pruned;
    transaction.commit().await?;
    Ok(Some(Done { pruned, next }))
}

async fn is_true(transaction: &Transaction, sql: &str) -> Result<bool, SqlError> {
    let rows = transaction.query(sql, &[]).await?;
    Ok(rows.first().ok_or("the server gave no row")?.try_get(0)?)
}

/// The watches that a look has found.
#[derive(Default)]
pub(super) struct Found {
    /// The numbers of those that have expired.
    pub(super) expired: Vec<i64>,
    /// The number of the last watch that was looked at, if others follow.
    pub(super) last: Option<i64>,
}

/// A look at the watches after a number, in their order, up to the first one that is too young.
pub(super) struct Look<'a> {
    expiry: &'a Expiry,
    before: i64,
    after: i64,
    bounds: Bounds,
    /// The largest number of rows.
    limit: i64,
}

impl<'a> Look<'a> {
    pub(super) fn new(expiry: &'a Expiry, after: i64, bounds: Bounds) -> Self {
        Self {
            expiry,
            before: row::micros(expiry.before),
            after,
            bounds,
            limit: i64::try_from(bounds.looks).unwrap_or(i64::MAX),
        }
    }

    /// Returns the statement that reads the watches.
    pub(super) fn sql() -> String {
        format!(
            "SELECT w.number, w.submitted_at, coalesce(w.finished_at < $1 AND {HAS_EXPIRED}, false),
                w.service, w.job_id
             FROM watches w WHERE w.number > $2 ORDER BY w.number LIMIT $3"
        )
    }

    pub(super) fn values(&self) -> [Value<'_>; 3] {
        [
            (&self.before, Type::INT8),
            (&self.after, Type::INT8),
            (&self.limit, Type::INT8),
        ]
    }

    /// Reads the answer to the statement.
    pub(super) fn found(&self, rows: &[Row]) -> Result<Found, SqlError> {
        let mut found = Found::default();
        let now = row::micros(self.expiry.now);
        for row in rows {
            let (number, submitted_at): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            // All further ones are younger, but for those from a wrong clock.
            if (self.before..=now).contains(&submitted_at) {
                found.last = None;
                return Ok(found);
            }
            found.last = Some(number);
            if row.try_get(2)? {
                let job = (row.try_get(3)?, row.try_get(4)?);
                if !self.expiry.spared.contains(&job) {
                    found.expired.push(number);
                }
                if found.expired.len() == self.bounds.found {
                    return Ok(found);
                }
            }
        }
        if rows.len() < self.bounds.looks {
            found.last = None;
        }
        Ok(found)
    }
}

/// The deletions of one step.
struct Deletion<'a> {
    transaction: &'a Transaction,
    before: i64,
    pruned: Pruned,
    /// The position of the last event that was deleted.
    log_start: i64,
}

impl Deletion<'_> {
    /// Deletes those of these watches that have still expired, with everything about them. Returns
    /// false if the step has no room for all of it.
    async fn watches(&mut self, numbers: &[i64]) -> Result<bool, SqlError> {
        let watches = self.expired(numbers).await?;
        if watches.is_empty() {
            return Ok(true);
        }
        let ids: Vec<Uuid> = watches.values().map(|watch| watch.id).collect();
        let rows = self
            .transaction
            .query(
                "SELECT e.seq, w.number, 1 + (SELECT count(*) FROM deliveries d WHERE d.event = e.seq)
                    + (SELECT count(*) FROM deliveries d JOIN attempts a ON a.delivery = d.id
                        WHERE d.event = e.seq)
                 FROM events e JOIN watches w ON w.id = e.watch_id
                 WHERE e.watch_id = ANY ($1) ORDER BY w.number, e.seq LIMIT $2",
                &[(&ids, Type::UUID_ARRAY), (&(ROWS + 1), Type::INT8)],
            )
            .await?;
        let (mut room, mut events) = (ROWS, Vec::new());
        let (mut unfinished, mut last) = (None, 0);
        for row in &rows {
            let number: i64 = row.try_get(1)?;
            if room <= 0 {
                unfinished = Some(number);
                break;
            }
            // The rows of the watch before it, and of its evidence.
            room -= if last == 0 || number == last { 0 } else { 2 };
            room -= row.try_get::<_, i64>(2)?;
            last = number;
            events.push(row.try_get(0)?);
        }
        self.events(&events).await?;
        let whole = watches.range(..unfinished.unwrap_or(i64::MAX));
        let (whole, groups): (Vec<i64>, Vec<Option<String>>) = whole
            .map(|(number, watch)| (*number, watch.group.clone()))
            .unzip();
        self.rows_of_watches(&whole).await?;
        let groups: BTreeSet<String> = groups.into_iter().flatten().collect();
        self.groups(groups.into_iter().collect()).await?;
        Ok(unfinished.is_none())
    }

    /// Returns those of these watches that have expired. A redrive may have come since they were
    /// found; the locks keep others out until the end of the transaction.
    async fn expired(&self, numbers: &[i64]) -> Result<BTreeMap<i64, Expired>, SqlError> {
        let values: [Value<'_>; 1] = [(&numbers, Type::INT8_ARRAY)];
        let lock = "SELECT 1 FROM watches WHERE number = ANY ($1) ORDER BY number FOR UPDATE";
        self.transaction.query(lock, &values).await?;
        let lock = "SELECT 1 FROM deliveries WHERE event IN (SELECT seq FROM events
            WHERE watch_id IN (SELECT id FROM watches WHERE number = ANY ($1))) ORDER BY id FOR UPDATE";
        self.transaction.query(lock, &values).await?;
        let sql = format!(
            "SELECT w.number, w.id, w.group_name FROM watches w
             WHERE w.number = ANY ($2) AND {HAS_EXPIRED}"
        );
        let values = [
            (&self.before as _, Type::INT8),
            (&numbers as _, Type::INT8_ARRAY),
        ];
        let rows = self.transaction.query(&sql, &values).await?;
        let expired = rows.iter().map(|row| {
            let (id, group) = (row.try_get(1)?, row.try_get(2)?);
            Ok((row.try_get(0)?, Expired { id, group }))
        });
        expired.collect()
    }

    /// Deletes events with their deliveries and attempts.
    async fn events(&mut self, events: &[i64]) -> Result<(), SqlError> {
        let Some(last) = events.iter().max() else {
            return Ok(());
        };
        self.log_start = self.log_start.max(*last);
        self.pruned.attempts += self
            .delete(
                "DELETE FROM attempts WHERE delivery IN (
                     SELECT id FROM deliveries WHERE event = ANY ($1))",
                events,
            )
            .await?;
        let sql = "DELETE FROM deliveries WHERE event = ANY ($1)";
        self.pruned.deliveries += self.delete(sql, events).await?;
        let sql = "DELETE FROM events WHERE seq = ANY ($1)";
        self.pruned.events += self.delete(sql, events).await?;
        Ok(())
    }

    async fn rows_of_watches(&mut self, numbers: &[i64]) -> Result<(), SqlError> {
        let sql = "DELETE FROM evidence WHERE watch = ANY ($1)";
        self.pruned.evidence += self.delete(sql, numbers).await?;
        let sql = "DELETE FROM watches WHERE number = ANY ($1)";
        self.pruned.watches += self.delete(sql, numbers).await?;
        Ok(())
    }

    async fn delete(&self, sql: &str, numbers: &[i64]) -> Result<u64, SqlError> {
        self.transaction
            .execute(sql, &[(&numbers, Type::INT8_ARRAY)])
            .await
    }

    /// Deletes those of these groups that have no watches, unless they still have to finish.
    async fn groups(&mut self, names: Vec<String>) -> Result<(), SqlError> {
        if names.is_empty() {
            return Ok(());
        }
        self.pruned.groups += self
            .transaction
            .execute(
                "DELETE FROM groups WHERE name = ANY ($1)
                 AND NOT EXISTS (SELECT 1 FROM watches WHERE group_name = groups.name)
                 AND (closed_at IS NULL OR finished_at IS NOT NULL)",
                &[(&names, Type::TEXT_ARRAY)],
            )
            .await?;
        Ok(())
    }

    /// Deletes events about no watch. Returns false if the step has no room for all of them.
    async fn events_without_watch(&mut self) -> Result<bool, SqlError> {
        let sql =
            format!("SELECT e.seq FROM events e WHERE {EVENT_WITHOUT_WATCH_HAS_EXPIRED} LIMIT $2");
        let values = [(&self.before as _, Type::INT8), (&ROWS as _, Type::INT8)];
        let rows = self.transaction.query(&sql, &values).await?;
        let events: Vec<i64> = rows
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<_, _>>()?;
        self.events(&events).await?;
        Ok(i64::try_from(events.len())? < ROWS)
    }

    async fn move_log_start(&self) -> Result<(), SqlError> {
        if self.log_start > 0 {
            let values = [(&self.log_start as _, Type::INT8)];
            let sql = "UPDATE log_start SET seq = greatest(seq, $1)";
            self.transaction.execute(sql, &values).await?;
        }
        Ok(())
    }
}

struct Expired {
    id: Uuid,
    group: Option<String>,
}
