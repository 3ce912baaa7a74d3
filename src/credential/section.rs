//! A section `[credentials.NAME]`, of any kind.

use crate::credential::configured::CredentialSettings;
use crate::credential::identity::region;
use crate::credential::{discovery, kinds};
use crate::tree::reader::Reader;

pub(crate) fn read(section: &Reader<'_>) -> Option<CredentialSettings> {
    let kinds = [kinds::KINDS, discovery::KINDS].concat();
    // Without its kind, the keys that belong in the section are unknown.
    let read = section.choice("kind", &kinds)?;
    let own_region = region(section, "region");
    let found = read(section);
    section.finish();
    let found = found?;
    Some(CredentialSettings {
        region: own_region.or(found.region),
        ..found
    })
}
