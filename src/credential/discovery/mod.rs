//! Credentials found where other tools keep theirs.
//!
//! [`clouds`] reads `clouds.yaml`, [`environment`] reads variables and the credentials file
//! of Huawei Cloud's SDK ([`credentials_file`]). Each says what it found in one vocabulary
//! ([`facts`]), of which [`resolve`] makes the spec of a credential, or else says all that is
//! missing ([`lookup`]).

mod account;
mod cloud_file;
mod clouds;
mod credentials_file;
mod environment;
mod facts;
mod lookup;
mod profiles;
mod resolve;
#[cfg(test)]
mod tests;
mod text_file;

use std::collections::BTreeMap;
use std::path::Path;

use crate::credential::configured::{CredentialSettings, Read};
use crate::credential::discovery::account::Account;
use crate::credential::identity::is_region;
use crate::tree::reader::Reader;

/// The words for these kinds in the configuration, and how their sections are read.
pub(super) const KINDS: [(&str, Read); 2] = [("clouds", read_clouds), ("env", read_environment)];

/// Reads `kind = "clouds"`.
fn read_clouds(section: &Reader<'_>) -> Option<CredentialSettings> {
    let name = section.text("cloud");
    let folder = std::env::current_dir().unwrap_or_default();
    let found = from_clouds(name.as_deref(), section.environment(), &folder);
    settings_of(section, "cloud", found)
}

/// Reads `kind = "env"`.
fn read_environment(section: &Reader<'_>) -> Option<CredentialSettings> {
    let found = from_environment(section.environment());
    settings_of(section, "kind", found)
}

fn settings_of(
    section: &Reader<'_>,
    key: &str,
    found: Result<Account, Vec<String>>,
) -> Option<CredentialSettings> {
    match found {
        Ok(account) => {
            section.was_read(account.files);
            for warning in account.warnings {
                section.warn(key, warning);
            }
            let region = account.region.filter(|region| {
                let is_plain = is_region(region);
                if !is_plain {
                    section.warn(key, "the region there is no plain name and is left out");
                }
                is_plain
            });
            Some(CredentialSettings {
                credential: account.credential,
                region,
            })
        }
        Err(diagnostics) => {
            for problem in diagnostics {
                section.report(key, problem);
            }
            None
        }
    }
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
fn from_clouds(
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
fn from_environment(environment: &BTreeMap<String, String>) -> Result<Account, Vec<String>> {
    environment::account(environment)
}
