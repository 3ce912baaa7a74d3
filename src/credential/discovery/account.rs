//! A credential found where other tools keep theirs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::credential::configured::ConfiguredCredential;
use crate::tree::secret::is_readable_by_all;

/// A credential found where other tools keep theirs.
#[derive(Debug)]
pub(super) struct Account {
    /// What it is.
    pub(super) credential: Arc<dyn ConfiguredCredential>,
    /// The region.
    pub(super) region: Option<String>,
    /// Things that the operator should know although the credential works.
    pub(super) warnings: Vec<String>,
    /// The files that were read.
    pub(super) files: Vec<PathBuf>,
}

/// A warning if everybody can read the file, which holds a secret.
pub(super) fn readable_by_all(path: &Path) -> Option<String> {
    is_readable_by_all(path)
        .then(|| format!("everybody can read {}; `chmod 600` it", path.display()))
}
