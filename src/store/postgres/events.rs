//! The log of events in PostgreSQL. Transactions append to it one after the other
//! ([`NewEvents`](crate::store::postgres::rows::NewEvents)), so a position in it is enough to find
//! all later events, and none is returned twice.

use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::store::postgres::connections::Connections;
use crate::store::{Changes, Cursor, EventPage, LoggedEvent, Shards, SqlError, StoredEvent, row};
use crate::watch::WatchId;
use crate::watch::event::EventKind;

/// The position of the last event that was ever stored, also if it was deleted since.
pub(super) const LAST_GIVEN: &str =
    "(SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_seq_seq)";

pub(super) async fn last_cursor(connections: &Connections) -> Result<Cursor, SqlError> {
    let sql = "SELECT greatest((SELECT seq FROM log_start),
        coalesce((SELECT max(seq) FROM events), 0))";
    cursor(connections, sql).await
}

pub(super) async fn first_cursor(connections: &Connections) -> Result<Cursor, SqlError> {
    let sql = "SELECT greatest((SELECT seq FROM log_start),
        coalesce((SELECT min(seq) - 1 FROM events), 0))";
    cursor(connections, sql).await
}

async fn cursor(connections: &Connections, sql: &str) -> Result<Cursor, SqlError> {
    let rows = connections.read(sql, &[]).await?;
    let row = rows.first().ok_or("the server gave no row")?;
    Ok(cursor_after(row.try_get(0)?))
}

fn cursor_after(seq: i64) -> Cursor {
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
pub(super) async fn after(
    connections: &Connections,
    seq: i64,
    limit: usize,
) -> Result<Read, SqlError> {
    let limit_rows = i64::try_from(limit)?;
    let rows = connections
        .read(
            "SELECT type, at, body, seq, id, watch_id FROM events WHERE seq > $1
             ORDER BY seq LIMIT $2",
            &[(&seq, Type::INT8), (&limit_rows, Type::INT8)],
        )
        .await?;
    let events: Vec<LoggedEvent> = rows.iter().map(logged).collect::<Result<_, _>>()?;
    // Read last, so that an event that was deleted meanwhile is noticed.
    let sql = format!("SELECT {LAST_GIVEN}, (SELECT seq FROM log_start)");
    let rows = connections.read(&sql, &[]).await?;
    let row = rows.first().ok_or("the server gave no row")?;
    let (last_given, start): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    if events.is_empty() && seq > last_given {
        return Ok(Read::Beyond);
    }
    if seq < start {
        return Ok(Read::Pruned);
    }
    let last = events.last().map(|event| event.cursor.clone());
    Ok(Read::Page(EventPage {
        next: last.unwrap_or_else(|| cursor_after(seq)),
        more: events.len() == limit,
        events,
    }))
}

fn logged(row: &Row) -> Result<LoggedEvent, SqlError> {
    let StoredEvent {
        type_name,
        at,
        body,
    } = event_of(row)?;
    Ok(LoggedEvent {
        cursor: cursor_after(row.try_get(3)?),
        id: row.try_get(4)?,
        watch_id: row.try_get::<_, Option<Uuid>>(5)?.map(WatchId),
        type_name,
        at,
        body,
    })
}

pub(super) async fn of_watch(
    connections: &Connections,
    id: WatchId,
    limit: usize,
) -> Result<Vec<StoredEvent>, SqlError> {
    let limit = i64::try_from(limit)?;
    let rows = connections
        .read(
            "SELECT type, at, body FROM (
                 SELECT type, at, body, seq FROM events WHERE watch_id = $1
                 ORDER BY seq DESC LIMIT $2) latest ORDER BY seq",
            &[(&id.0, Type::UUID), (&limit, Type::INT8)],
        )
        .await?;
    rows.iter().map(event_of).collect()
}

fn event_of(row: &Row) -> Result<StoredEvent, SqlError> {
    Ok(StoredEvent {
        type_name: row.try_get(0)?,
        at: row::timestamp("at", row.try_get(1)?)?,
        body: row.try_get(2)?,
    })
}

/// Returns the changes after a position in the log.
pub(super) async fn changes(
    connections: &Connections,
    seq: i64,
    shards: Shards,
    limit: usize,
) -> Result<Changes, SqlError> {
    let limit_rows = i64::try_from(limit)?;
    let rows = connections
        .read(
            "SELECT seq, type, watch_id, shard FROM events WHERE seq > $1 ORDER BY seq LIMIT $2",
            &[(&seq, Type::INT8), (&limit_rows, Type::INT8)],
        )
        .await?;
    let mut changes = Changes {
        accepted: Vec::new(),
        ended: Vec::new(),
        next: cursor_after(seq),
        more: rows.len() == limit,
    };
    for row in rows {
        changes.next = cursor_after(row.try_get(0)?);
        let shard: Option<i16> = row.try_get(3)?;
        let shard = shard.and_then(|shard| u8::try_from(shard).ok());
        if !shard.is_some_and(|shard| shards.contains(shard)) {
            continue;
        }
        let kind = EventKind::from_type_name(row.try_get(1)?);
        let watch = row.try_get::<_, Option<Uuid>>(2)?.map(WatchId);
        changes.note(kind, watch);
    }
    Ok(changes)
}
