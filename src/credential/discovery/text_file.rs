//! Reads a file of another tool.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The largest such file, in bytes; the same limit as for a file of settings.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Returns the text of the file at `path`.
///
/// # Errors
/// The file cannot be read or is not text. The message never quotes it.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let shown = path.display();
    // Opening a pipe would wait until another process writes into it.
    if std::fs::metadata(path).is_ok_and(|file| !file.is_file()) {
        return Err(format!("{shown} is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot read {shown}: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("{shown} has more than {FILE_BYTES_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| format!("{shown} is not text in UTF-8"))
}
