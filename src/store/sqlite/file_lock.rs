//! The lock of the database file, and the check that the file is still there.
//!
//! Only one process may open a database, by any path: symbolic links are followed before the
//! lock beside the file is taken, and a file with several hard links is refused. The files are
//! checked before each commit, because `SQLite` would continue to write to a file that was
//! removed, and acknowledged watches would be lost.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::store::StoreError;
use crate::store::sqlite::open_error;

const LOCK: &str = ".lock";
/// The endings of the database's files: `SQLite` keeps two more in WAL mode, we keep the lock.
const NAMES: [&str; 4] = ["", "-wal", "-shm", LOCK];

/// A database file that no other process can open until this is dropped.
#[derive(Debug)]
pub(super) struct FileLock {
    /// The path without symbolic links.
    path: PathBuf,
    /// The system releases the lock when the process ends, even by a crash.
    _lock: File,
}

/// The files of an open database, as they were when it was opened.
#[derive(Debug)]
pub(super) struct Presence(Vec<(PathBuf, Identity)>);

/// Identifies a file independently of its names: device and inode number.
type Identity = (u64, u64);

impl FileLock {
    /// Locks the database at `path`; creates the file if it does not exist.
    ///
    /// # Errors
    /// Another process has it open, or the path cannot be a file with one name.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let real = real_name(path).map_err(|error| {
            let reason = format!("{error}; its folder must exist and be writable");
            open_error(path, &reason)
        })?;
        let file = std::fs::metadata(&real)
            .map_err(|error| open_error(path, &format!("cannot read its metadata: {error}")))?;
        if !file.is_file() {
            return Err(open_error(
                path,
                "it is not a file; store.url must name one",
            ));
        }
        let lock = lock(path, &real)?;
        let names = file.nlink();
        if names > 1 {
            let reason = format!(
                "the file has {names} names (hard links), and a second jobwatch could open it by another name; remove the other names"
            );
            return Err(open_error(path, &reason));
        }
        Ok(Self {
            path: real,
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes the files of the database, which must be open.
    pub(super) fn presence(&self) -> io::Result<Presence> {
        let known = |end| {
            let name = with_end(&self.path, end);
            Ok((name.clone(), identity(&name)?))
        };
        NAMES
            .into_iter()
            .map(known)
            .collect::<Result<_, _>>()
            .map(Presence)
    }
}

impl Presence {
    /// Checks that no file was removed or replaced.
    ///
    /// # Errors
    /// Names the file and says how to mend it.
    pub(super) fn check(&self) -> Result<(), String> {
        for (name, known) in &self.0 {
            match identity(name) {
                Ok(found) if found == *known => {}
                Ok(_) => return Err(missed(name, "was replaced")),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(missed(name, "was removed"));
                }
                Err(error) => return Err(missed(name, &format!("cannot be found ({error})"))),
            }
        }
        Ok(())
    }
}

fn missed(name: &Path, event: &str) -> String {
    format!(
        "{} {event} while jobwatch has the database open: put it back as it was, or restore a backup of `jobwatch db backup`, and restart jobwatch",
        name.display()
    )
}

/// True if a daemon has the database at `path` open.
pub(super) fn is_taken(path: &Path) -> bool {
    let real = path.canonicalize();
    // Opened for reading only: this must not create the lock.
    let lock = File::open(with_end(real.as_deref().unwrap_or(path), LOCK));
    lock.is_ok_and(|lock| lock.try_lock_shared().is_err())
}

/// Returns the path of the file without symbolic links. Creates a file that does not exist,
/// because a link to it cannot be followed before.
fn real_name(path: &Path) -> io::Result<PathBuf> {
    let found = path.canonicalize();
    if !matches!(&found, Err(error) if error.kind() == io::ErrorKind::NotFound) {
        return found;
    }
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    path.canonicalize()
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn identity(name: &Path) -> io::Result<Identity> {
    std::fs::metadata(name).map(|file| (file.dev(), file.ino()))
}

fn lock(path: &Path, real: &Path) -> Result<File, StoreError> {
    let name = with_end(real, LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|error| {
            let name = name.display();
            let reason =
                format!("cannot create {name}: {error}; the folder must exist and be writable");
            open_error(path, &reason)
        })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(open_error(
            path,
            "another jobwatch has it open; stop that one, or set another store.url for this one",
        )),
        Err(std::fs::TryLockError::Error(error)) => Err(open_error(
            path,
            &format!("cannot lock {}: {error}", name.display()),
        )),
    }
}
