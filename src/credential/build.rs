//! Builds credentials from the configured ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::SharedClock;
use crate::credential::configured::{BuildError, ConfiguredCredential, Parts};
use crate::credential::{Credential, SharedCredential};

/// A configured credential, and the features that services need of it.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub credential: Arc<dyn ConfiguredCredential>,
    /// True if a service needs the URLs of services from it.
    pub catalog: bool,
}

/// Builds all credentials. Sends no request.
///
/// # Errors
/// TLS cannot be set up, or an agency has no source.
pub fn credentials(
    wanted: &BTreeMap<String, Wanted>,
    clock: &SharedClock,
) -> Result<BTreeMap<String, SharedCredential>, BuildError> {
    let mut factory = Factory {
        wanted,
        clock,
        built: BTreeMap::new(),
        under_way: Vec::new(),
    };
    for name in wanted.keys() {
        factory.named(name)?;
    }
    Ok(factory.built)
}

struct Factory<'a> {
    wanted: &'a BTreeMap<String, Wanted>,
    clock: &'a SharedClock,
    built: BTreeMap<String, SharedCredential>,
    /// The credentials whose sources are being built, so that a circle is found.
    under_way: Vec<String>,
}

impl Factory<'_> {
    fn named(&mut self, name: &str) -> Result<SharedCredential, BuildError> {
        if let Some(built) = self.built.get(name) {
            return Ok(Arc::clone(built));
        }
        let unknown = || BuildError::Source {
            credential: self.under_way.last().cloned().unwrap_or_default(),
            source_name: name.to_owned(),
        };
        let wanted = self.wanted.get(name).ok_or_else(unknown)?;
        if self.under_way.iter().any(|it| it == name) {
            return Err(unknown());
        }
        self.under_way.push(name.to_owned());
        let configured = &wanted.credential;
        let source = configured.source().map(|source| self.named(source));
        let parts = Parts {
            name,
            wants_catalog: wanted.catalog,
            source: source.transpose()?,
            clock: self.clock,
        };
        let (issuer, clock) = (configured.issuer(&parts)?, Arc::clone(self.clock));
        let credential = Credential::new(name, configured.kind(), issuer, clock);
        let credential = Arc::new(credential);
        self.under_way.pop();
        self.built.insert(name.to_owned(), Arc::clone(&credential));
        Ok(credential)
    }
}
