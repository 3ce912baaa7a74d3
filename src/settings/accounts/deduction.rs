//! From what a source says of an account to the spec of its credential.
//!
//! Whoever says several things at once gets the first of token, AK/SK, application
//! credential and password, unless an `auth_type` asks for one: the order of
//! terraform-provider-opentelekomcloud, with the application credential, which it lacks,
//! before the password that it replaces.

use std::path::PathBuf;

use http::HeaderName;

use crate::credential::spec::{
    Agency, AgencySource, CredentialSpec, Domain, Header, HeaderForm, Identity, Keys, Keystone,
    Project, ScopeWanted, User,
};
use crate::outbound::secret::Secret;
use crate::settings::accounts::entry::{Entry, Fact};
use crate::settings::accounts::inquiry::Inquiry;
use crate::settings::accounts::{Account, location};
use crate::suggest;

/// By what an account proves itself, the preferred first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    Token,
    Keys,
    Application,
    Password { needs_second_factor: bool },
}

const PASSWORD: Proof = Proof::Password {
    needs_second_factor: false,
};
const SECOND_FACTOR: Proof = Proof::Password {
    needs_second_factor: true,
};

/// What shows that somebody set up a proof.
const SIGNS: [(Proof, &[Fact]); 4] = [
    (Proof::Token, &[Fact::Token]),
    (Proof::Keys, &[Fact::AccessKey, Fact::SecretKey]),
    (
        Proof::Application,
        &[Fact::ApplicationId, Fact::ApplicationSecret],
    ),
    (PASSWORD, &[Fact::Password, Fact::Username, Fact::UserId]),
];

/// The types that keystoneauth has for these proofs, and `aksk`, which is ours.
const AUTH_TYPES: [(&str, Proof); 8] = [
    ("password", PASSWORD),
    ("v3password", PASSWORD),
    ("token", Proof::Token),
    ("v3token", Proof::Token),
    ("v3applicationcredential", Proof::Application),
    ("v3totp", SECOND_FACTOR),
    ("v3multifactor", SECOND_FACTOR),
    ("aksk", Proof::Keys),
];

/// Under what a user's domain is said, by id and by name. That of the project comes last:
/// terraform-provider-opentelekomcloud, where both are one account, knows no difference.
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
/// Under what a domain is said as such, not as that of a user or a project.
const DOMAIN: [(Fact, Fact); 1] = [(Fact::DomainId, Fact::DomainName)];

/// Whether `entry` says by what the account proves itself.
pub(super) fn has_proof(entry: &Entry) -> bool {
    sign(entry, &Fact::PROOFS).is_some()
}

/// The name of something by which the account could prove itself.
pub(super) fn proof_name(entry: &Entry) -> Option<&str> {
    sign(entry, &Fact::PROOFS).map(|fact| entry.name(fact))
}

fn sign(entry: &Entry, facts: &[Fact]) -> Option<Fact> {
    facts.iter().copied().find(|fact| entry.has(*fact))
}

/// The account that `entry` describes, in `region`.
///
/// # Errors
/// Everything that is wrong or missing.
pub(super) fn account(
    entry: &Entry,
    region: Option<String>,
    files: Vec<PathBuf>,
) -> Result<Account, Vec<String>> {
    let mut inquiry = Inquiry::new(entry, region.as_deref());
    let spec = inquiry.spec();
    inquiry.warn_about_transport();
    let Inquiry {
        diagnostics,
        warnings,
        ..
    } = inquiry;
    match spec {
        Some(spec) if diagnostics.is_empty() => Ok(Account {
            spec,
            region,
            warnings,
            files,
        }),
        _ => Err(diagnostics),
    }
}

/// The region that the name of the project says in which is worked.
pub(super) fn region_of_project(entry: &Entry) -> Option<String> {
    let project = entry.first(&[Fact::AgencyProject, Fact::ProjectName])?;
    location::region_of_project(&project).map(str::to_owned)
}

fn own_project(entry: &Entry) -> Option<Project> {
    let by_id = entry.first(&[Fact::ProjectId]).map(Project::Id);
    by_id.or_else(|| {
        let domain = domain(entry, &PROJECT_DOMAIN);
        let name = entry.first(&[Fact::ProjectName])?;
        Some(Project::Name(name, domain))
    })
}

/// The domain that is said under the first of these, by its id if both are said.
fn domain(entry: &Entry, facts: &[(Fact, Fact)]) -> Option<Domain> {
    facts.iter().find_map(|(id, name)| {
        let by_id = entry.first(&[*id]).map(Domain::Id);
        by_id.or_else(|| entry.first(&[*name]).map(Domain::Name))
    })
}

impl Inquiry<'_> {
    fn spec(&mut self) -> Option<CredentialSpec> {
        let proof = self.proof()?;
        let has_agency = sign(self.entry, &Fact::AGENCY).is_some();
        if !has_agency {
            return self.own(proof, own_project(self.entry));
        }
        // Its rights are asked for by the account itself: terraform-provider-
        // opentelekomcloud logs in without a project then.
        let source = self.own(proof, None);
        let agency = self.need(Fact::AgencyName, "an agency has a name");
        let account = self.agency_account();
        let auth_url = self.need_auth_url("the rights of an agency are asked for there");
        let (agency, account) = (agency?, account?);
        let project = self.entry.first(&[Fact::AgencyProject]);
        Some(CredentialSpec::Agency(Agency {
            source: AgencySource::Own(Box::new(source?)),
            auth_url: auth_url?,
            agency,
            project: project.map(|name| Project::Name(name, Some(account.clone()))),
            account,
        }))
    }

    fn agency_account(&mut self) -> Option<Domain> {
        let account = domain(self.entry, &AGENCY_DOMAIN);
        if account.is_none() {
            self.missing(
                Fact::AgencyDomainName,
                "an agency is found in the account that made it",
            );
        }
        account
    }

    /// By what the account proves itself: what `auth_type` asks for, or else the first
    /// there is.
    fn proof(&mut self) -> Option<Proof> {
        if let Some(word) = self.entry.text(Fact::AuthType) {
            let found = AUTH_TYPES.iter().find(|(name, _)| *name == word);
            if found.is_none() {
                let names = AUTH_TYPES.map(|(name, _)| name);
                let hint = suggest::did_you_mean(word, names);
                let name = self.entry.name(Fact::AuthType);
                let names = names.join(", ");
                self.report(format!(
                    "`{name}` is `{word}`, which is not one of {names}{hint}"
                ));
            }
            return found.map(|(_, proof)| *proof);
        }
        let mut there = SIGNS
            .iter()
            .filter_map(|(proof, facts)| Some((*proof, sign(self.entry, facts)?)));
        let Some((proof, used)) = there.next() else {
            self.nothing_there();
            return None;
        };
        let ignored: Vec<Fact> = there.map(|(_, fact)| fact).collect();
        for fact in ignored {
            let (used, ignored) = (self.entry.name(used), self.entry.name(fact));
            // A user name beside a token is no other proof.
            if matches!(fact, Fact::Username | Fact::UserId) {
                continue;
            }
            self.warn(format!("`{ignored}` is not used, as `{used}` goes before it (the order is token, AK/SK, application credential, password)"));
        }
        Some(proof)
    }

    fn nothing_there(&mut self) {
        let name = |fact| self.entry.name(fact);
        let message = format!(
            "there is nothing to prove who asks: set `{}` and `{}`, or `{}` and `{}`",
            name(Fact::Username),
            name(Fact::Password),
            name(Fact::AccessKey),
            name(Fact::SecretKey),
        );
        self.report(message);
    }

    /// The spec of the account itself, for work in `project`.
    fn own(&mut self, proof: Proof, project: Option<Project>) -> Option<CredentialSpec> {
        match proof {
            Proof::Token => self.token(project),
            Proof::Keys => self.keys(project),
            Proof::Application => self.application(),
            Proof::Password {
                needs_second_factor,
            } => self.password(project, needs_second_factor),
        }
    }

    /// A token is used as it is; one that can be exchanged for one of the wanted project
    /// is exchanged.
    fn token(&mut self, project: Option<Project>) -> Option<CredentialSpec> {
        self.warn_about_end(Fact::Token);
        let auth_url = self.auth_url();
        let token = self.need_secret(Fact::Token, "a token is asked for")?;
        Some(match (auth_url, project) {
            (Some(auth_url), Some(project)) => CredentialSpec::Keystone(Keystone {
                auth_url,
                identity: Identity::Token { token },
                scope: ScopeWanted::Project(project),
            }),
            _ => CredentialSpec::Header(Header {
                kind: "token",
                name: HeaderName::from_static("x-auth-token"),
                form: HeaderForm::Prefixed(String::new()),
                secret: token,
            }),
        })
    }

    fn keys(&mut self, project: Option<Project>) -> Option<CredentialSpec> {
        if self.entry.has(Fact::SecurityToken) {
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
            let by_id = self.entry.name(Fact::ProjectId);
            let why = format!("the project's id is asked for there, unless `{by_id}` says it");
            Some(self.need_auth_url(&why)?)
        } else {
            self.auth_url()
        };
        Some(CredentialSpec::Keys(Keys {
            access_key: access_key?,
            secret_key: secret_key?,
            security_token: self.entry.secret(Fact::SecurityToken),
            project_id,
            domain_id: self.entry.first(&USER_DOMAIN.map(|(id, _)| id)),
            project,
            auth_url,
        }))
    }

    fn application(&mut self) -> Option<CredentialSpec> {
        let why = "an application credential is an id and a secret";
        let id = self.need(Fact::ApplicationId, why);
        let secret = self.need_secret(Fact::ApplicationSecret, why);
        let auth_url = self.need_auth_url("an application credential logs in there");
        Some(CredentialSpec::Keystone(Keystone {
            auth_url: auth_url?,
            identity: Identity::Application {
                id: id?,
                secret: secret?,
            },
            scope: ScopeWanted::Default,
        }))
    }

    fn password(
        &mut self,
        project: Option<Project>,
        needs_second_factor: bool,
    ) -> Option<CredentialSpec> {
        let auth_url = self.need_auth_url("a user logs in there");
        let user = self.user();
        let password = self.need_secret(Fact::Password, "a user logs in with a password");
        let totp = self.second_factor(needs_second_factor);
        let scope = match project {
            Some(project) => ScopeWanted::Project(project),
            None => self.scope_without_project(),
        };
        Some(CredentialSpec::Keystone(Keystone {
            auth_url: auth_url?,
            identity: Identity::Password {
                user: user?,
                password: password?,
                totp,
            },
            scope,
        }))
    }

    /// The rights of an agency are taken on by those whom their own domain allows it.
    fn scope_without_project(&mut self) -> ScopeWanted {
        let has_agency = sign(self.entry, &Fact::AGENCY).is_some();
        let domain = if has_agency {
            domain(self.entry, &USER_DOMAIN)
        } else {
            let name = self.entry.name(Fact::ProjectName);
            let id = self.entry.name(Fact::ProjectId);
            self.warn(format!(
                "no project is named, and most services ask for one; set `{name}` or `{id}`"
            ));
            domain(self.entry, &DOMAIN)
        };
        domain.map_or(ScopeWanted::Default, ScopeWanted::Domain)
    }

    fn user(&mut self) -> Option<User> {
        if let Some(id) = self.entry.first(&[Fact::UserId]) {
            return Some(User::Id(id));
        }
        let domain = domain(self.entry, &USER_DOMAIN);
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
        let seed = self.entry.secret(Fact::TotpSeed);
        if seed.is_none() && is_needed {
            self.missing(Fact::TotpSeed, "each login makes a passcode of the seed");
        } else if self.entry.has(Fact::Passcode) {
            let (passcode, seed) = (Fact::Passcode, Fact::TotpSeed);
            let (passcode, seed) = (self.entry.name(passcode), self.entry.name(seed));
            self.warn(format!("`{passcode}` works once and is not used; each login makes one of the seed in `{seed}`"));
        }
        seed
    }
}
