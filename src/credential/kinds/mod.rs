//! The kinds of credentials, one file each. A new kind is one more file and a row of
//! [`KINDS`].

pub(crate) mod agency;
pub(crate) mod header;
pub(crate) mod keys;
pub(crate) mod keystone;
pub(crate) mod metadata;
pub mod none;

use crate::credential::configured::CredentialSettings;
use crate::credential::discovery;
use crate::credential::identity::region;
use crate::credential::kinds::none::Nothing;
use crate::tree::reader::Reader;

/// Reads the keys of one kind; `None` after it reported an error.
type Read = fn(&Reader<'_>) -> Option<CredentialSettings>;

/// The word for each kind in the configuration, and how its section is read.
const KINDS: [(&str, Read); 12] = [
    ("keystone", keystone::password),
    ("keystone-token", keystone::token),
    (keys::KIND, keys::read),
    (agency::KIND, agency::read),
    (metadata::KIND, metadata::read),
    ("token", header::token),
    ("bearer", header::bearer),
    ("basic", header::basic),
    ("header", header::header),
    ("clouds", discovery::read_clouds),
    ("env", discovery::read_environment),
    (none::KIND, |_| Some(Nothing::settings())),
];

pub(crate) fn read(section: &Reader<'_>) -> Option<CredentialSettings> {
    // Without its kind, the keys that belong in the section are unknown.
    let read = section.choice("kind", &KINDS)?;
    let own_region = region(section, "region");
    let found = read(section);
    section.finish();
    let found = found?;
    Some(CredentialSettings {
        region: own_region.or(found.region),
        ..found
    })
}
