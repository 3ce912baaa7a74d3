//! A service: a definition put to use, with a base URL, a credential and limits.
//!
//! [`Service::observe`] makes one poll ([`poll`]): it fills the definition's request for its
//! [`subject`], sends it ([`exchange`]), and reads the answer. A failure on the way is an
//! observation too, so there is no error to handle. [`reach`] says where a URL that an answer
//! names may lead. [`together`] asks for several jobs at once. Redirects,
//! renewed secrets and the pages of a list are further requests: [`spending`] counts them.

mod created_job;
mod endpoint;
mod exchange;
pub mod poll;
pub mod reach;
pub mod refusals;
pub mod settings;
mod spelling;
pub mod spending;
pub mod subject;
pub mod together;
pub mod transport;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use reqwest::Url;

use crate::credential::scope::Scope;
use crate::credential::{SharedCredential, Trouble};
use crate::definition::Definition;
use crate::outbound::url::BaseUrl;
use crate::schedule::budget::Limits;
use crate::service::reach::AllowedHosts;
use crate::service::refusals::Refusals;
use crate::service::transport::SharedTransport;
use crate::timing::Timing;
use crate::watch::{Expect, Params};

pub use crate::credential::{CredentialStatus, Generation};

/// One service of the configuration, ready to be polled.
#[derive(Clone)]
pub struct Service {
    /// The name in the configuration.
    pub name: Arc<str>,
    pub definition: Arc<Definition>,
    /// The beginning of each URL.
    pub base: Base,
    /// Authenticates the requests; together with the endpoint it names the budget.
    pub credential: SharedCredential,
    /// Values for the definition's placeholders. Those of a watch win over these, and these
    /// over the credential's scope.
    pub params: Params,
    /// The poll intervals and the limits of waiting.
    pub timing: Timing,
    /// The definitions of the jobs that may take over, by name.
    pub stages: BTreeMap<String, StageSettings>,
    /// The end that its watches are about, unless they say so themselves.
    pub expect: Option<Expect>,
    /// The hosts beside its own to which an answer may send the next poll, or the next page.
    pub allow_hosts: AllowedHosts,
    /// The largest body that is read to its end, in bytes.
    pub max_body: usize,
    /// The most requests that it may get.
    pub limits: Limits,
    pub transport: SharedTransport,
    /// The refusals of secrets so far.
    pub refusals: Arc<Mutex<Refusals>>,
}

/// The settings by which one kind of job is polled and read.
#[derive(Debug, Clone)]
pub struct StageSettings {
    pub definition: Arc<Definition>,
    /// The poll intervals and the limits of waiting for such jobs.
    pub timing: Timing,
    /// The largest body that is read to its end, in bytes.
    pub max_body: usize,
}

/// The source of a service's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// The beginning of each URL.
    Url(BaseUrl),
    /// The service catalog that the credential's issuer sends with a token.
    Catalog {
        /// The types of service to search for; the first one found is used.
        types: Vec<String>,
        /// The region; without it, the catalog must have only one.
        region: Option<String>,
    },
}

impl Base {
    /// Returns the URL of a request with this path and query.
    ///
    /// # Errors
    /// The catalog has no such service, or the URL is invalid.
    fn url(&self, scope: &Scope, path_and_query: &str) -> Result<Url, String> {
        self.resolved(scope)?.with(path_and_query)
    }

    /// Returns scheme, host and port; `None` if the catalog has no such service.
    pub fn origin(&self, scope: &Scope) -> Option<String> {
        self.resolved(scope).ok().map(BaseUrl::origin)
    }

    fn resolved<'a>(&'a self, scope: &'a Scope) -> Result<&'a BaseUrl, String> {
        match self {
            Self::Url(base) => Ok(base),
            Self::Catalog { types, region } => scope.base_url(types, region.as_deref()),
        }
    }
}

impl std::fmt::Display for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url(url) => url.fmt(f),
            Self::Catalog { types, region } => {
                write!(f, "catalog:{}", types.join(","))?;
                region.iter().try_for_each(|region| write!(f, "@{region}"))
            }
        }
    }
}

/// Names a budget: one endpoint asked with one credential.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BudgetKey {
    /// Scheme, host and port; or the types and region of the catalog, until it is known.
    pub endpoint: String,
    /// The name of the credential in the configuration.
    pub credential: String,
}

impl Service {
    /// Returns the budget that polls of this service spend.
    pub fn budget_key(&self) -> BudgetKey {
        let endpoint = match &self.base {
            Base::Url(url) => url.origin(),
            catalog @ Base::Catalog { .. } => catalog.to_string(),
        };
        BudgetKey {
            endpoint,
            credential: self.credential.name().to_owned(),
        }
    }

    /// Returns the state of its credential, and whether this service refuses it.
    pub fn credential_status(&self) -> CredentialStatus {
        let status = self.credential.status();
        let refused = status
            .generation
            .map_or(0, |it| self.refusals.lock().in_a_row(it));
        if refused == 0 || status.trouble.is_some() {
            return status;
        }
        CredentialStatus {
            trouble: Some(Trouble {
                is_refused: true,
                reason: "the service refused the secret, and a new one as well".to_owned(),
                again_at: None,
            }),
            ..status
        }
    }

    /// Returns the params of its definition and of those of the jobs that may take over, each once
    /// or more.
    pub fn param_names(&self) -> impl Iterator<Item = &str> {
        let stages = self.stages.values().map(|settings| &settings.definition);
        std::iter::once(&self.definition)
            .chain(stages)
            .flat_map(|definition| &definition.params)
            .map(String::as_str)
    }

    /// Returns the params that a watch must bring, because neither the service nor the
    /// credential has them, and no answer names them before they are needed.
    pub fn params_wanted<'a>(&'a self, given: &'a Params) -> impl Iterator<Item = &'a str> {
        let own = &self.definition.params;
        let is_named = |name: &str| {
            let stages = self.stages.values().map(|settings| &settings.definition);
            let mut all = std::iter::once(&self.definition).chain(stages);
            all.any(|definition| definition.next.gives(name))
        };
        let names: BTreeSet<&str> = self.param_names().collect();
        names.into_iter().filter(move |name| {
            let comes_later = !own.iter().any(|own| own == name) && is_named(name);
            !comes_later
                && !self.params.contains_key(*name)
                && !given.contains_key(*name)
                && !self.credential.gives(name)
        })
    }
}

/// All configured services, by name.
#[derive(Clone, Default)]
pub struct Services(BTreeMap<Arc<str>, Arc<Service>>);

impl Services {
    /// Sorts `services` by name; of two with one name the last is kept.
    pub fn new(services: impl IntoIterator<Item = Service>) -> Self {
        Self(
            services
                .into_iter()
                .map(|service| (Arc::clone(&service.name), Arc::new(service)))
                .collect(),
        )
    }

    /// Returns the service of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Service>> {
        self.0.get(name)
    }

    /// Returns all services, sorted by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.0.values()
    }

    /// Returns the names of all services, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }
}
