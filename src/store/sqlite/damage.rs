//! Errors of `SQLite` with their remedies, and damage of the file.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::ErrorCode;

use crate::store::sqlite::SqlError;

/// Returns an error of `SQLite` with its remedy.
pub(super) fn in_words(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code().and_then(remedy) {
        Some(remedy) => format!("{error}: {remedy}"),
        None => error.to_string(),
    }
}

/// Damage of the file. Once a read or a write has met it, no watch is accepted until all of
/// the file was found sound. A disk that fails for a while can look like damage, too.
#[derive(Debug, Default)]
pub(super) struct Damage {
    first: Mutex<Option<String>>,
    /// The file is being checked, which takes a while.
    is_looking: AtomicBool,
}

impl Damage {
    /// The same as [`in_words`]; damage is remembered.
    pub(super) fn in_words(&self, error: &rusqlite::Error) -> String {
        let is_damage = matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        );
        if is_damage {
            self.first().get_or_insert_with(|| error.to_string());
        }
        in_words(error)
    }

    /// The same for an error that may be one of `SQLite`.
    pub(super) fn explained(&self, error: SqlError) -> SqlError {
        match error.downcast_ref() {
            Some(known) => self.in_words(known).into(),
            None => error,
        }
    }

    /// Fails once damage was met: watches must not be accepted into a damaged file.
    pub(super) fn refuse(&self) -> Result<(), SqlError> {
        match &*self.first() {
            None => Ok(()),
            Some(first) => Err(format!(
                "the database was found damaged ({first}): `jobwatch db check` shows where; stop jobwatch, restore a backup of `jobwatch db backup` and start again"
            )
            .into()),
        }
    }

    /// Checks the file, unless that is under way, and forgets the damage if it is sound.
    pub(super) fn look_again(&self, is_sound: impl FnOnce() -> bool) {
        if self.is_looking.swap(true, Ordering::Relaxed) {
            return;
        }
        if is_sound() && self.first().take().is_some() {
            tracing::info!("the database is sound after all; watches are accepted again");
        }
        self.is_looking.store(false, Ordering::Relaxed);
    }

    fn first(&self) -> MutexGuard<'_, Option<String>> {
        self.first.lock()
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
