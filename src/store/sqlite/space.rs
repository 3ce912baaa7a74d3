//! The space that deleted rows leave in a `SQLite` file.
//!
//! New rows use it first. A new database has `auto_vacuum = incremental`, so that the rest can go
//! back to the file system in small steps. One of an earlier version keeps its size until it is
//! compacted; see [`prune`](super::prune).

use rusqlite::Connection;

use crate::store::sqlite::SqlError;

/// The value of `auto_vacuum` that lets free pages go in steps.
pub(super) const INCREMENTAL: u32 = 2;

/// One part in so many of the file stays free for new rows: otherwise the file would shrink and
/// grow all the time.
const FREE_PART: u64 = 10;

/// The number of pages in one step.
const STEP: u64 = 64;

/// Returns the number of free pages that new rows will hardly need; 0 if the database cannot give
/// pages back.
pub(super) fn surplus(db: &Connection) -> Result<u64, SqlError> {
    if !can_give_back(db)? {
        return Ok(0);
    }
    Ok(beyond_reserve(
        pragma(db, "freelist_count")?,
        pragma(db, "page_count")?,
    ))
}

/// Gives at most [`STEP`] pages of the surplus back. Returns their bytes.
pub(super) fn give_back(db: &Connection) -> Result<u64, SqlError> {
    let pages = surplus(db)?.min(STEP);
    give_pages(db, pages)
}

/// Gives free pages back. Returns their bytes.
pub(super) fn give_pages(db: &Connection, pages: u64) -> Result<u64, SqlError> {
    if pages == 0 {
        return Ok(0);
    }
    let before = pragma(db, "page_count")?;
    let mut statement = db.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = statement.query([])?;
    // Each row is one page.
    while rows.next()?.is_some() {}
    drop(rows);
    let given = before.saturating_sub(pragma(db, "page_count")?);
    Ok(given * pragma(db, "page_size")?)
}

/// True if free pages can go in steps.
pub(super) fn can_give_back(db: &Connection) -> Result<bool, SqlError> {
    Ok(pragma(db, "auto_vacuum")? == u64::from(INCREMENTAL))
}

/// Returns the number in a pragma.
pub(super) fn pragma(db: &Connection, name: &str) -> Result<u64, SqlError> {
    let value: i64 = db.pragma_query_value(None, name, |row| row.get(0))?;
    Ok(u64::try_from(value)?)
}

fn beyond_reserve(free: u64, pages: u64) -> u64 {
    free.saturating_sub(pages / FREE_PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_file_stays_free() {
        for (free, pages, surplus) in [(0, 0, 0), (99, 1000, 0), (101, 1000, 1), (9, 9, 9)] {
            assert_eq!(beyond_reserve(free, pages), surplus, "{free} of {pages}");
        }
    }
}
