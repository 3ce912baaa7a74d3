//! What went wrong in `SQLite`, in words that say what to do about it.

use rusqlite::ErrorCode;

use crate::store::sqlite::SqlError;

/// An error of `SQLite` with what a person can do about it.
pub(super) fn in_words(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code().and_then(remedy) {
        Some(remedy) => format!("{error}: {remedy}"),
        None => error.to_string(),
    }
}

/// The same for an error that may be one of `SQLite`.
pub(super) fn explained(error: SqlError) -> SqlError {
    match error.downcast_ref() {
        Some(known) => in_words(known).into(),
        None => error,
    }
}

fn remedy(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::DiskFull => Some("make room on the file system of the database"),
        ErrorCode::ReadOnly => Some(
            "the database file and its folder must be writable, on a file system that is not mounted read-only",
        ),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            Some("another process holds a lock on the database file; end that one")
        }
        ErrorCode::DatabaseCorrupt => Some(
            "the file is damaged; `jobwatch db check` shows where, then restore a backup of `jobwatch db backup`",
        ),
        ErrorCode::NotADatabase => Some("store.url names a file that was not written by jobwatch"),
        ErrorCode::SystemIoFailure => {
            Some("the file system failed; look at its space, its limits and the kernel's log")
        }
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            Some("the folder must exist and be writable")
        }
        _ => None,
    }
}
