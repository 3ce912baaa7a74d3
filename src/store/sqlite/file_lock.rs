//! The lock of the database file, and the check that the file is still there.
//!
//! One process has a database, by every name that leads to it: symbolic links are followed
//! before the lock beside the file is taken, and a file with several names of its own is
//! refused. The names are looked at before each commit, since `SQLite` would go on to
//! write to a file that was removed, and watches that were acknowledged would be lost.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::store::StoreError;
use crate::store::sqlite::open_error;

/// The files that `SQLite` keeps beside a database in WAL mode, and our lock.
const LOCK: &str = ".lock";
const NAMES: [&str; 4] = ["", "-wal", "-shm", LOCK];

/// A database file that this process has until this is dropped.
#[derive(Debug)]
pub(super) struct FileLock {
    /// Its name without symbolic links.
    path: PathBuf,
    /// The system releases it when the process ends, in any way.
    _lock: File,
}

/// The files of an open database, as they were when it was opened.
#[derive(Debug)]
pub(super) struct Presence(Vec<(PathBuf, Identity)>);

/// Identifies a file independently of its names: device and number.
type Identity = (u64, u64);

impl FileLock {
    /// Takes the database at `path`, which need not exist.
    ///
    /// # Errors
    /// Another process has it, or it cannot be a file.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let real = real_name(path).map_err(|error| {
            let reason = format!("{error}; its folder must exist and be writable");
            open_error(path, &reason)
        })?;
        let file = std::fs::metadata(&real)
            .map_err(|error| open_error(path, &format!("cannot look at it: {error}")))?;
        if !file.is_file() {
            return Err(open_error(path, "it is no file; store.url must name one"));
        }
        let lock = lock(path, &real)?;
        let names = file.nlink();
        if names > 1 {
            let reason = format!(
                "the file has {names} names (hard links), and under another one a second jobwatch would not be noticed; remove the others"
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

    /// The files of the database, once it is open.
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
    /// Checks that every file is still the same one.
    ///
    /// # Errors
    /// The file that is not, and the remedy.
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

fn missed(name: &Path, what: &str) -> String {
    format!(
        "{} {what} while jobwatch has the database open: put it back as it was, or restore a backup of `jobwatch db backup`, and restart jobwatch",
        name.display()
    )
}

/// True if a daemon has the database at `path`.
pub(super) fn is_taken(path: &Path) -> bool {
    let real = path.canonicalize();
    // Only looked at: a lock that is not there is not made.
    let lock = File::open(with_end(real.as_deref().unwrap_or(path), LOCK));
    lock.is_ok_and(|lock| lock.try_lock_shared().is_err())
}

/// The name of the file at `path` without symbolic links; the file is made where there is
/// none, as a link may lead to one that is still to be made.
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
                format!("cannot make {name}: {error}; the folder must exist and be writable");
            open_error(path, &reason)
        })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(open_error(
            path,
            "another jobwatch has it open; stop that one, or give this one its own store.url",
        )),
        Err(std::fs::TryLockError::Error(error)) => Err(open_error(
            path,
            &format!("cannot lock {}: {error}", name.display()),
        )),
    }
}
