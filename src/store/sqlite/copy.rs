//! A database file as the source or the target of a copy.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use async_trait::async_trait;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params_from_iter};

use crate::store::StoreError;
use crate::store::copy::{BATCH_ROWS, LogEnds, Source, Target};
use crate::store::sqlite::connection::{prepare, reader};
use crate::store::sqlite::damage::in_words;
use crate::store::sqlite::file_lock::FileLock;
use crate::store::sqlite::{SqlError, file_lock, migration, open_error};
use crate::store::tables::{Cell, Column, CopiedRow, TABLES, Table, list};

/// The bytes of values after which a batch ends.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// A file that is read. No daemon can open it meanwhile.
struct SqliteSource {
    db: Connection,
    _lock: FileLock,
}

/// A file that is filled, in a transaction that has begun.
struct SqliteTarget {
    db: Connection,
    /// The last field, so that the lock is released after the connection is closed.
    lock: FileLock,
}

/// Opens a file to read it.
///
/// # Errors
/// The file is missing, a daemon has it open, or its schema is not that of this program.
pub fn source(path: &Path) -> Result<Box<dyn Source>, StoreError> {
    if !path.exists() {
        return Err(open_error(path, "the file does not exist"));
    }
    let lock = locked(path)?;
    let fail = |error: rusqlite::Error| open_error(path, &in_words(&error));
    let db = reader(lock.path()).map_err(fail)?;
    migration::check(&db).map_err(|reason| open_error(path, &reason))?;
    let version = migration::version_of(&db).map_err(fail)?;
    if version < migration::newest() {
        let newest = migration::newest();
        let reason =
            format!("its schema is version {version}; `jobwatch run` migrates it to {newest}");
        return Err(open_error(path, &reason));
    }
    Ok(Box::new(SqliteSource { db, _lock: lock }))
}

/// Opens a file to fill it; makes it if it does not exist, for its owner only.
///
/// # Errors
/// The file has watches or events, or a daemon has it open; or it cannot be written.
pub fn target(path: &Path) -> Result<Box<dyn Target>, StoreError> {
    if !path.exists() {
        File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| open_error(path, &format!("cannot create it: {error}")))?;
    }
    let lock = locked(path)?;
    let fail = |error: rusqlite::Error| open_error(path, &in_words(&error));
    let mut db = Connection::open(lock.path()).map_err(fail)?;
    migration::check(&db).map_err(|reason| open_error(path, &reason))?;
    if migration::version_of(&db).map_err(fail)? > 0 {
        require_empty(&db).map_err(|reason| open_error(path, &reason.to_string()))?;
    }
    prepare(&db).map_err(fail)?;
    migration::run(&mut db).map_err(|reason| open_error(path, &reason))?;
    require_empty(&db).map_err(|reason| open_error(path, &reason.to_string()))?;
    db.execute_batch("BEGIN IMMEDIATE").map_err(fail)?;
    Ok(Box::new(SqliteTarget { db, lock }))
}

fn locked(path: &Path) -> Result<FileLock, StoreError> {
    if file_lock::is_taken(path) {
        return Err(open_error(
            path,
            "a running daemon has it open; stop the daemon first",
        ));
    }
    FileLock::take(path)
}

fn require_empty(db: &Connection) -> Result<(), SqlError> {
    for table in TABLES {
        let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
        let exists: bool = db.query_row(sql, [table.name], |row| row.get(0))?;
        if exists && count(db, table)? > 0 {
            return Err(format!(
                "it is not empty: it has rows in the table {}; name a new file",
                table.name
            )
            .into());
        }
    }
    Ok(())
}

fn count(db: &Connection, table: &Table) -> Result<u64, SqlError> {
    let sql = format!("SELECT count(*) FROM {}", table.name);
    let count: i64 = db.query_row(&sql, [], |row| row.get(0))?;
    Ok(u64::try_from(count)?)
}

fn names(columns: &[Column]) -> String {
    list(columns, |column| column.in_sqlite)
}

fn places(count: usize) -> String {
    vec!["?"; count].join(", ")
}

fn rows(
    db: &Connection,
    table: &Table,
    after: Option<&CopiedRow>,
) -> Result<Vec<CopiedRow>, SqlError> {
    let (columns, key) = (names(table.columns), names(table.key()));
    let beyond = match after {
        Some(_) => format!("WHERE ({key}) > ({})", places(table.keys)),
        None => String::new(),
    };
    let sql = format!(
        "SELECT {columns} FROM {} {beyond} ORDER BY {key} LIMIT {BATCH_ROWS}",
        table.name
    );
    let mut statement = db.prepare_cached(&sql)?;
    let key = after.iter().flat_map(|row| &row[..table.keys]);
    let mut found = statement.query(params_from_iter(key.cloned().map(value_of)))?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while bytes < BATCH_BYTES
        && let Some(row) = found.next()?
    {
        let mut cells = Vec::with_capacity(table.columns.len());
        for index in 0..table.columns.len() {
            let cell = cell_of(row.get_ref(index)?)?;
            bytes += size_of(&cell);
            cells.push(cell);
        }
        rows.push(cells);
    }
    Ok(rows)
}

fn cell_of(value: ValueRef<'_>) -> Result<Cell, SqlError> {
    Ok(match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Number(number),
        ValueRef::Text(text) => Cell::Text(str::from_utf8(text)?.to_owned()),
        ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_vec()),
        ValueRef::Real(_) => return Err("a value is a fraction; jobwatch did not write it".into()),
    })
}

fn value_of(cell: Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Number(number) => Value::Integer(number),
        Cell::Text(text) => Value::Text(text),
        Cell::Bytes(bytes) => Value::Blob(bytes),
    }
}

fn size_of(cell: &Cell) -> usize {
    match cell {
        Cell::Null | Cell::Number(_) => 8,
        Cell::Text(text) => text.len(),
        Cell::Bytes(bytes) => bytes.len(),
    }
}

#[async_trait]
impl Source for SqliteSource {
    async fn rows(
        &mut self,
        table: &Table,
        after: Option<&CopiedRow>,
    ) -> Result<Vec<CopiedRow>, SqlError> {
        rows(&self.db, table, after)
    }

    async fn count(&mut self, table: &Table) -> Result<u64, SqlError> {
        count(&self.db, table)
    }

    async fn log_ends(&mut self) -> Result<LogEnds, SqlError> {
        let sql = "SELECT (SELECT seq FROM log_start),
            coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)";
        Ok(self.db.query_row(sql, [], |row| {
            Ok(LogEnds {
                start: row.get(0)?,
                last: row.get(1)?,
            })
        })?)
    }
}

#[async_trait]
impl Target for SqliteTarget {
    async fn insert(&mut self, table: &Table, rows: Vec<CopiedRow>) -> Result<(), SqlError> {
        let sql = format!(
            "INSERT INTO {} ({}) VALUES ({})",
            table.name,
            names(table.columns),
            places(table.columns.len())
        );
        let mut statement = self.db.prepare_cached(&sql)?;
        for row in rows {
            statement.execute(params_from_iter(row.into_iter().map(value_of)))?;
        }
        Ok(())
    }

    async fn count(&mut self, table: &Table) -> Result<u64, SqlError> {
        count(&self.db, table)
    }

    async fn finish(self: Box<Self>, ends: LogEnds) -> Result<(), SqlError> {
        let db = &self.db;
        db.execute("UPDATE log_start SET seq = ?1", [ends.start])?;
        // The row is there if an event was inserted.
        let sql = "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'events'";
        if db.execute(sql, [ends.last])? == 0 && ends.last > 0 {
            let sql = "INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?1)";
            db.execute(sql, [ends.last])?;
        }
        db.execute_batch(SPANS)?;
        db.execute_batch("COMMIT")?;
        // The folder may have a new file.
        let folder = self.lock.path().parent().unwrap_or(Path::new("/"));
        File::open(folder)?.sync_all()?;
        Ok(())
    }
}

/// Derives the spans from the watches, as the migration that made their table does.
const SPANS: &str = "INSERT INTO submission_spans
    SELECT number >> 9 AS span, min(submitted_at), max(submitted_at) FROM watches GROUP BY span";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The tables of this store that are not copied: derived rows, and those of one process.
    const NOT_COPIED: [&str; 5] = [
        "log_start",
        "replicas",
        "shards",
        "sqlite_sequence",
        "submission_spans",
    ];

    fn texts(db: &Connection, sql: &str) -> BTreeSet<String> {
        let mut statement = db.prepare(sql).unwrap();
        let found = statement.query_map([], |row| row.get(0)).unwrap();
        found.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn every_column_of_the_schema_is_copied() {
        let mut db = Connection::open_in_memory().unwrap();
        migration::run(&mut db).unwrap();
        let mut tables = texts(&db, "SELECT name FROM sqlite_schema WHERE type = 'table'");
        for name in NOT_COPIED {
            assert!(tables.remove(name), "{name}");
        }
        for table in TABLES {
            assert!(tables.remove(table.name), "{}", table.name);
            let sql = format!("SELECT name FROM pragma_table_info('{}')", table.name);
            let listed = table.columns.iter().map(|it| it.in_sqlite.to_owned());
            let mut listed: BTreeSet<String> = listed.collect();
            listed.remove("rowid");
            assert_eq!(texts(&db, &sql), listed, "{}", table.name);
        }
        assert!(tables.is_empty(), "not copied: {tables:?}");
    }
}
