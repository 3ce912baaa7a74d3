//! The file of a Unix socket: made with its mode, and removed at the end.

use std::fs::{Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixSocket};

use crate::api::server::BACKLOG;

/// Listens on a path, and removes the file when it is dropped.
pub(super) struct SocketFile {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// The device and the number of our file: another process may have replaced it.
    identity: (u64, u64),
}

impl SocketFile {
    /// Listens at `path`, with these permissions from the first moment. A file that an ended
    /// process has left is removed; one on which a process answers is an error.
    pub(super) fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        remove_stale(path)?;
        let socket = UnixSocket::new_stream()?;
        socket.bind(path).map_err(|error| advised(path, error))?;
        // Before `listen`, every connection is refused, so no other mode ever counts.
        std::fs::set_permissions(path, Permissions::from_mode(mode))?;
        let identity = identity(&std::fs::symlink_metadata(path)?);
        Ok(Self {
            listener: socket.listen(BACKLOG)?,
            path: path.to_owned(),
            identity,
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let found = std::fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| identity(&found) == self.identity) {
            // A file that stays is removed at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

fn advised(path: &Path, error: io::Error) -> io::Error {
    let is_without_folder = error.kind() == io::ErrorKind::NotFound;
    if is_without_folder {
        let folder = path.parent().unwrap_or(path).display();
        let text = format!(
            "the folder {folder} does not exist; make it, or set RuntimeDirectory= in the unit"
        );
        return io::Error::new(error.kind(), text);
    }
    error
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        let text = "another file is there; remove it, or choose another path";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    match UnixStream::connect(path) {
        Ok(_) => {
            let text = "another process answers there";
            Err(io::Error::new(io::ErrorKind::AddrInUse, text))
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path)
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    }

    #[tokio::test]
    async fn a_socket_has_its_mode_and_is_removed_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        for wanted in [0o600, 0o660, 0o666] {
            let socket = SocketFile::bind(&path, wanted).unwrap();
            assert_eq!(mode(&path), wanted);
            drop(socket);
            assert!(!path.exists());
        }
    }

    #[tokio::test]
    async fn only_a_socket_that_refuses_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "an ended process has left it");
        let first = SocketFile::bind(&path, 0o600).unwrap();
        let kind = |path: &Path| {
            SocketFile::bind(path, 0o600)
                .err()
                .map(|error| error.kind())
        };
        assert_eq!(kind(&path), Some(io::ErrorKind::AddrInUse));
        drop(first);
        std::fs::write(&path, "precious").unwrap();
        assert_eq!(kind(&path), Some(io::ErrorKind::AlreadyExists));
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        let absent = SocketFile::bind(&folder.path().join("x/api.sock"), 0o600);
        assert!(
            absent
                .err()
                .unwrap()
                .to_string()
                .contains("RuntimeDirectory")
        );
    }

    #[tokio::test]
    async fn the_file_of_another_process_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        let socket = SocketFile::bind(&path, 0o600).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "of another").unwrap();
        drop(socket);
        assert!(path.exists());
    }
}
