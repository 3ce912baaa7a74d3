//! The ids of the watches that this user submitted last, for `jobwatch wait --last`.
//!
//! They are a convenience in the user's state folder, apart for each daemon. A folder that
//! cannot be written is not an error of a submission.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// The most ids that are kept for one daemon.
const IDS_MAX: usize = 10_000;
/// The most daemons that are remembered.
const DAEMONS_MAX: usize = 32;
/// The largest file that is read, in bytes.
const BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Returns the file: in `$XDG_STATE_HOME`, or else in `~/.local/state`.
pub(super) fn file() -> Option<PathBuf> {
    let folder = |name: &str| {
        let value = std::env::var_os(name)?;
        let path = PathBuf::from(value);
        path.is_absolute().then_some(path)
    };
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")))?;
    Some(state.join("jobwatch/last"))
}

/// Remembers the ids of one submission to the daemon at `url`, in place of those before.
///
/// # Errors
/// The file cannot be written.
pub(super) fn remember(file: &Path, url: &str, ids: &[String]) -> std::io::Result<()> {
    let mut all = read(file);
    while all.len() >= DAEMONS_MAX && !all.contains_key(url) {
        all.pop_first();
    }
    let kept = ids.iter().take(IDS_MAX).cloned().collect();
    all.insert(url.to_owned(), kept);
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    // Only this user may read it, and a reader never sees half of it.
    let mut new = NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut new, &all)?;
    new.write_all(b"\n")?;
    new.persist(file)?;
    Ok(())
}

/// Returns the ids of the last submission to the daemon at `url`.
pub(super) fn recall(file: &Path, url: &str) -> Vec<String> {
    read(file).remove(url).unwrap_or_default()
}

/// Reads the file; one that is absent or broken remembers nothing.
fn read(file: &Path) -> BTreeMap<String, Vec<String>> {
    let is_small = std::fs::metadata(file).is_ok_and(|it| it.is_file() && it.len() <= BYTES_MAX);
    let text = if is_small {
        std::fs::read(file).unwrap_or_default()
    } else {
        Vec::new()
    };
    serde_json::from_slice(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn ids(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_last_submission_to_each_daemon_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jobwatch/last");
        assert!(recall(&file, "http://a").is_empty());
        remember(&file, "http://a", &ids(&["1"])).unwrap();
        remember(&file, "http://b", &ids(&["2"])).unwrap();
        remember(&file, "http://a", &ids(&["3", "4"])).unwrap();
        assert_eq!(recall(&file, "http://a"), ["3", "4"]);
        assert_eq!(recall(&file, "http://b"), ["2"]);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_broken_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("last");
        std::fs::write(&file, "{\"http://a\": [").unwrap();
        assert!(recall(&file, "http://a").is_empty());
        remember(&file, "http://a", &ids(&["1"])).unwrap();
        assert_eq!(recall(&file, "http://a"), ["1"]);
    }

    #[test]
    fn the_file_stays_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("last");
        for n in 0..DAEMONS_MAX + 3 {
            remember(&file, &format!("http://{n:03}"), &ids(&["1"])).unwrap();
        }
        assert_eq!(read(&file).len(), DAEMONS_MAX);
        let many: Vec<String> = (0..=IDS_MAX).map(|n| n.to_string()).collect();
        remember(&file, "http://many", &many).unwrap();
        assert_eq!(recall(&file, "http://many").len(), IDS_MAX);
    }
}
