//! The log of events in `SQLite`. One writer commits in order, so a position in the log is
//! enough to find all later changes, and none is returned twice.

use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use crate::store::sqlite::{SqlError, watches};
use crate::store::{Changes, Cursor, StoredEvent, row};
use crate::watch::event::EventKind;
use crate::watch::{State, WatchId};

pub(super) fn cursor(db: &Connection) -> Result<Cursor, SqlError> {
    let last = db.query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| {
        row.get(0)
    })?;
    Ok(cursor_after(last))
}

fn cursor_after(seq: i64) -> Cursor {
    Cursor::new(seq.to_string())
}

pub(super) fn since(db: &Connection, seq: i64, limit: usize) -> Result<Changes, SqlError> {
    let mut statement = db.prepare_cached(
        "SELECT seq, type, watch_id FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )?;
    let mut rows = statement.query(params![seq, i64::try_from(limit)?])?;
    let mut changes = Changes {
        accepted: Vec::new(),
        ended: Vec::new(),
        next: cursor_after(seq),
        more: false,
    };
    let mut read = 0;
    while let Some(row) = rows.next()? {
        read += 1;
        changes.next = cursor_after(row.get(0)?);
        let (kind, watch): (String, Option<Uuid>) = (row.get(1)?, row.get(2)?);
        let (Some(kind), Some(watch)) = (EventKind::from_type_name(&kind), watch) else {
            continue;
        };
        note(db, &mut changes, kind, WatchId(watch))?;
    }
    changes.more = read == limit;
    Ok(changes)
}

fn note(
    db: &Connection,
    changes: &mut Changes,
    kind: EventKind,
    id: WatchId,
) -> Result<(), SqlError> {
    match kind {
        EventKind::Accepted => {
            let watch = watches::one(db, id)?.filter(|watch| watch.state == State::Watching);
            changes.accepted.extend(watch);
        }
        EventKind::Finished(outcome) if !outcome.is_found_by_polling() => changes.ended.push(id),
        EventKind::Finished(_)
        | EventKind::Changed
        | EventKind::Held
        | EventKind::LateResult
        | EventKind::GroupFinished => {}
    }
    Ok(())
}

pub(super) fn events_of(
    db: &Connection,
    id: WatchId,
    limit: usize,
) -> Result<Vec<StoredEvent>, SqlError> {
    let mut statement = db.prepare_cached(
        "SELECT type, at, body FROM events WHERE watch_id = ?1 ORDER BY seq DESC LIMIT ?2",
    )?;
    let mut rows = statement.query(params![id.0, i64::try_from(limit)?])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(event_of(row)?);
    }
    events.reverse();
    Ok(events)
}

fn event_of(row: &Row<'_>) -> Result<StoredEvent, SqlError> {
    Ok(StoredEvent {
        type_name: row.get(0)?,
        at: row::timestamp("at", row.get(1)?)?,
        body: row.get(2)?,
    })
}
