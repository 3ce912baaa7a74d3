//! The section `[credentials]`, and the rules between credentials.

use std::collections::BTreeMap;

use crate::credential::NO_CREDENTIAL;
use crate::credential::configured::CredentialSettings;
use crate::credential::kinds::none::Nothing;
use crate::credential::section::read;
use crate::tree::reader::{Reader, not_among};

/// The credentials of a configuration.
pub(super) struct Credentials {
    /// The credentials without an error, by name.
    pub(super) by_name: BTreeMap<String, CredentialSettings>,
    /// All names, also of credentials with an error.
    pub(super) names: Vec<String>,
}

pub(super) fn credentials(root: &Reader<'_>) -> Credentials {
    let mut by_name = BTreeMap::from([(NO_CREDENTIAL.to_owned(), Nothing::settings())]);
    let sections = root.sections("credentials");
    for (name, section) in &sections {
        if name == NO_CREDENTIAL {
            section.report("", "the name is reserved for services without a credential");
        }
        by_name.extend(read(section).map(|found| (name.clone(), found)));
    }
    let mut names = root.names("credentials");
    for (name, section) in &sections {
        check_source(section, name, &names, &by_name);
    }
    names.push(NO_CREDENTIAL.to_owned());
    Credentials { by_name, names }
}

/// Checks the source of an agency: another credential, which must not be an agency itself.
/// So no chain of sources can form a circle.
fn check_source(
    section: &Reader<'_>,
    name: &str,
    known: &[String],
    credentials: &BTreeMap<String, CredentialSettings>,
) {
    let source_of = |name: &str| credentials.get(name)?.credential.source();
    // A section with another error has no credential, but its source can be unknown, too.
    let is_incomplete = !credentials.contains_key(name) && !section.has_error("source");
    let unknown = section
        .written("source")
        .filter(|it| is_incomplete && !known.contains(it));
    let Some(source) = source_of(name).map(str::to_owned).or(unknown) else {
        return;
    };
    if !known.contains(&source) {
        let known = known.iter().map(String::as_str);
        section.report("source", not_among(&source, known));
    } else if source == name || source_of(&source).is_some() {
        section.report(
            "source",
            "must be a credential that is not an agency itself",
        );
    }
}
