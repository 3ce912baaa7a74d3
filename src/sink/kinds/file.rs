//! Appends events as JSON lines to a file that is rotated by size.
//!
//! The file is opened for each event, so that other programs may move or delete it. If it ends
//! in the middle of a line, as after a crash or on a full disk, a line end is written first:
//! then only that line is broken, and the event is on the next one.

use std::fs::{File, OpenOptions};
use std::io;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use rustix::fs::Access;

use crate::sink::{Attempt, AttemptResult, ConfiguredSink, SharedSink, Sink};
use crate::telemetry::LogOutput;
use crate::tree::reader::Reader;
use crate::watch::delivery::Delivery;

/// The word for this kind in the configuration.
pub(super) const KIND: &str = "file";
/// The number of events that are taken at once; they are written one after the other.
const CONCURRENCY: usize = 16;
/// Only the owner may read the events, which describe jobs.
const MODE: u32 = 0o600;
/// The allowed values of `max_bytes`; others are mistakes.
const BYTES: std::ops::RangeInclusive<u64> = 4096..=1 << 40;
const BYTES_USUAL: u64 = 100 * 1024 * 1024;
const KEPT_USUAL: u32 = 5;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSettings {
    pub path: PathBuf,
    /// The largest size of the file, in bytes. A line that would exceed it begins a new file.
    pub max_bytes: u64,
    /// The number of old files to keep, as `.1`, `.2` and so on.
    pub keep_files: u32,
    /// True if each line is synced to disk before it counts as delivered.
    pub fsync: bool,
}

/// Appends events to a file.
pub struct Lines {
    settings: Arc<FileSettings>,
    /// Locked while a line is written.
    writing: Arc<Mutex<()>>,
}

impl Lines {
    /// Makes a sink that appends to this file.
    pub fn new(settings: FileSettings) -> Self {
        Self {
            settings: Arc::new(settings),
            writing: Arc::default(),
        }
    }
}

#[async_trait]
impl Sink for Lines {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    async fn deliver(&self, delivery: &Delivery, _now: Timestamp) -> Attempt {
        let (settings, writing) = (Arc::clone(&self.settings), Arc::clone(&self.writing));
        let body = delivery.body.clone();
        let written = tokio::task::spawn_blocking(move || {
            let _writing = writing.lock();
            settings.append(&body)
        });
        let failed = |reason: String| AttemptResult::Failed {
            reason,
            retry_after: None,
        };
        Attempt::of(match written.await {
            Ok(Ok(())) => AttemptResult::Delivered,
            Ok(Err(error)) => failed(format!(
                "cannot write to {}: {error}",
                self.settings.path.display()
            )),
            Err(error) => failed(format!("the writer ended: {error}")),
        })
    }
}

#[async_trait]
impl ConfiguredSink for FileSettings {
    fn target(&self) -> String {
        self.path.display().to_string()
    }

    fn own_file(&self) -> Option<&Path> {
        Some(&self.path)
    }

    async fn reach(&self) -> Result<(), String> {
        let folder = self.path.parent().unwrap_or(&self.path);
        for place in [folder, &self.path] {
            if place.exists()
                && let Err(error) = rustix::fs::access(place, Access::WRITE_OK)
            {
                return Err(format!("cannot write to {}: {error}", place.display()));
            }
        }
        Ok(())
    }

    fn set_up(&self, _log: &LogOutput) -> Result<SharedSink, String> {
        Ok(Arc::new(Lines::new(self.clone())))
    }
}

/// Reads the settings of a file.
pub(super) fn read(section: &Reader<'_>) -> Option<Box<dyn ConfiguredSink>> {
    let path = section.expanded("path").map(PathBuf::from);
    if !section.has("path") {
        section.required_text("path");
    }
    let path = path.filter(|path| match unfit(path) {
        Some(message) => {
            section.report("path", message);
            false
        }
        None => true,
    });
    let max_bytes = section.size("max_bytes", BYTES);
    let keep_files = section.whole("keep_files", 0..=1000);
    let fsync = section.flag("fsync") || !section.has("fsync");
    Some(Box::new(FileSettings {
        path: path?,
        max_bytes: max_bytes.unwrap_or(BYTES_USUAL),
        keep_files: keep_files.unwrap_or(KEPT_USUAL),
        fsync,
    }))
}

/// Returns the reason why `path` cannot be appended to; `None` if it can.
fn unfit(path: &Path) -> Option<String> {
    if !path.is_absolute() {
        return Some("must be an absolute path".to_owned());
    }
    if path.exists() && !path.is_file() {
        return Some(format!("{} is not a file", path.display()));
    }
    let folder = path.parent()?;
    (!folder.is_dir()).then(|| format!("the folder {} does not exist", folder.display()))
}

impl FileSettings {
    fn append(&self, body: &str) -> io::Result<()> {
        self.rotate_before(body.len() as u64 + 1)?;
        let is_new = !self.path.exists();
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(MODE)
            .open(&self.path)?;
        let before = file.metadata()?.len();
        let line_end = if is_broken_off(&mut file)? { "\n" } else { "" };
        let line = format!("{line_end}{body}\n");
        let written = file.write_all(line.as_bytes()).and_then(|()| {
            if self.fsync {
                file.sync_data()?;
            }
            Ok(())
        });
        if written.is_err() {
            // The event is tried again, so half a line has no use. If this fails too, the next
            // event is preceded by a line end.
            let _ = file.set_len(before);
        }
        written?;
        if self.fsync && is_new {
            sync_folder(&self.path)?;
        }
        Ok(())
    }

    /// Rotates the file if `more` bytes would exceed its limit: each old file moves up by one
    /// number, and the last one is replaced.
    fn rotate_before(&self, more: u64) -> io::Result<()> {
        let size = match std::fs::metadata(&self.path) {
            Ok(file) => file.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if size == 0 || size.saturating_add(more) <= self.max_bytes {
            return Ok(());
        }
        if self.keep_files == 0 {
            return std::fs::remove_file(&self.path);
        }
        for number in (1..self.keep_files).rev() {
            rename(&self.old(number), &self.old(number + 1))?;
        }
        rename(&self.path, &self.old(1))
    }

    fn old(&self, number: u32) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

/// Renames a file if it exists: an interrupted rotation leaves gaps in the numbers.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn is_broken_off(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Syncs the folder of a new file: without this, a power cut could remove the file.
fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|it| !it.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
