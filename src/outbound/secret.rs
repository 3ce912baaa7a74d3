//! A secret, or the file that holds it.
//!
//! A file is read whenever its secret is needed, so that a replaced secret is used without a
//! restart. The secret is the content, byte for byte, without one trailing line end.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::SystemTime;

use secrecy::SecretString;

/// The largest secret, in bytes. Cloud Container Engine documents 16,384 characters as the
/// limit of `X-Auth-Token`, the largest limit known.
pub const SECRET_BYTES_MAX: usize = 16_384;

/// The limit of reading, which shows that a secret is too large: the largest secret, a line
/// end, and one more byte.
const READ_MAX: u64 = SECRET_BYTES_MAX as u64 + 3;

/// A secret, or the place where it is kept.
#[derive(Debug, Clone)]
pub enum Secret {
    File(PathBuf),
    /// The secret itself, from the environment or a settings file.
    Text(SecretString),
    /// A secret that this process does not read: its place, as it is written in the settings.
    Elsewhere(String),
}

/// Identifies one version of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    /// Differs even if a file was copied with its times.
    inode: u64,
    changed: (i64, i64),
}

/// A secret cannot be used. The message never holds its content.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read {file}: {source}")]
    Unreadable {
        file: String,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The settings were read without their secrets.
    #[error("{0} is not read by this command")]
    Elsewhere(String),
    /// The content is not a secret.
    #[error("{place} {fault}")]
    Unusable {
        /// The file, or words for a configured value.
        place: String,
        /// The fault of the content.
        fault: &'static str,
    },
}

impl Secret {
    /// Reads the secret as it is now.
    ///
    /// # Errors
    /// It cannot be read, is empty, is too large, is not UTF-8, or has control characters,
    /// which no header may carry.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        let bytes = match self {
            Self::File(file) => {
                let mut bytes = Vec::new();
                File::open(file)
                    .and_then(|file| file.take(READ_MAX).read_to_end(&mut bytes))
                    .map_err(|source| SecretError::Unreadable {
                        file: file.display().to_string(),
                        source,
                    })?;
                bytes
            }
            Self::Text(text) => return Ok(text.clone()),
            Self::Elsewhere(place) => return Err(SecretError::Elsewhere(place.clone())),
        };
        checked(bytes).map_err(|fault| SecretError::Unusable {
            place: self.place(),
            fault,
        })
    }

    /// Returns the current version of the file; `None` if the secret is not in a file or the file
    /// cannot be found.
    pub fn stamp(&self) -> Option<Stamp> {
        let Self::File(file) = self else { return None };
        let metadata = std::fs::metadata(file).ok()?;
        Some(Stamp {
            modified: metadata.modified().ok(),
            len: metadata.len(),
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Returns the place of the secret, for messages.
    pub fn place(&self) -> String {
        match self {
            Self::File(file) => file.display().to_string(),
            Self::Text(_) => "the configured value".to_owned(),
            Self::Elsewhere(place) => place.clone(),
        }
    }

    /// True if this process does not read the secret.
    pub fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Elsewhere(_))
    }
}

fn checked(mut bytes: Vec<u8>) -> Result<SecretString, &'static str> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    if bytes.is_empty() {
        return Err("is empty; write the secret into it");
    }
    if bytes.len() > SECRET_BYTES_MAX {
        return Err("is larger than any secret (16,384 bytes)");
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| "is not text; it must contain the secret and nothing else")?;
    if text.chars().any(char::is_control) {
        return Err("has more than one line; it must contain the secret and nothing else");
    }
    Ok(SecretString::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn read(content: &[u8]) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, content).unwrap();
        let read = Secret::File(file).read();
        read.map(|secret| secret.expose_secret().to_owned())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn secret_is_the_content_without_a_line_end() {
        assert_eq!(read(b"00042\n").unwrap(), "00042");
        assert_eq!(read(b"TRUE\r\n").unwrap(), "TRUE");
        assert_eq!(read(b" two words ").unwrap(), " two words ");
    }

    #[test]
    fn an_invalid_secret_is_refused_but_not_shown() {
        let large = vec![b'x'; SECRET_BYTES_MAX + 10];
        for (content, said) in [
            (&b""[..], "is empty"),
            (b"\n", "is empty"),
            (b"first\nsecond", "more than one line"),
            (b"\xff\xfe", "is not text"),
            (&large, "larger than any secret"),
        ] {
            let shown = read(content).unwrap_err();
            assert!(shown.contains(said), "{shown}");
            assert!(!shown.contains("second"));
        }
    }

    #[test]
    fn debug_prints_no_secret() {
        let secret = Secret::Text(SecretString::from("canary"));
        assert!(!format!("{secret:?}").contains("canary"));
    }
}
