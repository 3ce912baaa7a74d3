//! The log of events in `SQLite`. One writer commits in order, so a position in the log is
//! enough to find all later events, and none is returned twice.

use jiff::Timestamp;
use rusqlite::{CachedStatement, Connection, Row, params};
use uuid::Uuid;

use crate::store::sqlite::SqlError;
use crate::store::{Cursor, EventPage, LoggedEvent, StoredEvent, row};
use crate::watch::WatchId;
use crate::watch::delivery::Owed;
use crate::watch::event::Event;

/// The statements that store events; prepared once for many.
pub(super) struct Log<'db> {
    db: &'db Connection,
    event: CachedStatement<'db>,
    delivery: CachedStatement<'db>,
}

impl<'db> Log<'db> {
    pub(super) fn on(db: &'db Connection) -> Result<Self, SqlError> {
        Ok(Self {
            db,
            event: db.prepare_cached(
                "INSERT INTO events (id, watch_id, type, at, body) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?,
            delivery: db.prepare_cached(
                "INSERT INTO deliveries (event, sink, target, state, due_at)
                 VALUES (?1, ?2, ?3, 'pending', ?4)",
            )?,
        })
    }

    /// Stores an event and the deliveries owed for it. They are due at `now`.
    pub(super) fn add(
        &mut self,
        watch: Option<WatchId>,
        event: &Event,
        owed: &[Owed],
        now: Timestamp,
    ) -> Result<(), SqlError> {
        self.event.execute(params![
            event.id,
            watch.map(|id| id.0),
            event.kind.type_name(),
            row::micros(event.at),
            event.body
        ])?;
        let seq = self.db.last_insert_rowid();
        for owed in owed {
            let target = owed.target.as_ref().map(|target| &target.0);
            self.delivery
                .execute(params![seq, owed.sink, target, row::micros(now)])?;
        }
        Ok(())
    }
}

pub(super) fn is_known(db: &Connection, watch: WatchId, event: &Event) -> Result<bool, SqlError> {
    Ok(db
        .prepare_cached("SELECT 1 FROM events WHERE watch_id = ?1 AND id = ?2")?
        .exists([watch.0, event.id])?)
}

pub(super) fn last_cursor(db: &Connection) -> Result<Cursor, SqlError> {
    // The newest events may have been deleted.
    cursor(
        db,
        "SELECT max((SELECT seq FROM log_start), coalesce((SELECT max(seq) FROM events), 0))",
    )
}

pub(super) fn first_cursor(db: &Connection) -> Result<Cursor, SqlError> {
    cursor(
        db,
        "SELECT max((SELECT seq FROM log_start), coalesce((SELECT min(seq) - 1 FROM events), 0))",
    )
}

fn cursor(db: &Connection, sql: &str) -> Result<Cursor, SqlError> {
    let seq = db.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(cursor_after(seq))
}

pub(super) fn cursor_after(seq: i64) -> Cursor {
    Cursor::new(seq.to_string())
}

/// The answer to a read of the log.
pub(super) enum Read {
    Page(EventPage),
    /// The position is beyond the end of the log.
    Beyond,
    /// Events after the position were deleted.
    Pruned,
}

/// Returns events after a position.
pub(super) fn after(db: &Connection, seq: i64, limit: usize) -> Result<Read, SqlError> {
    let mut statement = db.prepare_cached(
        "SELECT type, at, body, seq, id, watch_id FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )?;
    let mut rows = statement.query(params![seq, i64::try_from(limit)?])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let StoredEvent {
            type_name,
            at,
            body,
        } = event_of(row)?;
        events.push(LoggedEvent {
            cursor: cursor_after(row.get(3)?),
            id: row.get(4)?,
            watch_id: row.get::<_, Option<Uuid>>(5)?.map(WatchId),
            type_name,
            at,
            body,
        });
    }
    if events.is_empty() && seq > last_given(db)? {
        return Ok(Read::Beyond);
    }
    // Read last, so that an event that was deleted meanwhile is noticed.
    if seq < start(db)? {
        return Ok(Read::Pruned);
    }
    let last = events.last().map(|event| event.cursor.clone());
    Ok(Read::Page(EventPage {
        next: last.unwrap_or_else(|| cursor_after(seq)),
        more: events.len() == limit,
        events,
    }))
}

/// Returns the position after which the log begins.
fn start(db: &Connection) -> Result<i64, SqlError> {
    Ok(db
        .prepare_cached("SELECT seq FROM log_start")?
        .query_row([], |row| row.get(0))?)
}

/// Returns the position of the last event that was ever stored, also if it was removed since.
fn last_given(db: &Connection) -> Result<i64, SqlError> {
    Ok(db
        .prepare_cached("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'")?
        .query_row([], |row| row.get(0))?)
}

pub(super) fn of_watch(
    db: &Connection,
    id: WatchId,
    limit: usize,
) -> Result<Vec<StoredEvent>, SqlError> {
    let mut statement = db.prepare_cached(
        "SELECT type, at, body FROM events WHERE seq IN (
             SELECT seq FROM events WHERE watch_id = ?1 ORDER BY seq DESC LIMIT ?2
         ) ORDER BY seq",
    )?;
    let mut rows = statement.query(params![id.0, i64::try_from(limit)?])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(event_of(row)?);
    }
    Ok(events)
}

fn event_of(row: &Row<'_>) -> Result<StoredEvent, SqlError> {
    Ok(StoredEvent {
        type_name: row.get(0)?,
        at: row::timestamp("at", row.get(1)?)?,
        body: row.get(2)?,
    })
}
