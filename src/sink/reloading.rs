//! A value that is made from files, and made again when one of them changes.

use std::path::PathBuf;

use parking_lot::Mutex;

use crate::outbound::secret::{Secret, Stamp};

/// Makes the value from the current content of the files.
type Make<T> = Box<dyn Fn() -> Result<T, String> + Send + Sync>;

/// A value made from files. If a changed file cannot be used, for example because it is half
/// written, a warning is logged once and the previous value stays in use.
pub struct Reloading<T> {
    files: Vec<Secret>,
    make: Make<T>,
    current: Mutex<Current<T>>,
}

struct Current<T> {
    stamps: Vec<Option<Stamp>>,
    value: T,
}

impl<T: Clone> Reloading<T> {
    /// Makes the value for the first time.
    ///
    /// # Errors
    /// Returns the error of `make`.
    pub fn new(
        files: Vec<Secret>,
        make: impl Fn() -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        // Taken before the files are read, so that a change in between is seen the next time.
        let stamps = stamps(&files);
        let value = make()?;
        Ok(Self {
            files,
            make: Box::new(make),
            current: Mutex::new(Current { stamps, value }),
        })
    }

    /// Returns the value for the current content of the files.
    pub fn now(&self) -> T {
        let mut current = self.current.lock();
        let stamps = stamps(&self.files);
        if stamps != current.stamps {
            current.stamps = stamps;
            match (self.make)() {
                Ok(value) => current.value = value,
                Err(error) => tracing::warn!(
                    error,
                    "a file of a sink changed and cannot be used; the previous value stays in use"
                ),
            }
        }
        current.value.clone()
    }
}

/// Wraps paths for [`Reloading`], which watches [`Secret`]s.
pub fn files(paths: impl IntoIterator<Item = PathBuf>) -> Vec<Secret> {
    paths.into_iter().map(Secret::File).collect()
}

fn stamps(files: &[Secret]) -> Vec<Option<Stamp>> {
    files.iter().map(Secret::stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_read_again_if_it_is_valid() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        std::fs::write(&path, "1").unwrap();
        let from = path.clone();
        let fresh = Reloading::new(files([path.clone()]), move || {
            let text = std::fs::read_to_string(&from).map_err(|error| error.to_string())?;
            text.parse::<u32>().map_err(|error| error.to_string())
        })
        .unwrap();
        assert_eq!(fresh.now(), 1);
        std::fs::write(&path, "22").unwrap();
        assert_eq!(fresh.now(), 22);
        std::fs::write(&path, "no number").unwrap();
        assert_eq!(fresh.now(), 22);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(fresh.now(), 22);
        std::fs::write(&path, "333").unwrap();
        assert_eq!(fresh.now(), 333);
    }
}
