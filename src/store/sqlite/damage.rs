//! Errors of `SQLite` with advice on how to mend them, and damage to the file.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::ErrorCode;

use crate::store::sqlite::SqlError;

/// Describes an error of `SQLite` and how to mend its cause.
pub(super) fn in_words(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code().and_then(remedy) {
        Some(remedy) => format!("{error}: {remedy}"),
        None => error.to_string(),
    }
}

/// Damage to the file. After a read or a write has found some, no watch is accepted until a
/// check of the whole file succeeds. A disk that fails for a while can seem like damage.
#[derive(Debug, Default)]
pub(super) struct Damage {
    first: Mutex<Option<String>>,
    /// True while the file is being checked, which takes a while.
    is_checking: AtomicBool,
}

impl Damage {
    /// Describes an error as [`in_words`] does, and remembers it if it is damage.
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

    /// Describes an error of `SQLite` in the same way; returns any other error as it is.
    pub(super) fn explained(&self, error: SqlError) -> SqlError {
        match error.downcast_ref() {
            Some(known) => self.in_words(known).into(),
            None => error,
        }
    }

    /// Fails if damage was found: watches must not be accepted into a damaged file.
    pub(super) fn refuse(&self) -> Result<(), SqlError> {
        match &*self.first() {
            None => Ok(()),
            Some(first) => Err(format!(
                "the database was found damaged ({first}): `jobwatch db check` shows where; stop jobwatch, restore a backup of `jobwatch db backup` and start again"
            )
            .into()),
        }
    }

    /// Checks the file, unless a check is running, and forgets the damage if the file is sound.
    pub(super) fn check_again(&self, is_sound: impl FnOnce() -> bool) {
        if self.is_checking.swap(true, Ordering::Relaxed) {
            return;
        }
        if is_sound() && self.first().take().is_some() {
            tracing::info!("the check found no damage in the database; watches are accepted again");
        }
        self.is_checking.store(false, Ordering::Relaxed);
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
            Some("another process has locked the database file; stop that process")
        }
        ErrorCode::DatabaseCorrupt => Some(
            "the file is damaged; `jobwatch db check` shows where, then restore a backup of `jobwatch db backup`",
        ),
        ErrorCode::NotADatabase => Some("store.url names a file that was not written by jobwatch"),
        ErrorCode::SystemIoFailure => {
            Some("the file system failed; check its free space, its limits and the kernel's log")
        }
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            Some("the folder must exist and be writable")
        }
        _ => None,
    }
}
