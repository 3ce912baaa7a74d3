//! From plans to credentials.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::SharedClock;
use crate::credential::agency::AgencyIssuer;
use crate::credential::exchange::Exchange;
use crate::credential::keys::KeyIssuer;
use crate::credential::keystone::TokenIssuer;
use crate::credential::metadata::MetadataIssuer;
use crate::credential::none::Nothing;
use crate::credential::spec::{AgencySource, CredentialSpec};
use crate::credential::{Credential, Issuer, SharedCredential};

/// A spec, and what is needed of it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// How it proves who asks.
    pub spec: CredentialSpec,
    /// Whether somebody needs the URLs of services from it.
    pub catalog: bool,
}

/// Why credentials cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// TLS cannot be set up.
    #[error("the client of the identity service")]
    Tls(#[from] reqwest::Error),
    /// An agency's source is not there, or comes back to the agency itself.
    #[error(
        "the credential `{credential}` has the source `{source_name}`, which is not configured or leads back to it"
    )]
    Source {
        /// The agency's name.
        credential: String,
        /// The source's.
        source_name: String,
    },
}

/// Builds all credentials. Nothing is asked yet.
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
    /// Those whose sources are being built.
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
        let credential = self.credential(name, &wanted.spec, wanted.catalog)?;
        self.under_way.pop();
        self.built.insert(name.to_owned(), Arc::clone(&credential));
        Ok(credential)
    }

    fn credential(
        &mut self,
        name: &str,
        spec: &CredentialSpec,
        wants_catalog: bool,
    ) -> Result<SharedCredential, BuildError> {
        let issuer: Box<dyn Issuer> = match spec.clone() {
            CredentialSpec::None => Box::new(Nothing),
            CredentialSpec::Header(header) => Box::new(header),
            CredentialSpec::Keystone(spec) => Box::new(TokenIssuer {
                exchange: exchange_with(&spec.auth_url)?,
                spec,
                wants_catalog,
            }),
            CredentialSpec::Keys(spec) => Box::new(KeyIssuer {
                exchange: spec.auth_url.as_ref().map(exchange_with).transpose()?,
                spec,
                wants_catalog,
            }),
            CredentialSpec::Metadata(spec) => Box::new(MetadataIssuer {
                spec,
                exchange: Exchange::direct()?,
            }),
            CredentialSpec::Agency(spec) => Box::new(AgencyIssuer {
                source: self.source(name, &spec.source)?,
                exchange: exchange_with(&spec.auth_url)?,
                spec,
                wants_catalog,
            }),
        };
        let credential = Credential::new(name, spec.kind(), issuer, Arc::clone(self.clock));
        Ok(Arc::new(credential))
    }

    fn source(
        &mut self,
        name: &str,
        source: &AgencySource,
    ) -> Result<SharedCredential, BuildError> {
        match source {
            AgencySource::Named(source) => self.named(source),
            AgencySource::Own(spec) => self.credential(name, spec, false),
        }
    }
}

/// A service on this machine is asked past the proxy, which would look on its own.
fn exchange_with(url: &reqwest::Url) -> Result<Exchange, reqwest::Error> {
    if crate::outbound::is_local(url.as_str()) {
        Exchange::direct()
    } else {
        Exchange::new()
    }
}
