//! The files of the database as they are on the disk: synced and unsynced changes.
//!
//! A new name is durable once its folder was synced. A removal is durable at once:
//! filesystems keep the order of names, and a later sync includes it.

use std::collections::BTreeMap;
use std::path::Path;

use rand::RngExt;
use rand::rngs::StdRng;
use tempfile::TempDir;

use crate::program::power_cut::trace::Call;

/// The bytes that a disk writes as a whole.
const SECTOR: usize = 512;

/// A change that was not synced yet.
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

#[derive(Default)]
struct File {
    synced: Vec<u8>,
    changes: Vec<Change>,
    /// The number of them that a running sync will make durable.
    syncing: usize,
    is_named: bool,
}

/// The unsynced writes that survive.
pub(super) enum Kept<'a> {
    /// None of them.
    Synced,
    /// A random part of them, some truncated.
    Some(&'a mut StdRng),
}

/// See the module.
pub(super) struct Files {
    folder: String,
    by_name: BTreeMap<String, File>,
    pub(super) syncs: usize,
    /// The number of writes to the database file itself.
    pub(super) carried_over: usize,
}

fn change(data: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Truncate(length) => data.resize(*length, 0),
        Change::Write(at, written) => {
            let end = at + written.len();
            if data.len() < end {
                data.resize(end, 0);
            }
            data[*at..end].copy_from_slice(written);
        }
    }
}

impl Files {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.display().to_string(),
            by_name: BTreeMap::new(),
            syncs: 0,
            carried_over: 0,
        }
    }

    /// The name of a file of the database, without the shared memory file.
    fn name(&self, path: &str) -> Option<String> {
        let name = path.strip_prefix(&self.folder)?.strip_prefix('/')?;
        let is_kept = matches!(name.strip_prefix("jobwatch.db")?, "" | "-wal" | "-journal");
        is_kept.then(|| name.to_owned())
    }

    fn file(&mut self, path: &str) -> Option<&mut File> {
        let name = self.name(path)?;
        Some(self.by_name.entry(name).or_default())
    }

    pub(super) fn take(&mut self, call: Call) {
        match call {
            Call::Opened(path) => {
                self.file(&path);
            }
            Call::Wrote { file, at, data } => {
                self.carried_over += usize::from(file.ends_with("jobwatch.db"));
                if let Some(file) = self.file(&file) {
                    file.changes.push(Change::Write(at, data));
                }
            }
            Call::Truncated(path, length) => {
                if let Some(file) = self.file(&path) {
                    file.changes.push(Change::Truncate(length));
                }
            }
            Call::Removed(path) => {
                if let Some(name) = self.name(&path) {
                    self.by_name.remove(&name);
                }
            }
            Call::SyncBegan(path) => {
                if let Some(file) = self.file(&path) {
                    file.syncing = file.changes.len();
                }
            }
            Call::SyncEnded(path) => self.synced(&path),
            Call::Sent(_) => {}
        }
    }

    fn synced(&mut self, path: &str) {
        if path == self.folder {
            self.by_name
                .values_mut()
                .for_each(|file| file.is_named = true);
        }
        let Some(file) = self.file(path) else { return };
        for done in file.changes.drain(..file.syncing) {
            change(&mut file.synced, &done);
        }
        file.syncing = 0;
        self.syncs += 1;
    }

    /// The number of unsynced changes.
    pub(super) fn unsynced(&self) -> usize {
        self.by_name.values().map(|file| file.changes.len()).sum()
    }

    /// The files after a power cut at this moment.
    pub(super) fn after_power_cut(&self, mut kept: Kept<'_>) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, file) in self.by_name.iter().filter(|(_, file)| file.is_named) {
            let mut data = file.synced.clone();
            if let Kept::Some(rng) = &mut kept {
                keep_some(&mut data, &file.changes, rng);
            }
            std::fs::write(folder.path().join(name), data).unwrap();
        }
        folder
    }
}

fn keep_some(data: &mut Vec<u8>, changes: &[Change], rng: &mut StdRng) {
    for one in changes {
        match one {
            _ if rng.random_bool(0.5) => {}
            Change::Write(at, written) if rng.random_bool(0.2) => {
                let sectors = rng.random_range(0..=written.len() / SECTOR);
                let torn = written[..sectors * SECTOR].to_vec();
                change(data, &Change::Write(*at, torn));
            }
            whole => change(data, whole),
        }
    }
}
