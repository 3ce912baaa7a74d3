//! Files and secrets among the settings: a secret stands in a file of its own or in the
//! environment, and is never shown.

use std::path::Path;
use std::path::PathBuf;

use secrecy::SecretString;

use crate::settings::reader::Reader;
use crate::settings::reader::is_environment;
use crate::settings::reader::text_of;

/// The largest file with a secret, in bytes.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

impl Reader<'_> {
    /// A path with its `${VARIABLES}` filled in, to a file that must be readable.
    pub(super) fn file(&self, key: &str) -> Option<PathBuf> {
        let path = PathBuf::from(self.expanded(key)?);
        // Opening a pipe would wait for whoever writes into it.
        let is_other = std::fs::metadata(&path).is_ok_and(|file| !file.is_file());
        if is_other {
            self.problem(key, format!("{} is not a file", path.display()));
            return None;
        }
        match std::fs::File::open(&path) {
            Ok(_) => {
                self.warn_if_readable_by_all(key, &path);
                Some(path)
            }
            Err(error) => {
                self.problem(key, format!("cannot read {}: {error}", path.display()));
                None
            }
        }
    }

    /// A path that must be there.
    pub(super) fn required_file(&self, key: &str) -> Option<PathBuf> {
        let found = self.file(key);
        self.missing(key, found)
    }

    /// A secret: the content of the file `NAME_file`, or `NAME = "${VARIABLE}"`.
    pub(super) fn secret(&self, name: &str) -> Option<SecretString> {
        let key = format!("{name}_file");
        let Some(path) = self.file(&key) else {
            return self.inline_secret(name);
        };
        if self.ask(name).is_some() {
            self.problem(name, format!("is set beside `{key}`; keep one of them"));
        }
        let is_large = std::fs::metadata(&path).is_ok_and(|file| file.len() > SECRET_BYTES_MAX);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) if !is_large => text,
            _ => {
                self.problem(
                    &key,
                    format!(
                        "{} holds no secret: it must be a small text",
                        path.display()
                    ),
                );
                return None;
            }
        };
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.is_empty() {
            self.problem(&key, format!("{} is empty", path.display()));
            return None;
        }
        Some(SecretString::from(secret))
    }

    fn inline_secret(&self, name: &str) -> Option<SecretString> {
        let value = self.ask(name)?;
        let Some(text) = text_of(value) else {
            // Not through `text`, whose message would show the value.
            self.problem(name, "must be a text in quotes");
            return None;
        };
        if !text.contains("${") && !is_environment(value) {
            let file = value.origin().map(PathBuf::from);
            if file.is_some_and(|file| is_readable_by_all(&file)) {
                self.warn(name, "a secret stands in a file that everybody can read; use a `…_file` or `${VARIABLE}`");
            }
        }
        let secret = self.expanded(name)?;
        if secret.is_empty() {
            self.problem(name, "is empty");
            return None;
        }
        Some(SecretString::from(secret))
    }

    fn warn_if_readable_by_all(&self, key: &str, path: &std::path::Path) {
        if is_readable_by_all(path) {
            self.warn(
                key,
                format!("everybody can read {}; `chmod 600` it", path.display()),
            );
        }
    }
}

fn is_readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}
