//! The section `[services]`, and the names by which services refer to definitions and
//! credentials.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::actions::hint::HintSources;
use crate::credential::configured::CredentialSettings;
use crate::definition::Definition;
use crate::definition::catalog::Catalog;
use crate::service::settings::{self, Foundation, ServiceSettings};
use crate::settings::credentials::Credentials;
use crate::settings::hints::hints;
use crate::timing::PollSettings;
use crate::tree::reader::{Reader, not_among};

/// All services, and the hints about the jobs of those that take some, by name.
pub(super) type Read = (BTreeMap<String, ServiceSettings>, HintSources);

/// Reads the sections of all services.
pub(super) fn services(
    root: &Reader<'_>,
    catalog: &Catalog,
    credentials: &Credentials,
    poll: PollSettings,
    max_body: Option<usize>,
) -> Read {
    let (mut services, mut all_hints) = (BTreeMap::new(), HintSources::new());
    for (name, section) in root.sections("services") {
        let foundation = Foundation {
            definition: definition(&section, catalog),
            credential: credential(&section, credentials),
            poll,
            max_body,
            catalog,
        };
        all_hints.extend(hints(&section).map(|hints| (name.clone(), hints)));
        services.extend(settings::read(&section, foundation).map(|service| (name, service)));
    }
    (services, all_hints)
}

/// Reads `after_watch` of each service, and nothing else of it.
pub(super) fn after_watches(
    root: &Reader<'_>,
    catalog: &Catalog,
    poll: PollSettings,
) -> Vec<Duration> {
    let services = root.sections("services").into_iter();
    let of_one = services.filter_map(|(_, section)| {
        let own = PollSettings::read(&section.section("poll"));
        let definition = definition(&section, catalog)?;
        settings::with_defaults(&definition, own, poll, None).after_watch
    });
    of_one.collect()
}

fn definition(section: &Reader<'_>, catalog: &Catalog) -> Option<Arc<Definition>> {
    let name = section.required_text("definition")?;
    let found = catalog.get(&name).cloned();
    if found.is_none() && !catalog.is_wrong(&name) {
        section.report("definition", not_among(&name, catalog.names()));
    }
    found
}

/// Returns the credential of this section; `None` also for one with an error, which was
/// reported.
fn credential<'a>(
    section: &Reader<'_>,
    credentials: &'a Credentials,
) -> Option<(String, &'a CredentialSettings)> {
    let name = section.required_text("credential")?;
    if !credentials.names.contains(&name) {
        let names = credentials.names.iter().map(String::as_str);
        section.report("credential", not_among(&name, names));
    }
    let found = credentials.by_name.get(&name)?;
    Some((name, found))
}
