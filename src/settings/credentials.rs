//! Who asks: the section `[credentials]`.

use std::collections::BTreeMap;

use crate::credential::token::read_token;
use crate::settings::CredentialSettings;
use crate::settings::reader::Reader;

/// The name that a service gives for no credential at all.
pub(super) const NO_CREDENTIAL: &str = "none";

/// Everyone who may be asked with, by name.
pub(super) fn credentials(root: &Reader<'_>) -> BTreeMap<String, CredentialSettings> {
    let mut credentials = BTreeMap::from([(NO_CREDENTIAL.to_owned(), CredentialSettings::None)]);
    for (name, section) in root.sections("credentials") {
        if name == NO_CREDENTIAL {
            section.problem("", "the name is taken: it stands for no credential");
        }
        let credential = match section.choice("kind", &[("token", true), ("none", false)]) {
            Some(true) => section
                .required_file("token_file")
                .filter(|file| {
                    let read = read_token(file);
                    if let Err(problem) = read {
                        let file = file.display();
                        section.problem("token_file", format!("{file} {problem}"));
                    }
                    read.is_ok()
                })
                .map(|file| CredentialSettings::Token { file }),
            Some(false) => Some(CredentialSettings::None),
            None => {
                // Of an unknown kind nobody can say which keys belong to it.
                continue;
            }
        };
        section.finish();
        credentials.extend(credential.map(|credential| (name, credential)));
    }
    credentials
}
