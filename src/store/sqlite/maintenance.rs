//! Checks and copies the database file, whether a daemon runs or not.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{Access, access};

use crate::store::StoreError;
use crate::store::inspection::{FINDINGS_MAX, Inspection, TABLES, Users};
use crate::store::sqlite::connection::BUSY_TIMEOUT;
use crate::store::sqlite::damage::in_words;
use crate::store::sqlite::{SqlError, file_lock, migration, open_error};

/// Checks the whole database at `path`; changes nothing.
///
/// # Errors
/// The file is missing, or cannot be read at all.
pub fn inspect(path: &Path) -> Result<Inspection, StoreError> {
    let db = read_only(path)?;
    let fail = |error: rusqlite::Error| open_error(path, &in_words(&error));
    let schema = migration::version_of(&db).map_err(fail)?;
    let pages = |name| db.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    let bytes = pages("page_count")
        .and_then(|count| Ok(u64::from(count) * u64::from(pages("page_size")?)))
        // Pages cannot be counted if the schema is damaged.
        .unwrap_or_else(|_| std::fs::metadata(path).map_or(0, |file| file.len()));
    let mut inspection = Inspection {
        // If damage hides the answer, the damage is reported as a finding.
        is_ours: migration::is_ours(&db).unwrap_or(true),
        schema,
        newest: migration::newest(),
        users: Users::Daemon(file_lock::is_taken(path)),
        bytes,
        findings: Vec::new(),
        rows: Vec::new(),
        watches: Vec::new(),
        deliveries: Vec::new(),
    };
    if let Err(error) = damage(&db, &mut inspection.findings) {
        inspection
            .findings
            .push(format!("the file cannot be read to its end: {error}"));
    }
    // In a damaged database, only the tables that can be read are counted.
    for table in TABLES {
        let count = count(&db, &format!("SELECT '{table}', count(*) FROM {table}"));
        inspection.rows.extend(count.unwrap_or_default());
    }
    let by_state = |table: &str| {
        let sql = format!("SELECT state, count(*) FROM {table} GROUP BY state ORDER BY state");
        count(&db, &sql).unwrap_or_default()
    };
    inspection.watches = by_state("watches");
    inspection.deliveries = by_state("deliveries");
    Ok(inspection)
}

/// Says how a daemon would find the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// There is no file yet; it can be created.
    New,
    /// The file can be opened and written.
    Ready,
    /// Another jobwatch has it open.
    InUse,
}

/// Checks that a daemon could open the database at `path`; changes nothing and reads little.
///
/// # Errors
/// The file or its folder is not writable, a newer version or another program wrote it, or it is
/// not a database.
pub fn standing(path: &Path) -> Result<Standing, StoreError> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let writable = |place: &Path| {
        access(place, Access::WRITE_OK).map_err(|error| {
            let place = place.display();
            open_error(path, &format!("cannot write to {place}: {error}"))
        })
    };
    if !folder.is_dir() {
        let reason = format!("the folder {} does not exist; create it", folder.display());
        return Err(open_error(path, &reason));
    }
    writable(folder)?;
    if !path.exists() {
        return Ok(Standing::New);
    }
    writable(path)?;
    let db = read_only(path)?;
    migration::check(&db).map_err(|reason| open_error(path, &reason))?;
    Ok(if file_lock::is_taken(path) {
        Standing::InUse
    } else {
        Standing::Ready
    })
}

/// Copies the database at `path` to `copy`, as of one moment. The copy is complete, compact,
/// readable by its owner only, and synced to disk. Returns its size in bytes.
///
/// # Errors
/// `copy` exists or cannot be written, or the database cannot be read. An incomplete copy is
/// removed.
pub fn back_up(path: &Path, copy: &Path) -> Result<u64, StoreError> {
    let db = read_only(path)?;
    let begun = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(copy)
        .map_err(|error| failed(not_made(copy, &error)))?;
    let copied = fill(&db, copy, &begun);
    if copied.is_err()
        && let Err(error) = std::fs::remove_file(copy)
    {
        tracing::warn!(file = %copy.display(), %error, "cannot remove the incomplete copy");
    }
    copied.map_err(|error| failed(error.to_string()))
}

fn fill(db: &Connection, copy: &Path, file: &File) -> Result<u64, SqlError> {
    let name = copy
        .to_str()
        .ok_or("the name of the copy must be UTF-8 text")?;
    db.execute("VACUUM INTO ?1", [name])
        .map_err(|error| not_filled(copy, &error))?;
    let mut findings = Vec::new();
    damage(&read_only(copy)?, &mut findings)?;
    if let Some(first) = findings.first() {
        return Err(format!("the copy is damaged: {first}").into());
    }
    file.sync_all()?;
    let folder = copy
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(file.metadata()?.len())
}

/// Describes a failed copy. If a disk is full, it is the disk of the copy.
fn not_filled(copy: &Path, error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            format!(
                "no room left for {}; free some space, or name a file elsewhere",
                copy.display()
            )
        }
        _ => in_words(error),
    }
}

fn not_made(copy: &Path, error: &std::io::Error) -> String {
    let copy = copy.display();
    if error.kind() == std::io::ErrorKind::AlreadyExists {
        return format!("{copy} exists and is not overwritten; remove it, or name another file");
    }
    format!("cannot create {copy}: {error}; its folder must exist and be writable")
}

fn failed(reason: String) -> StoreError {
    StoreError::Failed {
        doing: "back up the database",
        source: reason.into(),
    }
}

pub(super) fn read_only(path: &Path) -> Result<Connection, StoreError> {
    let fail = |error: rusqlite::Error| open_error(path, &in_words(&error));
    if !path.exists() {
        return Err(open_error(path, "the file does not exist"));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(fail)?;
    db.busy_timeout(BUSY_TIMEOUT).map_err(fail)?;
    Ok(db)
}

/// True if a check of every page finds no fault.
pub(super) fn is_sound(db: &Connection) -> bool {
    let mut findings = Vec::new();
    forget_pages(db).is_ok() && damage(db, &mut findings).is_ok() && findings.is_empty()
}

/// Writes a row of `size` bytes and a little more, in place of the previous one. It changes a
/// counter, because a write that changes nothing would not reach the disk.
pub(super) fn write_test_row(db: &Connection, size: usize) -> Result<(), rusqlite::Error> {
    db.execute(
        "INSERT INTO replicas (id, seen_at, version) VALUES (x'00', 0, ?1)
         ON CONFLICT (id) DO UPDATE SET seen_at = seen_at + 1, version = excluded.version",
        ["0".repeat(size)],
    )?;
    Ok(())
}

/// Drops the pages that a connection keeps in memory, so that it reads them again.
pub(super) fn forget_pages(db: &Connection) -> Result<(), rusqlite::Error> {
    db.execute_batch("PRAGMA shrink_memory")
}

fn damage(db: &Connection, findings: &mut Vec<String>) -> Result<(), SqlError> {
    let wanted = format!("PRAGMA integrity_check({FINDINGS_MAX})");
    let mut statement = db.prepare(&wanted)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next().map_err(|error| in_words(&error))? {
        // One row may hold many findings.
        let found: String = row.get(0)?;
        let lines = found.lines().filter(|line| *line != "ok");
        findings.extend(lines.map(str::to_owned));
    }
    findings.truncate(FINDINGS_MAX);
    let mut statement = db.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next().map_err(|error| in_words(&error))? {
        if findings.len() >= FINDINGS_MAX {
            break;
        }
        let (table, number, other): (String, Option<i64>, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        let number = number.map_or_else(|| "a row".to_owned(), |number| format!("row {number}"));
        findings.push(format!(
            "{number} of {table} refers to a missing row of {other}"
        ));
    }
    Ok(())
}

fn count(db: &Connection, sql: &str) -> Result<Vec<(String, u64)>, SqlError> {
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut counts = Vec::new();
    while let Some(row) = rows.next()? {
        let count: i64 = row.get(1)?;
        counts.push((row.get(0)?, u64::try_from(count)?));
    }
    Ok(counts)
}
