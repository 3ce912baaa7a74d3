//! The files of the drop folder. No symbolic link is followed: every call names a file within a
//! folder that is open already.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, Stat, fstat, fsync, mkdirat, openat,
    renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use serde_json::Value;

use crate::workers::drop_folder::submission::{FILE_BYTES_MAX, Link, Taken};

/// The longest NAME in bytes, so that every name made from it is one too.
const NAME_BYTES_MAX: usize = 200;
/// The most files with a watch that has not ended.
const LINKS_MAX: usize = 100_000;

/// An open drop folder with its three folders.
#[derive(Clone)]
pub(super) struct Folder {
    inbox: Arc<OwnedFd>,
    accepted: Arc<OwnedFd>,
    rejected: Arc<OwnedFd>,
    finished: Arc<OwnedFd>,
}

/// One look into the folder.
pub(super) struct Look {
    pub(super) files: Vec<Taken>,
    /// The names that are no submission, each with the reason; known ones without.
    pub(super) left_out: Vec<(String, String)>,
}

impl Folder {
    /// Opens the folder, which must exist, and makes those in it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let inbox = openat(
            CWD,
            path,
            OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let inner = |name: &str| -> io::Result<Arc<OwnedFd>> {
            match mkdirat(&inbox, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(within(name, error)),
            }
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = openat(&inbox, name, flags, Mode::empty());
            opened.map(Arc::new).map_err(|error| within(name, error))
        };
        Ok(Self {
            accepted: inner("accepted")?,
            rejected: inner("rejected")?,
            finished: inner("finished")?,
            inbox: Arc::new(inbox),
        })
    }

    /// Reads at most `limit` submissions. Files that begin with a dot or do not end with `.json`
    /// are not finished, or are of other programs.
    pub(super) fn take(&self, limit: usize, known: &BTreeSet<String>) -> io::Result<Look> {
        let mut look = Look {
            files: Vec::new(),
            left_out: Vec::new(),
        };
        for entry in Dir::read_from(&*self.inbox)? {
            if look.files.len() >= limit {
                break;
            }
            let entry = entry?;
            let Ok(file) = entry.file_name().to_str() else {
                continue;
            };
            let Some(name) = file
                .strip_suffix(".json")
                .filter(|_| !file.starts_with('.'))
            else {
                continue;
            };
            match self.read(name, file) {
                Ok(Some(taken)) => look.files.push(taken),
                // Its writer has moved it in the meantime.
                Ok(None) => {}
                Err(reason) => {
                    let reason = if known.contains(file) {
                        String::new()
                    } else {
                        reason
                    };
                    if look.left_out.len() < limit {
                        look.left_out.push((file.to_owned(), reason));
                    }
                }
            }
        }
        Ok(look)
    }

    fn read(&self, name: &str, file: &str) -> Result<Option<Taken>, String> {
        if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(format!(
                "the name must have at most {NAME_BYTES_MAX} bytes, and no control character"
            ));
        }
        // Without NONBLOCK, a pipe would hold up the whole folder.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = match openat(&*self.inbox, file, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err("it is a symbolic link".to_owned()),
            opened => opened.map_err(|error| format!("cannot read it: {error}"))?,
        };
        let found = fstat(&opened).map_err(|error| error.to_string())?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err("it is not a file".to_owned());
        }
        let mut bytes = Vec::new();
        let limit = FILE_BYTES_MAX as u64 + 1;
        File::from(opened)
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("cannot read it: {error}"))?;
        Ok(Some(Taken {
            name: name.to_owned(),
            bytes,
            identity: identity(&found),
        }))
    }

    /// Returns the link of an accepted name; `None` also for one that cannot be used.
    pub(super) fn link(&self, name: &str) -> io::Result<Option<Link>> {
        let file = format!("{name}.watch");
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = match openat(&*self.accepted, &*file, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.map_err(|error| within(&format!("accepted/{file}"), error))?,
        };
        let mut bytes = Vec::new();
        File::from(opened)
            .take(FILE_BYTES_MAX as u64)
            .read_to_end(&mut bytes)?;
        let link = serde_json::from_slice(&bytes);
        if let Err(error) = &link {
            tracing::error!(file = format!("accepted/{file}"), %error, "another program has changed a file of the drop folder; its watch is not followed");
        }
        Ok(link.ok())
    }

    /// Returns the links of all accepted names.
    pub(super) fn links(&self) -> io::Result<Vec<(String, Link)>> {
        let mut links = Vec::new();
        for entry in Dir::read_from(&*self.accepted)? {
            let entry = entry?;
            let file = entry.file_name().to_str().unwrap_or_default();
            let Some(name) = file
                .strip_suffix(".watch")
                .filter(|_| !file.starts_with('.'))
            else {
                continue;
            };
            if links.len() >= LINKS_MAX {
                tracing::error!(
                    limit = LINKS_MAX,
                    "accepted/ of the drop folder has more files than are followed"
                );
                break;
            }
            if let Some(link) = self.link(name)? {
                links.push((name.to_owned(), link));
            }
        }
        Ok(links)
    }

    /// Links the file to its watch, then moves it to `accepted/`. Results of an earlier
    /// submission of the same name are removed.
    pub(super) fn accept(&self, taken: &Taken, link: &Link) -> io::Result<()> {
        let name = taken.name.clone();
        let text = serde_json::to_string(link).map_err(io::Error::other)?;
        write(&self.accepted, &format!("{name}.watch"), &text)?;
        remove(&self.finished, &format!("{name}.json"))?;
        remove(&self.rejected, &format!("{name}.json"))?;
        remove(&self.rejected, &format!("{name}.error"))?;
        self.move_to(&self.accepted, taken)
    }

    /// Moves the file to `rejected/`, after the reason.
    pub(super) fn reject(&self, taken: &Taken, reason: &Value) -> io::Result<()> {
        // The result of an earlier submission would pass for that of this one.
        if self.link(&taken.name)?.is_none() {
            remove(&self.finished, &format!("{}.json", taken.name))?;
        }
        write(
            &self.rejected,
            &format!("{}.error", taken.name),
            &reason.to_string(),
        )?;
        self.move_to(&self.rejected, taken)
    }

    fn move_to(&self, target: &OwnedFd, taken: &Taken) -> io::Result<()> {
        let file = format!("{}.json", taken.name);
        renameat(&*self.inbox, &*file, target, &*file).map_err(|error| within(&file, error))?;
        let moved = statat(target, &*file, AtFlags::SYMLINK_NOFOLLOW)?;
        if identity(&moved) != taken.identity {
            // Its writer has replaced it since it was read: the new file is a new submission.
            match renameat_with(target, &*file, &*self.inbox, &*file, RenameFlags::NOREPLACE) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(within(&file, error)),
            }
            let text = String::from_utf8_lossy(&taken.bytes);
            write(target, &file, &text)?;
        }
        fsync(target)?;
        fsync(&*self.inbox)?;
        Ok(())
    }

    /// Writes the final event, then removes the accepted file and its link.
    pub(super) fn finish(&self, name: &str, event: &str) -> io::Result<()> {
        write(&self.finished, &format!("{name}.json"), event)?;
        remove(&self.accepted, &format!("{name}.json"))?;
        remove(&self.accepted, &format!("{name}.watch"))
    }

    /// Moves an accepted file to `rejected/`, because its watch is lost.
    pub(super) fn lose(&self, name: &str, reason: &Value) -> io::Result<()> {
        write(
            &self.rejected,
            &format!("{name}.error"),
            &reason.to_string(),
        )?;
        let file = format!("{name}.json");
        match renameat(&*self.accepted, &*file, &*self.rejected, &*file) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(within(&file, error)),
        }
        remove(&self.accepted, &format!("{name}.watch"))
    }
}

/// Writes a submission into the folder at `path`, whole or not at all, as `NAME.json`.
///
/// # Errors
/// The folder cannot be written, or it has a file of this name.
pub fn write_new(path: &Path, name: &str, text: &str) -> io::Result<()> {
    let folder = openat(
        CWD,
        path,
        OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let file = format!("{name}.json");
    let unfinished = unfinished(&folder, &file, text)?;
    match renameat_with(
        &folder,
        &unfinished,
        &folder,
        &*file,
        RenameFlags::NOREPLACE,
    ) {
        Ok(()) => Ok(fsync(&folder)?),
        Err(error) => {
            remove(&folder, &unfinished.to_string_lossy())?;
            Err(within(&file, error))
        }
    }
}

/// Writes a file of this name, whole or not at all, over an earlier one.
fn write(folder: &OwnedFd, file: &str, text: &str) -> io::Result<()> {
    let unfinished = unfinished(folder, file, text)?;
    renameat(folder, &unfinished, folder, file).map_err(|error| within(file, error))?;
    Ok(fsync(folder)?)
}

/// Writes the text to the disk under a name that no reader takes.
fn unfinished(folder: &OwnedFd, file: &str, text: &str) -> io::Result<CString> {
    let name = CString::new(format!(".{file}.tmp"))?;
    remove(folder, &name.to_string_lossy())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(folder, &name, flags, Mode::from_raw_mode(0o666));
    let mut opened = File::from(opened.map_err(|error| within(file, error))?);
    let text = format!("{}\n", text.trim_end());
    opened
        .write_all(text.as_bytes())
        .and_then(|()| opened.sync_all())
        .map_err(|error| io::Error::new(error.kind(), format!("{file}: {error}")))?;
    Ok(name)
}

fn remove(folder: &OwnedFd, file: &str) -> io::Result<()> {
    match unlinkat(folder, file, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(within(file, error)),
    }
}

fn within(file: &str, error: Errno) -> io::Error {
    let error = io::Error::from(error);
    io::Error::new(error.kind(), format!("{file}: {error}"))
}

#[expect(clippy::unnecessary_cast, reason = "the types differ between machines")]
fn identity(found: &Stat) -> (u64, u64) {
    (found.st_dev as u64, found.st_ino as u64)
}
