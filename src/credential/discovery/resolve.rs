//! Builds the credential of an account from the facts of a source.
//!
//! If there are facts for several methods, the first of token, AK/SK, application
//! credential and password is used, unless an `auth_type` asks for one. This is the order
//! of terraform-provider-opentelekomcloud, with the application credential, which it lacks,
//! before the password that it replaces.

use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderName;

use crate::credential::configured::ConfiguredCredential;
use crate::credential::discovery::account::Account;
use crate::credential::discovery::facts::{Fact, Facts};
use crate::credential::discovery::lookup::Lookup;
use crate::credential::identity::{Domain, Project, ScopeWanted, User};
use crate::credential::kinds::agency::{Agency, AgencySource};
use crate::credential::kinds::header::{Header, HeaderForm};
use crate::credential::kinds::keys::Keys;
use crate::credential::kinds::keystone::{Identity, Keystone};
use crate::credential::location;
use crate::outbound::secret::Secret;
use crate::suggest;

type Found = Arc<dyn ConfiguredCredential>;

/// How an account authenticates, the preferred method first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Token,
    Keys,
    Application,
    Password { needs_second_factor: bool },
}

const PASSWORD: Method = Method::Password {
    needs_second_factor: false,
};
const SECOND_FACTOR: Method = Method::Password {
    needs_second_factor: true,
};

/// The facts that show which methods are set up.
const METHOD_FACTS: [(Method, &[Fact]); 4] = [
    (Method::Token, &[Fact::Token]),
    (Method::Keys, &[Fact::AccessKey, Fact::SecretKey]),
    (
        Method::Application,
        &[Fact::ApplicationId, Fact::ApplicationSecret],
    ),
    (PASSWORD, &[Fact::Password, Fact::Username, Fact::UserId]),
];

/// The types that keystoneauth has for these methods, and `aksk`, which is ours.
const AUTH_TYPES: [(&str, Method); 8] = [
    ("password", PASSWORD),
    ("v3password", PASSWORD),
    ("token", Method::Token),
    ("v3token", Method::Token),
    ("v3applicationcredential", Method::Application),
    ("v3totp", SECOND_FACTOR),
    ("v3multifactor", SECOND_FACTOR),
    ("aksk", Method::Keys),
];

/// The facts that give a user's domain, by id and by name. The project's domain comes last:
/// terraform-provider-opentelekomcloud, where both are one account, does not distinguish
/// them.
const USER_DOMAIN: [(Fact, Fact); 4] = [
    (Fact::UserDomainId, Fact::UserDomainName),
    (Fact::DomainId, Fact::DomainName),
    (Fact::DefaultDomainId, Fact::DefaultDomainName),
    (Fact::ProjectDomainId, Fact::ProjectDomainName),
];
const PROJECT_DOMAIN: [(Fact, Fact); 3] = [
    (Fact::ProjectDomainId, Fact::ProjectDomainName),
    (Fact::DomainId, Fact::DomainName),
    (Fact::DefaultDomainId, Fact::DefaultDomainName),
];
const AGENCY_DOMAIN: [(Fact, Fact); 1] = [(Fact::AgencyDomainId, Fact::AgencyDomainName)];
/// The facts that give a domain as such, not as that of a user or a project.
const DOMAIN: [(Fact, Fact); 1] = [(Fact::DomainId, Fact::DomainName)];

/// True if `facts` has something to authenticate with.
pub(super) fn has_method(facts: &Facts) -> bool {
    first_of(facts, &Fact::METHODS).is_some()
}

/// Returns the name of a value to authenticate with.
pub(super) fn method_name(facts: &Facts) -> Option<&str> {
    first_of(facts, &Fact::METHODS).map(|fact| facts.name(fact))
}

fn first_of(facts: &Facts, wanted: &[Fact]) -> Option<Fact> {
    wanted.iter().copied().find(|fact| facts.has(*fact))
}

/// Returns the account that `facts` describes, in `region`.
///
/// # Errors
/// Everything that is wrong or missing.
pub(super) fn account(
    facts: &Facts,
    region: Option<String>,
    files: Vec<PathBuf>,
) -> Result<Account, Vec<String>> {
    let mut lookup = Lookup::new(facts, region.as_deref());
    let credential = lookup.credential();
    lookup.warn_about_transport();
    let Lookup {
        diagnostics,
        warnings,
        ..
    } = lookup;
    match credential {
        Some(credential) if diagnostics.is_empty() => Ok(Account {
            credential,
            region,
            warnings,
            files,
        }),
        _ => Err(diagnostics),
    }
}

/// Returns the region that the name of the project begins with.
pub(super) fn region_of_project(facts: &Facts) -> Option<String> {
    let project = facts.first(&[Fact::AgencyProject, Fact::ProjectName])?;
    location::region_of_project(&project).map(str::to_owned)
}

fn own_project(facts: &Facts) -> Option<Project> {
    let by_id = facts.first(&[Fact::ProjectId]).map(Project::Id);
    by_id.or_else(|| {
        let domain = domain(facts, &PROJECT_DOMAIN);
        let name = facts.first(&[Fact::ProjectName])?;
        Some(Project::Name(name, domain))
    })
}

/// Returns the domain from the first of these pairs that is present, by its id if it has
/// both.
fn domain(facts: &Facts, wanted: &[(Fact, Fact)]) -> Option<Domain> {
    wanted.iter().find_map(|(id, name)| {
        let by_id = facts.first(&[*id]).map(Domain::Id);
        by_id.or_else(|| facts.first(&[*name]).map(Domain::Name))
    })
}

impl Lookup<'_> {
    fn credential(&mut self) -> Option<Found> {
        let method = self.method()?;
        let has_agency = first_of(self.facts, &Fact::AGENCY).is_some();
        if !has_agency {
            return self.own(method, own_project(self.facts));
        }
        // The account itself assumes the agency: terraform-provider-opentelekomcloud then
        // logs in without a project.
        let source = self.own(method, None);
        let agency = self.need(Fact::AgencyName, "an agency has a name");
        let account = self.agency_account();
        let auth_url = self.need_auth_url("the rights of an agency are asked for there");
        let (agency, account) = (agency?, account?);
        let project = self.facts.first(&[Fact::AgencyProject]);
        Some(Arc::new(Agency {
            source: AgencySource::Own(source?),
            auth_url: auth_url?,
            name: agency,
            project: project.map(|name| Project::Name(name, Some(account.clone()))),
            account,
        }))
    }

    fn agency_account(&mut self) -> Option<Domain> {
        let account = domain(self.facts, &AGENCY_DOMAIN);
        if account.is_none() {
            self.missing(
                Fact::AgencyDomainName,
                "an agency is found in the account that made it",
            );
        }
        account
    }

    /// Returns how the account authenticates: by the method that `auth_type` names, or else
    /// by the first that is set up.
    fn method(&mut self) -> Option<Method> {
        if let Some(word) = self.facts.text(Fact::AuthType) {
            let found = AUTH_TYPES.iter().find(|(name, _)| *name == word);
            if found.is_none() {
                let names = AUTH_TYPES.map(|(name, _)| name);
                let hint = suggest::did_you_mean(word, names);
                let name = self.facts.name(Fact::AuthType);
                let names = names.join(", ");
                self.report(format!(
                    "`{name}` is `{word}`, which is not one of {names}{hint}"
                ));
            }
            return found.map(|(_, method)| *method);
        }
        let mut there = METHOD_FACTS
            .iter()
            .filter_map(|(method, facts)| Some((*method, first_of(self.facts, facts)?)));
        let Some((method, used)) = there.next() else {
            self.nothing_there();
            return None;
        };
        let ignored: Vec<Fact> = there.map(|(_, fact)| fact).collect();
        for fact in ignored {
            let (used, ignored) = (self.facts.name(used), self.facts.name(fact));
            // A user name beside a token is not another method.
            if matches!(fact, Fact::Username | Fact::UserId) {
                continue;
            }
            self.warn(format!("`{ignored}` is not used: `{used}` takes precedence (the order is token, AK/SK, application credential, password)"));
        }
        Some(method)
    }

    fn nothing_there(&mut self) {
        let name = |fact| self.facts.name(fact);
        let message = format!(
            "there is nothing to authenticate with: set `{}` and `{}`, or `{}` and `{}`",
            name(Fact::Username),
            name(Fact::Password),
            name(Fact::AccessKey),
            name(Fact::SecretKey),
        );
        self.report(message);
    }

    /// Returns the credential of the account itself, for work in `project`.
    fn own(&mut self, method: Method, project: Option<Project>) -> Option<Found> {
        match method {
            Method::Token => self.token(project),
            Method::Keys => self.keys(project),
            Method::Application => self.application(),
            Method::Password {
                needs_second_factor,
            } => self.password(project, needs_second_factor),
        }
    }

    /// Returns a credential that uses the token as it is, or exchanges it for one of the
    /// wanted project if it can.
    fn token(&mut self, project: Option<Project>) -> Option<Found> {
        self.warn_about_end(Fact::Token);
        let auth_url = self.auth_url();
        let token = self.need_secret(Fact::Token, "a token is asked for")?;
        Some(match (auth_url, project) {
            (Some(auth_url), Some(project)) => Arc::new(Keystone {
                auth_url,
                identity: Identity::Token { token },
                scope: ScopeWanted::Project(project),
            }),
            _ => Arc::new(Header {
                kind: "token",
                name: HeaderName::from_static("x-auth-token"),
                form: HeaderForm::Prefixed(String::new()),
                secret: token,
            }),
        })
    }

    fn keys(&mut self, project: Option<Project>) -> Option<Found> {
        if self.facts.has(Fact::SecurityToken) {
            self.warn_about_end(Fact::SecurityToken);
        }
        let why = "an access key has two halves";
        let access_key = self.need_secret(Fact::AccessKey, why);
        let secret_key = self.need_secret(Fact::SecretKey, why);
        let (project_id, project) = match project {
            Some(Project::Id(id)) => (Some(id), None),
            Some(Project::Name(name, _)) => (None, Some(name)),
            None => (None, None),
        };
        let auth_url = if project.is_some() {
            let by_id = self.facts.name(Fact::ProjectId);
            let why = format!("the project's id is asked for there, unless `{by_id}` is set");
            Some(self.need_auth_url(&why)?)
        } else {
            self.auth_url()
        };
        Some(Arc::new(Keys {
            access_key: access_key?,
            secret_key: secret_key?,
            security_token: self.facts.secret(Fact::SecurityToken),
            project_id,
            domain_id: self.facts.first(&USER_DOMAIN.map(|(id, _)| id)),
            project,
            auth_url,
        }))
    }

    fn application(&mut self) -> Option<Found> {
        let why = "an application credential is an id and a secret";
        let id = self.need(Fact::ApplicationId, why);
        let secret = self.need_secret(Fact::ApplicationSecret, why);
        let auth_url = self.need_auth_url("an application credential logs in there");
        Some(Arc::new(Keystone {
            auth_url: auth_url?,
            identity: Identity::Application {
                id: id?,
                secret: secret?,
            },
            scope: ScopeWanted::Default,
        }))
    }

    fn password(&mut self, project: Option<Project>, needs_second_factor: bool) -> Option<Found> {
        let auth_url = self.need_auth_url("a user logs in there");
        let user = self.user();
        let password = self.need_secret(Fact::Password, "a user logs in with a password");
        let totp = self.second_factor(needs_second_factor);
        let scope = match project {
            Some(project) => ScopeWanted::Project(project),
            None => self.scope_without_project(),
        };
        Some(Arc::new(Keystone {
            auth_url: auth_url?,
            identity: Identity::Password {
                user: user?,
                password: password?,
                totp,
            },
            scope,
        }))
    }

    /// Returns the scope of a login without a project. An agency is assumed by a login for
    /// the user's own domain.
    fn scope_without_project(&mut self) -> ScopeWanted {
        let has_agency = first_of(self.facts, &Fact::AGENCY).is_some();
        let domain = if has_agency {
            domain(self.facts, &USER_DOMAIN)
        } else {
            let name = self.facts.name(Fact::ProjectName);
            let id = self.facts.name(Fact::ProjectId);
            self.warn(format!(
                "no project is named, and most services ask for one; set `{name}` or `{id}`"
            ));
            domain(self.facts, &DOMAIN)
        };
        domain.map_or(ScopeWanted::Default, ScopeWanted::Domain)
    }

    fn user(&mut self) -> Option<User> {
        if let Some(id) = self.facts.first(&[Fact::UserId]) {
            return Some(User::Id(id));
        }
        let domain = domain(self.facts, &USER_DOMAIN);
        let name = self.need(Fact::Username, "a user logs in by name or id");
        if domain.is_none() && name.is_some() {
            self.missing(
                Fact::UserDomainName,
                "a user's name is unique within a domain only",
            );
        }
        Some(User::Name(name?, domain?))
    }

    fn second_factor(&mut self, is_needed: bool) -> Option<Secret> {
        let seed = self.facts.secret(Fact::TotpSeed);
        if seed.is_none() && is_needed {
            self.missing(
                Fact::TotpSeed,
                "each login computes a passcode from the seed",
            );
        } else if self.facts.has(Fact::Passcode) {
            let (passcode, seed) = (Fact::Passcode, Fact::TotpSeed);
            let (passcode, seed) = (self.facts.name(passcode), self.facts.name(seed));
            self.warn(format!("`{passcode}` works once and is not used; each login computes one from the seed in `{seed}`"));
        }
        seed
    }
}
