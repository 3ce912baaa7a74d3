//! Prunes and compacts a database file while no daemon has it open.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior, named_params};

use crate::store::retention::{Expiry, Pruned};
use crate::store::sqlite::connection::prepare;
use crate::store::sqlite::damage::in_words;
use crate::store::sqlite::file_lock::FileLock;
use crate::store::sqlite::maintenance::read_only;
use crate::store::sqlite::retention::{
    Bounds, EVENT_WITHOUT_WATCH_HAS_EXPIRED, Found, delete, look,
};
use crate::store::sqlite::space::{INCREMENTAL, can_give_back, give_pages, pragma};
use crate::store::sqlite::{SqlError, file_lock, migration, number, open_error};
use crate::store::{PageCursor, StoreError, row};

/// The bounds of one transaction. Nothing else waits for it.
const WITHOUT_DAEMON: Bounds = Bounds {
    looks: 10_000,
    found: 2_000,
    rows: 10_000,
};

/// The number of pages that are given back in one transaction.
const PAGES: u64 = 4096;

/// The result of a pruning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    pub pruned: Pruned,
    /// The size of the file before, in bytes.
    pub bytes_before: u64,
    /// The size of the file now.
    pub bytes: u64,
    /// The free space in the file, which new rows will use.
    pub free: u64,
}

/// Counts the rows that [`prune`] would delete. A daemon may run meanwhile.
///
/// # Errors
/// The file is missing, belongs to another program or has another schema, or cannot be read.
pub fn count(path: &Path, expiry: &Expiry) -> Result<Pruned, StoreError> {
    let mut db = read_only(path)?;
    migration::check(&db).map_err(|reason| open_error(path, &reason))?;
    let fail = |error: SqlError| failed("count the expired rows", error);
    let found = version_of(path, &db)?;
    if found < migration::newest() {
        return Err(open_error(
            path,
            &format!(
                "its schema is version {found}; `jobwatch run`, or a prune without --dry-run, migrates it to {}",
                migration::newest()
            ),
        ));
    }
    // All reads see one moment.
    let db = db.transaction().map_err(|error| fail(error.into()))?;
    count_in(&db, expiry).map_err(fail)
}

fn version_of(path: &Path, db: &Connection) -> Result<u32, StoreError> {
    migration::version_of(db).map_err(|error| open_error(path, &in_words(&error)))
}

fn count_in(db: &Transaction<'_>, expiry: &Expiry) -> Result<Pruned, SqlError> {
    let mut counted = Pruned::default();
    let mut groups = std::collections::BTreeMap::<String, u64>::new();
    each(db, expiry, |found| {
        for number in &found.expired {
            counted += of_watch(db, *number)?;
            if let Some(group) = group_of(db, *number)? {
                *groups.entry(group).or_default() += 1;
            }
        }
        Ok(())
    })?;
    for (group, gone) in groups {
        counted.groups += u64::from(is_whole(db, &group, gone)?);
    }
    counted += events_without_watch(db, expiry)?;
    Ok(counted)
}

/// Calls `take` with all that looks find, one after the other.
fn each(
    db: &Connection,
    expiry: &Expiry,
    mut take: impl FnMut(&Found) -> Result<(), SqlError>,
) -> Result<(), SqlError> {
    let mut after = Some(0);
    while let Some(number) = after {
        let found = look(db, expiry, number, WITHOUT_DAEMON)?;
        take(&found)?;
        after = found.last;
    }
    Ok(())
}

fn of_watch(db: &Connection, number: i64) -> Result<Pruned, SqlError> {
    let mut statement = db.prepare_cached(
        "WITH gone AS (SELECT seq FROM events
             WHERE watch_id = (SELECT id FROM watches WHERE number = ?1)),
         owed AS (SELECT id FROM deliveries WHERE event IN (SELECT seq FROM gone))
         SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM owed),
             (SELECT count(*) FROM attempts WHERE delivery IN (SELECT id FROM owed)),
             (SELECT count(*) FROM evidence WHERE watch = ?1)",
    )?;
    Ok(statement.query_row([number], |row| {
        Ok(Pruned {
            watches: 1,
            events: row.get::<_, u32>(0)?.into(),
            deliveries: row.get::<_, u32>(1)?.into(),
            attempts: row.get::<_, u32>(2)?.into(),
            evidence: row.get::<_, u32>(3)?.into(),
            groups: 0,
        })
    })?)
}

fn group_of(db: &Connection, number: i64) -> Result<Option<String>, SqlError> {
    let mut statement = db.prepare_cached("SELECT group_name FROM watches WHERE number = ?1")?;
    Ok(statement.query_row([number], |row| row.get(0))?)
}

/// True if a group goes with so many of its watches: it has no others, and nothing left to do.
fn is_whole(db: &Connection, name: &str, gone: u64) -> Result<bool, SqlError> {
    let mut statement = db.prepare_cached(
        "SELECT (SELECT count(*) FROM watches WHERE group_name = ?1) = ?2 AND EXISTS (
             SELECT 1 FROM groups WHERE name = ?1
             AND (closed_at IS NULL OR finished_at IS NOT NULL))",
    )?;
    let gone = i64::try_from(gone)?;
    Ok(statement.query_row(rusqlite::params![name, gone], |row| row.get(0))?)
}

fn events_without_watch(db: &Connection, expiry: &Expiry) -> Result<Pruned, SqlError> {
    let mut statement = db.prepare_cached(&format!(
        "WITH gone AS (SELECT e.seq FROM events e WHERE {EVENT_WITHOUT_WATCH_HAS_EXPIRED}),
         owed AS (SELECT id FROM deliveries WHERE event IN (SELECT seq FROM gone))
         SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM owed),
             (SELECT count(*) FROM attempts WHERE delivery IN (SELECT id FROM owed))"
    ))?;
    let before = row::micros(expiry.before);
    Ok(
        statement.query_row(named_params! { ":before": before }, |row| {
            Ok(Pruned {
                events: row.get::<_, u32>(0)?.into(),
                deliveries: row.get::<_, u32>(1)?.into(),
                attempts: row.get::<_, u32>(2)?.into(),
                ..Pruned::default()
            })
        })?,
    )
}

/// Deletes what has expired from the database at `path`, and gives its space back to the file
/// system. With `compact`, writes the whole file anew: a database of an earlier version can give
/// space back only after that.
///
/// # Errors
/// The file is missing, a daemon has it open, it belongs to another program or to a newer version,
/// or a write failed. The watches that were deleted before are gone.
pub fn prune(path: &Path, expiry: &Expiry, compact: bool) -> Result<Report, StoreError> {
    if !path.exists() {
        return Err(open_error(path, "the file does not exist"));
    }
    if file_lock::is_taken(path) {
        return Err(open_error(
            path,
            "a running daemon has it open, and deletes old watches by itself; stop the daemon first, or use --dry-run, which only counts them",
        ));
    }
    let lock = FileLock::take(path)?;
    let fail = |error: rusqlite::Error| open_error(path, &in_words(&error));
    let mut db = Connection::open(lock.path()).map_err(fail)?;
    migration::check(&db).map_err(|reason| open_error(path, &reason))?;
    prepare(&db).map_err(fail)?;
    migration::run(&mut db).map_err(|reason| open_error(path, &reason))?;
    let bytes_before = bytes(&db).map_err(|error| failed("prune the database", error))?;
    let pruned = delete_all(&mut db, expiry);
    let pruned = pruned.map_err(|error| failed("prune the database", error))?;
    if compact {
        rebuild(&db)
    } else {
        shrink(&mut db)
    }
    .map_err(|error| failed("give space back to the file system", error))?;
    measure(&db, pruned, bytes_before).map_err(|error| failed("measure the database", error))
}

fn delete_all(db: &mut Connection, expiry: &Expiry) -> Result<Pruned, SqlError> {
    let mut pruned = Pruned::default();
    let mut cursor: Option<PageCursor> = None;
    loop {
        let after = number(cursor.as_ref())?.unwrap_or(0);
        let step = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = look(&step, expiry, after, WITHOUT_DAEMON)?;
        let done = delete(&step, expiry.before, after, &found, WITHOUT_DAEMON.rows)?;
        step.commit()?;
        pruned += done.pruned;
        cursor = done.next;
        if cursor.is_none() {
            return Ok(pruned);
        }
    }
}

/// Gives back all free pages, if the database can.
fn shrink(db: &mut Connection) -> Result<(), SqlError> {
    if !can_give_back(db)? {
        return Ok(());
    }
    loop {
        let step = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let free = pragma(&step, "freelist_count")?;
        let given = give_pages(&step, free.min(PAGES))?;
        step.commit()?;
        if given == 0 {
            return Ok(());
        }
    }
}

/// Writes the file anew, so that it can give pages back from then on.
fn rebuild(db: &Connection) -> Result<(), SqlError> {
    db.pragma_update(None, "auto_vacuum", INCREMENTAL)?;
    db.execute_batch("VACUUM")?;
    Ok(())
}

fn measure(db: &Connection, pruned: Pruned, bytes_before: u64) -> Result<Report, SqlError> {
    Ok(Report {
        pruned,
        bytes_before,
        bytes: bytes(db)?,
        free: pragma(db, "freelist_count")? * pragma(db, "page_size")?,
    })
}

fn bytes(db: &Connection) -> Result<u64, SqlError> {
    Ok(pragma(db, "page_count")? * pragma(db, "page_size")?)
}

fn failed(doing: &'static str, error: SqlError) -> StoreError {
    let source = match error.downcast::<rusqlite::Error>() {
        Ok(error) => in_words(&error).into(),
        Err(other) => other,
    };
    StoreError::Failed { doing, source }
}
