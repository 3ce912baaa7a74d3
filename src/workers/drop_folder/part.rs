//! The files in one of the open folders, and the errors of a single file.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, Stat, fstat, fsync, openat, renameat,
    renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

/// The errors that every file would meet: no space, a disk that fails or is read-only, or no
/// file descriptor left.
const OF_FOLDER: [Errno; 8] = [
    Errno::NOSPC,
    Errno::DQUOT,
    Errno::ROFS,
    Errno::IO,
    Errno::STALE,
    Errno::MFILE,
    Errno::NFILE,
    Errno::NOMEM,
];

/// An operation on one file failed.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {error}")]
pub(super) struct FileError {
    file: String,
    error: io::Error,
}

impl FileError {
    /// Returns whether the folder is at fault; the other files are then no better off.
    pub(super) fn is_of_folder(&self) -> bool {
        let code = Errno::from_io_error(&self.error);
        code.is_some_and(|code| OF_FOLDER.contains(&code))
    }
}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        Self::new(error.error.kind(), error)
    }
}

/// The drop folder, or one of the three in it.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) opened: Arc<OwnedFd>,
    /// The path from the drop folder to here, with a slash at its end, for messages.
    path: &'static str,
}

impl Part {
    pub(super) fn new(opened: OwnedFd, path: &'static str) -> Self {
        Self {
            opened: Arc::new(opened),
            path,
        }
    }

    fn error(&self, file: &str, error: impl Into<io::Error>) -> FileError {
        FileError {
            file: format!("{}{file}", self.path),
            error: error.into(),
        }
    }

    /// Reads at most `limit` bytes of a file, and returns them with its status; `None` without
    /// the file. Symbolic links, folders and pipes are errors.
    pub(super) fn read(
        &self,
        file: &str,
        limit: usize,
    ) -> Result<Option<(Vec<u8>, Stat)>, FileError> {
        // Without NONBLOCK, a pipe would hold up the whole folder.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = match openat(&*self.opened, file, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => {
                return Err(self.error(file, io::Error::other("it is a symbolic link")));
            }
            opened => opened.map_err(|error| self.error(file, error))?,
        };
        let found = fstat(&opened).map_err(|error| self.error(file, error))?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(self.error(file, io::Error::other("it is not a file")));
        }
        let mut bytes = Vec::new();
        File::from(opened)
            .take(limit as u64)
            .read_to_end(&mut bytes)
            // A file that cannot be read, on a folder that can.
            .map_err(|error| self.error(file, io::Error::other(error.to_string())))?;
        Ok(Some((bytes, found)))
    }

    /// Writes a file of this name, whole or not at all, over an earlier one.
    pub(super) fn write(&self, file: &str, text: &str) -> Result<(), FileError> {
        let unfinished = self.unfinished(file, text)?;
        let renamed = renameat(&*self.opened, &unfinished, &*self.opened, file);
        self.or_removed(renamed, file, &unfinished)
    }

    /// Writes a file, whole or not at all, which must not exist.
    pub(super) fn write_new(&self, file: &str, text: &str) -> Result<(), FileError> {
        let unfinished = self.unfinished(file, text)?;
        let (here, flags) = (&*self.opened, RenameFlags::NOREPLACE);
        let renamed = renameat_with(here, &unfinished, here, file, flags);
        self.or_removed(renamed, file, &unfinished)
    }

    /// Completes a write; the unfinished file goes if it failed.
    fn or_removed(
        &self,
        renamed: Result<(), Errno>,
        file: &str,
        unfinished: &CString,
    ) -> Result<(), FileError> {
        if let Err(error) = renamed {
            self.remove(&unfinished.to_string_lossy())?;
            return Err(self.error(file, error));
        }
        self.sync()
    }

    /// Writes the text to the disk under a name that no reader takes.
    fn unfinished(&self, file: &str, text: &str) -> Result<CString, FileError> {
        let name = CString::new(format!(".{file}.tmp"));
        let name = name.map_err(|error| self.error(file, error))?;
        self.remove(&name.to_string_lossy())?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(&*self.opened, &name, flags, Mode::from_raw_mode(0o666));
        let mut opened = File::from(opened.map_err(|error| self.error(file, error))?);
        let text = format!("{}\n", text.trim_end());
        opened
            .write_all(text.as_bytes())
            .and_then(|()| opened.sync_all())
            .map_err(|error| self.error(file, error))?;
        Ok(name)
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, file: &str) -> Result<(), FileError> {
        match unlinkat(&*self.opened, file, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.error(file, error)),
        }
    }

    /// Fails if no file can be moved to this name, because a folder has it.
    pub(super) fn check_free(&self, file: &str) -> Result<(), FileError> {
        match self.stat(file) {
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => {
                Err(self.error(file, Errno::ISDIR))
            }
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.error(file, error)),
        }
    }

    /// Moves a file, over an earlier one. Returns its status, or `None` without the file.
    pub(super) fn move_to(&self, target: &Self, file: &str) -> Result<Option<Stat>, FileError> {
        match renameat(&*self.opened, file, &*target.opened, file) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(target.error(file, error)),
        }
        let moved = target.stat(file);
        moved.map(Some).map_err(|error| target.error(file, error))
    }

    /// Moves a file, unless the target has one of this name.
    pub(super) fn move_back(&self, target: &Self, file: &str) -> Result<(), FileError> {
        let flags = RenameFlags::NOREPLACE;
        match renameat_with(&*self.opened, file, &*target.opened, file, flags) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(target.error(file, error)),
        }
    }

    fn stat(&self, file: &str) -> Result<Stat, Errno> {
        statat(&*self.opened, file, AtFlags::SYMLINK_NOFOLLOW)
    }

    pub(super) fn sync(&self) -> Result<(), FileError> {
        fsync(&*self.opened).map_err(|error| self.error("", error))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn part(folder: &TempDir) -> Part {
        Part::new(File::open(folder.path()).unwrap().into(), "finished/")
    }

    #[test]
    fn errors_that_all_files_meet_are_of_the_folder() {
        let folder = TempDir::new().unwrap();
        let part = part(&folder);
        for code in OF_FOLDER {
            assert!(part.error("a.json", code).is_of_folder(), "{code}");
        }
        for code in [Errno::ISDIR, Errno::ACCESS, Errno::NAMETOOLONG] {
            assert!(!part.error("a.json", code).is_of_folder(), "{code}");
        }
    }

    #[test]
    fn a_failed_write_names_the_file_and_leaves_nothing() {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("a.json")).unwrap();
        let part = part(&folder);
        let failed = part.write("a.json", "{}").unwrap_err().to_string();
        assert!(failed.starts_with("finished/a.json: "), "{failed}");
        assert!(part.write_new("a.json", "{}").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(part.check_free("a.json").is_err() && part.check_free("b.json").is_ok());
    }
}
