//! Accounts: credentials found where other tools keep theirs.
//!
//! [`clouds`] reads `clouds.yaml`, [`environment`] reads variables and the credentials file
//! of Huawei Cloud's SDK ([`credentials_file`]). Each says what it found in one vocabulary
//! ([`entry`]), of which [`deduction`] makes the spec of a credential, or else says all that is
//! missing ([`inquiry`]).

mod cloud_file;
mod clouds;
mod credentials_file;
mod deduction;
mod entry;
mod environment;
mod inquiry;
pub(super) mod location;
mod profiles;
#[cfg(test)]
mod tests;
mod text_file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::credential::spec::CredentialSpec;
use crate::tree::secret::is_readable_by_all;

/// A credential found where other tools keep theirs.
#[derive(Debug)]
pub(super) struct Account {
    /// How it proves who asks.
    pub(super) spec: CredentialSpec,
    /// The region.
    pub(super) region: Option<String>,
    /// What a person should know although it works.
    pub(super) warnings: Vec<String>,
    /// The files that were read.
    pub(super) files: Vec<PathBuf>,
}

/// `kind = "clouds"`: the account of the cloud `name`, or else of the one that `OS_CLOUD`
/// picks, or of the only one there is.
///
/// The files are those that `OS_CLIENT_CONFIG_FILE` and `OS_CLIENT_SECURE_FILE` name, or
/// the first found in `folder` (the working directory), the user's configuration and
/// `/etc/openstack`. The region is that of the cloud, of the environment, of the project's
/// name, of the vendor profile.
///
/// # Errors
/// What is wrong or missing, for a person; never a secret.
pub(super) fn from_clouds(
    name: Option<&str>,
    environment: &BTreeMap<String, String>,
    folder: &Path,
) -> Result<Account, Vec<String>> {
    clouds::account(name, environment, folder)
}

/// `kind = "env"`: the account of the `OS_…` variables, or else of `HUAWEICLOUD_SDK_…`, of
/// `HW_…`, or of the credentials file of Huawei Cloud's SDK. Within `OS_…` a token goes
/// before AK/SK, and AK/SK before a password.
///
/// # Errors
/// What is wrong or missing, for a person; never a secret.
pub(super) fn from_environment(
    environment: &BTreeMap<String, String>,
) -> Result<Account, Vec<String>> {
    environment::account(environment)
}

/// A warning if everybody can read the file, which holds a secret.
fn readable_by_all(path: &Path) -> Option<String> {
    is_readable_by_all(path)
        .then(|| format!("everybody can read {}; `chmod 600` it", path.display()))
}
