//! The changes after a position in the log of events.

use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::store::Changes;
use crate::store::sqlite::SqlError;
use crate::store::sqlite::events::cursor_after;
use crate::watch::WatchId;
use crate::watch::event::EventKind;

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
        changes.note(EventKind::from_type_name(&kind), watch.map(WatchId));
    }
    changes.more = read == limit;
    Ok(changes)
}
