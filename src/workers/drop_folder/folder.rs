//! The files of the drop folder. No symbolic link is followed: every call names a file within a
//! folder that is open already.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Dir, Mode, OFlags, Stat, mkdirat, openat};
use rustix::io::Errno;
use serde_json::Value;

use crate::workers::drop_folder::part::{FileError, Part};
use crate::workers::drop_folder::submission::{FILE_BYTES_MAX, Link, Taken};

/// The longest NAME in bytes, so that every name made from it is one too.
const NAME_BYTES_MAX: usize = 200;
/// The most files with a watch that has not ended.
pub(super) const LINKS_MAX: usize = 100_000;

/// An open drop folder with its three folders.
#[derive(Clone)]
pub(super) struct Folder {
    inbox: Part,
    accepted: Part,
    rejected: Part,
    finished: Part,
}

/// One look into the folder.
pub(super) struct Look {
    pub(super) files: Vec<Taken>,
    /// The files that are no submission, each with the reason.
    pub(super) left_out: Vec<(String, String)>,
}

/// The link of an accepted name; `None` also for one that cannot be used.
pub(super) type Linked = Result<Option<Link>, FileError>;

impl Folder {
    /// Opens the folder, which must exist, and makes those in it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let inbox = open(path)?;
        let inner = |path: &'static str| -> io::Result<Part> {
            let name = path.trim_end_matches('/');
            match mkdirat(&inbox, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(within(name, error)),
            }
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = openat(&inbox, name, flags, Mode::empty());
            let opened = opened.map_err(|error| within(name, error))?;
            Ok(Part::new(opened, path))
        };
        Ok(Self {
            accepted: inner("accepted/")?,
            rejected: inner("rejected/")?,
            finished: inner("finished/")?,
            inbox: Part::new(inbox, ""),
        })
    }

    /// Reads at most `limit` submissions, without the files in `tried`. Files that begin with a
    /// dot or do not end with `.json` are not finished, or are of other programs.
    pub(super) fn take(&self, limit: usize, tried: &BTreeSet<String>) -> io::Result<Look> {
        let mut look = Look {
            files: Vec::new(),
            left_out: Vec::new(),
        };
        for entry in Dir::read_from(&*self.inbox.opened)? {
            if look.files.len() >= limit {
                break;
            }
            let entry = entry?;
            let Ok(file) = entry.file_name().to_str() else {
                continue;
            };
            let Some(name) = name_in(file, ".json") else {
                continue;
            };
            if tried.contains(file) {
                continue;
            }
            match self.read(name, file) {
                Ok(Some(taken)) => look.files.push(taken),
                Err(reason) if look.left_out.len() < limit => {
                    look.left_out.push((file.to_owned(), reason));
                }
                // Its writer has moved it in the meantime, or the list is full.
                Ok(None) | Err(_) => {}
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
        let read = self.inbox.read(file, FILE_BYTES_MAX + 1);
        let read = read.map_err(|error| error.to_string())?;
        Ok(read.map(|(bytes, found)| Taken {
            name: name.to_owned(),
            bytes,
            identity: identity(&found),
        }))
    }

    /// Returns the link of an accepted name.
    pub(super) fn link(&self, name: &str) -> Linked {
        let file = format!("{name}.watch");
        let Some((bytes, _)) = self.accepted.read(&file, FILE_BYTES_MAX)? else {
            return Ok(None);
        };
        let link = serde_json::from_slice(&bytes);
        if let Err(error) = &link {
            tracing::error!(file = format!("accepted/{file}"), %error, "another program has changed a file of the drop folder; its watch is not followed");
        }
        Ok(link.ok())
    }

    /// Returns the links of these names, in their order. An error of the folder ends the reading.
    pub(super) fn links(&self, names: Vec<String>) -> Result<Vec<(String, Linked)>, FileError> {
        let links = names.into_iter().map(|name| match self.link(&name) {
            Err(error) if error.is_of_folder() => Err(error),
            link => Ok((name, link)),
        });
        links.collect()
    }

    /// Returns the names of all links in `accepted/`.
    pub(super) fn accepted(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&*self.accepted.opened)? {
            let entry = entry?;
            let file = entry.file_name().to_str().unwrap_or_default();
            let Some(name) = name_in(file, ".watch") else {
                continue;
            };
            if names.len() >= LINKS_MAX {
                tracing::error!(
                    limit = LINKS_MAX,
                    "accepted/ of the drop folder has more files than are followed"
                );
                break;
            }
            names.push(name.to_owned());
        }
        Ok(names)
    }

    /// Links the file to its watch, then moves it to `accepted/`. Before, results of an earlier
    /// submission of the same name are removed: a name that cannot be cleared gets no link.
    pub(super) fn accept(&self, taken: &Taken, link: &Link) -> Result<(), FileError> {
        let (name, text) = (&taken.name, link.to_json());
        self.accepted.check_free(&format!("{name}.json"))?;
        self.finished.remove(&format!("{name}.json"))?;
        self.rejected.remove(&format!("{name}.json"))?;
        self.rejected.remove(&format!("{name}.error"))?;
        self.accepted.write(&format!("{name}.watch"), &text)?;
        self.move_to(&self.accepted, taken)
    }

    /// Moves the file to `rejected/`, after the reason.
    pub(super) fn reject(&self, taken: &Taken, reason: &Value) -> Result<(), FileError> {
        let name = &taken.name;
        self.rejected.check_free(&format!("{name}.json"))?;
        // The result of an earlier submission would pass for that of this one.
        if self.link(name)?.is_none() {
            self.finished.remove(&format!("{name}.json"))?;
        }
        let error = format!("{name}.error");
        self.rejected.write(&error, &reason.to_string())?;
        self.move_to(&self.rejected, taken)
    }

    fn move_to(&self, target: &Part, taken: &Taken) -> Result<(), FileError> {
        let file = format!("{}.json", taken.name);
        let moved = self.inbox.move_to(target, &file)?;
        if moved.is_some_and(|moved| identity(&moved) != taken.identity) {
            // Its writer has replaced it since it was read: the new file is a new submission.
            target.move_back(&self.inbox, &file)?;
            let text = String::from_utf8_lossy(&taken.bytes);
            target.write(&file, &text)?;
        }
        target.sync()?;
        self.inbox.sync()
    }

    /// Writes the final event, then removes the accepted file and its link.
    pub(super) fn finish(&self, name: &str, event: &str) -> Result<(), FileError> {
        let file = format!("{name}.json");
        self.finished.write(&file, event)?;
        let removed = self.accepted.remove(&file);
        // The link goes also if the file cannot: otherwise the event would be written again.
        self.accepted.remove(&format!("{name}.watch"))?;
        removed
    }

    /// Moves an accepted file to `rejected/`, because its watch is lost.
    pub(super) fn lose(&self, name: &str, reason: &Value) -> Result<(), FileError> {
        let file = format!("{name}.json");
        self.rejected.check_free(&file)?;
        let error = format!("{name}.error");
        self.rejected.write(&error, &reason.to_string())?;
        self.accepted.move_to(&self.rejected, &file)?;
        self.accepted.remove(&format!("{name}.watch"))
    }
}

/// Writes a submission into the folder at `path`, whole or not at all, as `NAME.json`.
///
/// # Errors
/// The folder cannot be written, or it has a file of this name.
pub fn write_new(path: &Path, name: &str, text: &str) -> io::Result<()> {
    let inbox = Part::new(open(path)?, "");
    Ok(inbox.write_new(&format!("{name}.json"), text)?)
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(CWD, path, flags, Mode::empty())?)
}

fn name_in<'a>(file: &'a str, suffix: &str) -> Option<&'a str> {
    let name = file.strip_suffix(suffix);
    name.filter(|_| !file.starts_with('.'))
}

fn within(file: &str, error: Errno) -> io::Error {
    let error = io::Error::from(error);
    io::Error::new(error.kind(), format!("{file}: {error}"))
}

#[expect(clippy::unnecessary_cast, reason = "the types differ between machines")]
fn identity(found: &Stat) -> (u64, u64) {
    (found.st_dev as u64, found.st_ino as u64)
}
