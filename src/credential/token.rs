//! A token that somebody else keeps fresh in a file: `X-Auth-Token` (Identity and Access
//! Management API reference, "Token authentication").
//!
//! The file is looked at again when it was last looked at more than a second ago, and
//! whenever the service refuses the token. The token is kept byte for byte, less one
//! trailing line end.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::SystemTime;

use async_trait::async_trait;
use http::HeaderName;
use http::HeaderValue;
use jiff::Timestamp;

use crate::clock::SharedClock;
use crate::credential::Credential;
use crate::credential::CredentialError;
use crate::credential::Generation;
use crate::credential::Renewal;

/// The header that carries the token.
const HEADER: HeaderName = HeaderName::from_static("x-auth-token");
/// How old a look at the file may be.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The largest token; Cloud Container Engine documents 16,384 characters as the limit of
/// `X-Auth-Token`.
const TOKEN_BYTES_MAX: usize = 16_384;

/// Enough to see that a token is too large: it, a line end, and one byte more.
const READ_MAX: u64 = TOKEN_BYTES_MAX as u64 + 3;

/// A token in a file.
pub struct TokenFile {
    credential: String,
    file: PathBuf,
    clock: SharedClock,
    kept: Mutex<Option<Kept>>,
}

#[derive(Clone)]
struct Kept {
    token: HeaderValue,
    generation: Generation,
    stamp: FileStamp,
    looked_at: Duration,
}

/// What tells that a file was replaced without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    modified: Option<SystemTime>,
    len: u64,
}

impl TokenFile {
    /// A token kept in `file`, for the credential of this name.
    pub fn new(
        credential: impl Into<String>,
        file: impl Into<PathBuf>,
        clock: SharedClock,
    ) -> Self {
        Self {
            credential: credential.into(),
            file: file.into(),
            clock,
            kept: Mutex::new(None),
        }
    }

    /// The present token, read again if the file may have changed.
    fn current(&self, look_now: bool) -> Result<Kept, CredentialError> {
        let uptime = self.clock.uptime();
        let mut slot = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = slot.as_mut().filter(|_| !look_now) {
            if uptime.saturating_sub(kept.looked_at) < LOOK_EVERY {
                return Ok(kept.clone());
            }
            if self.stamp().ok() == Some(kept.stamp) {
                kept.looked_at = uptime;
                return Ok(kept.clone());
            }
        }
        let (token, stamp) = self.read()?;
        let generation = match slot.as_ref() {
            Some(kept) if kept.token == token => kept.generation,
            Some(kept) => Generation(kept.generation.0 + 1),
            None => Generation(1),
        };
        let kept = Kept {
            token,
            generation,
            stamp,
            looked_at: uptime,
        };
        *slot = Some(kept.clone());
        Ok(kept)
    }

    fn stamp(&self) -> std::io::Result<FileStamp> {
        let metadata = std::fs::metadata(&self.file)?;
        Ok(FileStamp {
            modified: metadata.modified().ok(),
            len: metadata.len(),
        })
    }

    fn read(&self) -> Result<(HeaderValue, FileStamp), CredentialError> {
        let unreadable = |source| CredentialError::Unreadable {
            credential: self.credential.clone(),
            file: self.file.display().to_string(),
            source,
        };
        let stamp = self.stamp().map_err(unreadable)?;
        let mut bytes = Vec::new();
        File::open(&self.file)
            .and_then(|file| file.take(READ_MAX).read_to_end(&mut bytes))
            .map_err(unreadable)?;
        let token = token_of(&bytes).map_err(|problem| CredentialError::Unusable {
            credential: self.credential.clone(),
            file: self.file.display().to_string(),
            problem,
        })?;
        Ok((token, stamp))
    }
}

/// Whether `file` holds a token, for a check before anything is asked with it.
///
/// # Errors
/// What is wrong with it; never its content.
pub fn read_token(file: &Path) -> Result<(), &'static str> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|file| file.take(READ_MAX).read_to_end(&mut bytes))
        .map_err(|_| "cannot be read")?;
    token_of(&bytes).map(|_| ())
}

fn token_of(bytes: &[u8]) -> Result<HeaderValue, &'static str> {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let token = line.strip_suffix(b"\r").unwrap_or(line);
    if token.is_empty() {
        return Err("is empty; write the token into it");
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err("is larger than any token (16,384 bytes)");
    }
    if !token.iter().all(u8::is_ascii_graphic) {
        return Err("holds characters that no token has; it must hold the token and nothing else");
    }
    let mut value = HeaderValue::from_bytes(token).map_err(|_| "holds no header value")?;
    value.set_sensitive(true);
    Ok(value)
}

#[async_trait]
impl Credential for TokenFile {
    fn kind(&self) -> &'static str {
        "token"
    }

    async fn authorise(
        &self,
        request: &mut reqwest::Request,
        _now: Timestamp,
    ) -> Result<Generation, CredentialError> {
        let kept = self.current(false)?;
        request.headers_mut().insert(HEADER, kept.token);
        Ok(kept.generation)
    }

    async fn renew(
        &self,
        refused: Generation,
        _now: Timestamp,
    ) -> Result<Renewal, CredentialError> {
        let kept = self.current(true)?;
        if kept.generation > refused {
            Ok(Renewal::Renewed)
        } else {
            Ok(Renewal::Same)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SteppedClock;
    use std::sync::Arc;

    struct Fixture {
        folder: tempfile::TempDir,
        clock: SteppedClock,
        credential: TokenFile,
    }

    fn fixture(token: &str) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, token).unwrap();
        let clock = SteppedClock::at(Timestamp::UNIX_EPOCH);
        Fixture {
            folder,
            credential: TokenFile::new("otc", file, Arc::new(clock.clone())),
            clock,
        }
    }

    impl Fixture {
        fn write(&self, token: &str) {
            std::fs::write(self.folder.path().join("token"), token).unwrap();
        }

        async fn sent(&self) -> String {
            let mut request =
                reqwest::Request::new(http::Method::GET, "http://localhost/".parse().unwrap());
            self.credential
                .authorise(&mut request, Timestamp::UNIX_EPOCH)
                .await
                .unwrap();
            let value = request.headers().get(HEADER).unwrap();
            assert!(value.is_sensitive());
            value.to_str().unwrap().to_owned()
        }
    }

    #[tokio::test]
    async fn a_token_is_sent_byte_for_byte() {
        assert_eq!(fixture("00042\n").sent().await, "00042");
        assert_eq!(fixture("TRUE\r\n").sent().await, "TRUE");
    }

    #[tokio::test]
    async fn a_changed_file_is_noticed_within_a_second() {
        let fixture = fixture("first");
        assert_eq!(fixture.sent().await, "first");
        fixture.write("second!");
        assert_eq!(fixture.sent().await, "first");
        fixture.clock.advance(Duration::from_secs(1));
        assert_eq!(fixture.sent().await, "second!");
    }

    #[tokio::test]
    async fn a_refusal_looks_at_once_and_tells_whether_there_is_another() {
        let fixture = fixture("first");
        fixture.sent().await;
        let now = Timestamp::UNIX_EPOCH;
        let refused = Generation(1);
        assert_eq!(
            fixture.credential.renew(refused, now).await.unwrap(),
            Renewal::Same
        );
        fixture.write("other");
        assert_eq!(
            fixture.credential.renew(refused, now).await.unwrap(),
            Renewal::Renewed
        );
        assert_eq!(
            fixture.credential.renew(Generation(2), now).await.unwrap(),
            Renewal::Same
        );
    }

    #[tokio::test]
    async fn what_is_no_token_is_refused_without_being_shown() {
        for (content, said) in [
            ("", "is empty"),
            ("two words", "characters that no token has"),
            (&"x".repeat(20_000), "larger than any token"),
        ] {
            let error = fixture(content)
                .credential
                .current(false)
                .map(|_| ())
                .unwrap_err();
            let shown = error.to_string();
            assert!(shown.contains(said), "{shown}");
            assert!(!shown.contains("two words"));
        }
    }
}
