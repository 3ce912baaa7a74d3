//! Events as JSON lines, appended to a file that is rotated by size.
//!
//! The file is opened for each event, so that it may be moved away or deleted by others.
//! One that ends in the middle of a line, as a crash or a full disk leaves it, gets a line
//! end first: what is broken is then that line alone, and the event is in the next one.

use std::fs::{File, OpenOptions};
use std::io;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;

use crate::sink::{Attempt, AttemptResult, ConfiguredSink, SharedSink, Sink};
use crate::telemetry::LogOutput;
use crate::tree::reader::Reader;
use crate::watch::delivery::Delivery;

/// The word for this kind in the configuration.
pub(super) const KIND: &str = "file";
/// How many events are taken at once; they are written one after the other.
const CONCURRENCY: usize = 16;
/// The owner alone may read what jobs are about.
const MODE: u32 = 0o600;
/// The sizes that a file may be rotated at, in bytes; others are mistakes.
const BYTES: std::ops::RangeInclusive<u32> = 4096..=u32::MAX;
const BYTES_USUAL: u64 = 100 * 1024 * 1024;
const KEPT_USUAL: u32 = 5;

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSettings {
    /// The file.
    pub path: PathBuf,
    /// The size from which on another line goes into a new file, in bytes.
    pub max_bytes: u64,
    /// How many old files are kept, as `.1`, `.2` and so on.
    pub keep_files: u32,
    /// Whether each line is on the disk before it counts as delivered.
    pub fsync: bool,
}

/// Appends events to a file.
pub struct Lines {
    settings: Arc<FileSettings>,
    /// One writer at a time.
    turn: Arc<Mutex<()>>,
}

impl Lines {
    /// A sink with these settings.
    pub fn new(settings: FileSettings) -> Self {
        Self {
            settings: Arc::new(settings),
            turn: Arc::default(),
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
        let (settings, turn) = (Arc::clone(&self.settings), Arc::clone(&self.turn));
        let body = delivery.body.clone();
        let written = tokio::task::spawn_blocking(move || {
            let _turn = turn.lock();
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

impl ConfiguredSink for FileSettings {
    fn target(&self) -> String {
        self.path.display().to_string()
    }

    fn own_file(&self) -> Option<&Path> {
        Some(&self.path)
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
    let max_bytes = section.whole("max_bytes", BYTES).map(u64::from);
    let keep_files = section.whole("keep_files", 0..=1000);
    let fsync = section.flag("fsync") || !section.has("fsync");
    Some(Box::new(FileSettings {
        path: path?,
        max_bytes: max_bytes.unwrap_or(BYTES_USUAL),
        keep_files: keep_files.unwrap_or(KEPT_USUAL),
        fsync,
    }))
}

/// What keeps `path` from being a file to append to, if anything.
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
            // It is tried again; half a line is of no use. If this fails too, the next
            // line begins with a line end.
            let _ = file.set_len(before);
        }
        written?;
        if self.fsync && is_new {
            sync_folder(&self.path)?;
        }
        Ok(())
    }

    /// Makes room: each old file moves up by one, the last one falls off.
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

/// Moves a file if it is there; an interrupted rotation leaves gaps.
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

/// A new file is found again after a power cut only when its folder was synced too.
fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|it| !it.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
