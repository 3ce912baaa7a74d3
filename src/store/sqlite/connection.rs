//! The connections to a `SQLite` file and their settings.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::store::sqlite::space::INCREMENTAL;

/// How long to wait for the lock of another process. It is short, because the writes behind it
/// fail and their callers try again.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The number of pages in the write-ahead log that are enough to write them to the database. A
/// page that changes often is then written once for many changes: 32 MiB.
const WAL_PAGES: u32 = 8192;

/// The largest size of the writer's cache. The pages of an index with values in no order should
/// have room.
const CACHE_KIB: i32 = 4 * 1024;

/// Prepares a connection that writes.
pub(super) fn prepare(connection: &Connection) -> Result<(), rusqlite::Error> {
    // Only a database without tables takes it, and only before its first write.
    connection.pragma_update(None, "auto_vacuum", INCREMENTAL)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    prepare_any(connection)
}

/// Opens a connection that only reads.
pub(super) fn reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "query_only", true)?;
    prepare_any(&connection)?;
    Ok(connection)
}

/// Sets what holds for reads and writes alike.
fn prepare_any(connection: &Connection) -> Result<(), rusqlite::Error> {
    // Otherwise a statement that could use a partial index is prepared anew for each new value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.busy_timeout(BUSY_TIMEOUT)
}
