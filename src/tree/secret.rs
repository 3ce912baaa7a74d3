//! Reads files and secrets named in the settings. A secret is kept in its own file or in the
//! environment, and is never shown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::outbound::secret::Secret;
use crate::tree::reader::{Reader, expand, is_environment, text_of};
use crate::tree::source::{Secrets, UNIT_SECRETS};

impl Reader<'_> {
    /// Reads a path, with its `${VARIABLES}` filled in; reports a file that cannot be read.
    pub(crate) fn file(&self, key: &str) -> Option<PathBuf> {
        if self
            .written(key)
            .is_some_and(|it| self.is_of_unit(key, &it))
        {
            self.ask(key);
            return None;
        }
        let path = PathBuf::from(self.expanded(key)?);
        self.readable(key, path)
    }

    /// True if this process does not read the secret at the place `text`.
    fn is_elsewhere(&self, key: &str, text: &str) -> bool {
        self.secrets() == Secrets::Unused || self.is_of_unit(key, text)
    }

    /// True if the file `text` is only there in the unit of a service manager, and this process
    /// runs outside of it, and only looks at the settings.
    fn is_of_unit(&self, key: &str, text: &str) -> bool {
        let variable = format!("${{{UNIT_SECRETS}}}");
        let is_ours = self.secrets() == Secrets::OutsideUnit
            && text.contains(&variable)
            && !self.environment().contains_key(UNIT_SECRETS);
        if is_ours {
            self.remark(
                key,
                format!("{text} was not checked: {variable} is set only in the unit, by systemd"),
            );
        }
        is_ours
    }

    /// Reads the path of a file with a secret as [`file`](Self::file) does; also warns if every
    /// user can read it.
    pub(crate) fn secret_file(&self, key: &str) -> Option<PathBuf> {
        if self
            .written(key)
            .is_some_and(|it| self.is_elsewhere(key, &it))
        {
            self.ask(key);
            return None;
        }
        let path = self.file(key)?;
        self.warn_if_readable_by_all(key, &path);
        Some(path)
    }

    fn readable(&self, key: &str, path: PathBuf) -> Option<PathBuf> {
        // Opening a pipe would block until another process writes to it.
        let is_other = std::fs::metadata(&path).is_ok_and(|file| !file.is_file());
        if is_other {
            self.report(key, format!("{} is not a file", path.display()));
            return None;
        }
        match std::fs::File::open(&path) {
            Ok(_) => Some(path),
            Err(error) => {
                self.report(key, format!("cannot read {}: {error}", path.display()));
                None
            }
        }
    }

    /// Reads a secret: the file `NAME_file`, or `NAME = "${VARIABLE}"`. Reports a secret that
    /// cannot be read now.
    pub(crate) fn secret_source(&self, name: &str) -> Option<Secret> {
        self.secret_at(&format!("{name}_file"), name)
    }

    /// Reads a secret: the file that `file_key` names, or `key = "${VARIABLE}"`. Reports a secret
    /// that cannot be read now.
    pub(crate) fn secret_at(&self, file_key: &str, key: &str) -> Option<Secret> {
        let beside = |key: &str| {
            self.hide(key);
            if self.has(key) {
                self.report(key, format!("is set beside `{file_key}`; keep one of them"));
            }
        };
        if let Some(text) = self.written(file_key)
            && self.is_elsewhere(file_key, &text)
        {
            self.ask(file_key);
            beside(key);
            return Some(Secret::Elsewhere(text));
        }
        let Some(path) = self.secret_file(file_key) else {
            return self.inline_source(key);
        };
        beside(key);
        let secret = Secret::File(path);
        match secret.read() {
            Ok(_) => Some(secret),
            Err(error) => {
                self.report(file_key, error);
                None
            }
        }
    }

    /// Reads a table of files with secrets, by name. Reports and leaves out those that cannot be
    /// read now.
    pub(crate) fn secret_files(&self, key: &str) -> BTreeMap<String, Secret> {
        let mut secrets = BTreeMap::new();
        for (name, text) in self.texts(key) {
            if self.is_elsewhere(key, &text) {
                secrets.insert(name, Secret::Elsewhere(text));
                continue;
            }
            let path = expand(&text, self.environment()).map(PathBuf::from);
            let path = path.inspect_err(|message| self.report(key, format!("`{name}` {message}")));
            let Some(path) = path.ok().and_then(|path| self.readable(key, path)) else {
                continue;
            };
            self.warn_if_readable_by_all(key, &path);
            let secret = Secret::File(path);
            match secret.read() {
                Ok(_) => drop(secrets.insert(name, secret)),
                Err(error) => self.report(key, error),
            }
        }
        secrets
    }

    /// Reads a secret; reports it if it is missing.
    pub(crate) fn required_secret(&self, name: &str) -> Option<Secret> {
        let found = self.secret_source(name);
        let key = format!("{name}_file");
        if found.is_none() && !self.has(name) && !self.has(&key) {
            self.report(&key, "is missing and has no default");
        }
        found
    }

    /// Reads the current value of a secret, for callers that do not reload it.
    pub(crate) fn secret(&self, name: &str) -> Option<SecretString> {
        self.secret_source(name)?.read().ok()
    }

    /// Reads a secret as [`inline_secret`](Self::inline_secret) does, if secrets are used.
    pub(crate) fn inline_source(&self, name: &str) -> Option<Secret> {
        if self.secrets() != Secrets::Unused {
            return self.inline_secret(name).map(Secret::Text);
        }
        self.hide(name);
        let place = self.path_of(name).join(".");
        self.has(name).then_some(Secret::Elsewhere(place))
    }

    /// Reads a secret that stands in the settings or, as `"${VARIABLE}"`, in the environment.
    pub(crate) fn inline_secret(&self, name: &str) -> Option<SecretString> {
        self.hide(name);
        let value = self.ask(name)?;
        if text_of(value).is_none() {
            // Not read by `text`, whose message would show the value.
            self.report(name, "must be a text in quotes");
            return None;
        }
        if self.is_written_openly(name) {
            self.warn(name, "a secret stands in a file that every user can read; use a `…_file` or `${VARIABLE}`");
        }
        let secret = self.expanded(name)?;
        if secret.is_empty() || secret.chars().any(char::is_control) {
            self.report(name, "is empty, or has more than one line");
            return None;
        }
        Some(SecretString::from(secret))
    }

    /// True if the text of `key` stands, without a variable, in a file that every user can read.
    pub(crate) fn is_written_openly(&self, key: &str) -> bool {
        let Some(value) = self.ask(key).filter(|value| !is_environment(value)) else {
            return false;
        };
        let is_plain = text_of(value).is_some_and(|text| !text.contains("${"));
        let file = value.origin().map(PathBuf::from);
        is_plain && file.is_some_and(|file| is_readable_by_all(&file))
    }

    fn warn_if_readable_by_all(&self, key: &str, path: &std::path::Path) {
        if is_readable_by_all(path) {
            self.warn(
                key,
                format!("every user can read {}; `chmod 600` it", path.display()),
            );
        }
    }
}

pub(crate) fn is_readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}
