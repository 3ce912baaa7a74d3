//! A credential found in the files or variables of another tool.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::credential::configured::ConfiguredCredential;
use crate::tree::secret::is_readable_by_all;

/// A credential found in the files or variables of another tool.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) credential: Arc<dyn ConfiguredCredential>,
    pub(super) region: Option<String>,
    /// Warnings for the operator, although the credential works.
    pub(super) warnings: Vec<String>,
    /// The files that were read.
    pub(super) files: Vec<PathBuf>,
}

/// Returns a warning if every user can read the file, which contains a secret.
pub(super) fn readable_by_all(path: &Path) -> Option<String> {
    is_readable_by_all(path)
        .then(|| format!("every user can read {}; `chmod 600` it", path.display()))
}
