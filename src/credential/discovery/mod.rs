//! Credentials found in the files and variables of other tools.
//!
//! [`clouds`] reads `clouds.yaml`, [`environment`] reads variables and the credentials file
//! of Huawei Cloud's SDK ([`credentials_file`]). Each gives its values common names
//! ([`facts`]). [`resolve`] builds a credential from them, or reports everything that is
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
pub(super) const KINDS: &[(&str, Read)] = &[("clouds", read_clouds), ("env", read_environment)];

fn read_clouds(section: &Reader<'_>) -> Option<CredentialSettings> {
    let name = section.text("cloud");
    let folder = std::env::current_dir().unwrap_or_default();
    let found = from_clouds(name.as_deref(), section.environment(), &folder);
    settings_of(section, "cloud", found)
}

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
                    section.warn(key, "the region found there is ignored: it must be made of letters, digits and -");
                }
                is_plain
            });
            Some(CredentialSettings {
                credential: account.credential,
                region,
            })
        }
        Err(diagnostics) => {
            for diagnostic in diagnostics {
                section.report(key, diagnostic);
            }
            None
        }
    }
}

/// Returns the account of the cloud `name`, or else of the one that `OS_CLOUD` names, or of
/// the only one (`kind = "clouds"`).
///
/// The files are those that `OS_CLIENT_CONFIG_FILE` and `OS_CLIENT_SECURE_FILE` name, or
/// the first found in `folder` (the working directory), the user's configuration and
/// `/etc/openstack`. The region is that of the cloud, of the environment, of the project's
/// name, or of the vendor profile, in this order.
///
/// # Errors
/// Everything that is wrong or missing, for a person; never a secret.
fn from_clouds(
    name: Option<&str>,
    environment: &BTreeMap<String, String>,
    folder: &Path,
) -> Result<Account, Vec<String>> {
    clouds::account(name, environment, folder)
}

/// Returns the account of the `OS_…` variables, or else of `HUAWEICLOUD_SDK_…`, of `HW_…`,
/// or of the credentials file of Huawei Cloud's SDK (`kind = "env"`). Within `OS_…` a token
/// takes precedence over AK/SK, and AK/SK over a password.
///
/// # Errors
/// Everything that is wrong or missing, for a person; never a secret.
fn from_environment(environment: &BTreeMap<String, String>) -> Result<Account, Vec<String>> {
    environment::account(environment)
}
