//! Groups of watches in `SQLite`.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::store::sqlite::events::Log;
use crate::store::sqlite::{SqlError, SqliteStore};
use crate::store::{Applied, GroupStore, StoreError, StoredGroup, Submitted, row};
use crate::watch::delivery::Owed;
use crate::watch::event::Event;

const COLUMNS: &str = "name, size, members, open, closed_at, finished_at";
/// The condition of the index `groups_due`, word for word.
const IS_DUE: &str = "closed_at IS NOT NULL AND open = 0 AND finished_at IS NULL";

/// Counts one more watch in a group, which may be new, and closes the group if that completes it.
/// Returns the reason if it does not take the watch.
pub(super) fn join(
    db: &Connection,
    name: &str,
    size: Option<u32>,
    at: Timestamp,
) -> Result<Option<Submitted>, SqlError> {
    if let Some(wanted) = size {
        let open = one(db, name)?.filter(|group| group.closed_at.is_none());
        let other = open.and_then(|it| it.size).filter(|size| *size != wanted);
        if let Some(size) = other {
            return Ok(Some(Submitted::GroupHasSize(size)));
        }
    }
    let changed = db
        .prepare_cached(
            "INSERT INTO groups (name, size, members, open, closed_at)
             VALUES (?1, ?2, 1, 1, CASE WHEN ?2 <= 1 THEN ?3 END)
             ON CONFLICT (name) DO UPDATE SET
                size = coalesce(size, ?2), members = members + 1, open = open + 1,
                closed_at = CASE WHEN members + 1 >= coalesce(size, ?2) THEN ?3 END
             WHERE closed_at IS NULL",
        )?
        .execute(params![name, size, row::micros(at)])?;
    Ok((changed == 0).then_some(Submitted::GroupClosed))
}

/// Counts the end of one watch of a group.
pub(super) fn end_one(db: &Connection, name: &str) -> Result<(), SqlError> {
    db.prepare_cached("UPDATE groups SET open = open - 1 WHERE name = ?1")?
        .execute([name])?;
    Ok(())
}

pub(super) fn one(db: &Connection, name: &str) -> Result<Option<StoredGroup>, SqlError> {
    let found = db
        .prepare_cached(&format!("SELECT {COLUMNS} FROM groups WHERE name = ?1"))?
        .query_row([name], |row| Ok(group_of(row)))
        .optional()?;
    found.transpose()
}

pub(super) fn close(
    db: &Connection,
    name: &str,
    at: Timestamp,
) -> Result<Option<StoredGroup>, SqlError> {
    db.prepare_cached("UPDATE groups SET closed_at = ?2 WHERE name = ?1 AND closed_at IS NULL")?
        .execute(params![name, row::micros(at)])?;
    one(db, name)
}

pub(super) fn due(db: &Connection, limit: usize) -> Result<Vec<StoredGroup>, SqlError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM groups WHERE {IS_DUE} ORDER BY closed_at LIMIT ?1"
    ))?;
    let mut rows = statement.query([i64::try_from(limit)?])?;
    let mut groups = Vec::new();
    while let Some(row) = rows.next()? {
        groups.push(group_of(row)?);
    }
    Ok(groups)
}

pub(super) fn finish(
    db: &Connection,
    (name, at): (&str, Timestamp),
    event: &Event,
    owed: &[Owed],
    now: Timestamp,
) -> Result<Applied, SqlError> {
    let changed = db
        .prepare_cached(&format!(
            "UPDATE groups SET finished_at = ?2 WHERE name = ?1 AND {IS_DUE}"
        ))?
        .execute(params![name, row::micros(at)])?;
    if changed == 0 {
        return Ok(Applied::Refused);
    }
    Log::on(db)?.add(None, event, owed, now)?;
    Ok(Applied::Applied)
}

fn group_of(row: &Row<'_>) -> Result<StoredGroup, SqlError> {
    let time = |column: &'static str| -> Result<Option<Timestamp>, SqlError> {
        let micros: Option<i64> = row.get(column)?;
        let time = micros.map(|micros| row::timestamp(column, micros));
        Ok(time.transpose()?)
    };
    Ok(StoredGroup {
        name: row.get("name")?,
        size: row.get("size")?,
        members: row.get("members")?,
        open: row.get("open")?,
        closed_at: time("closed_at")?,
        finished_at: time("finished_at")?,
    })
}

#[async_trait]
impl GroupStore for SqliteStore {
    async fn group(&self, name: &str) -> Result<Option<StoredGroup>, StoreError> {
        let name = name.to_owned();
        self.readers
            .run("read a group", move |db| one(db, &name))
            .await
    }

    async fn close_group(
        &self,
        name: &str,
        at: Timestamp,
    ) -> Result<Option<StoredGroup>, StoreError> {
        let name = name.to_owned();
        self.writer
            .run("close a group", move |db| close(db, &name, at))
            .await
    }

    async fn due_groups(&self, limit: usize) -> Result<Vec<StoredGroup>, StoreError> {
        self.readers
            .run("read groups", move |db| due(db, limit))
            .await
    }

    async fn finish_group(
        &self,
        name: &str,
        at: Timestamp,
        event: Event,
        owed: Vec<Owed>,
    ) -> Result<Applied, StoreError> {
        let name = name.to_owned();
        let time = self.time.clone();
        self.writer
            .run("finish a group", move |db| {
                finish(db, (&name, at), &event, &owed, time.now())
            })
            .await
    }
}
