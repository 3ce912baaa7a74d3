//! Accounts as users keep them: each kind in each place, and each mistake.

use std::any::Any;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use secrecy::ExposeSecret;

use crate::credential::configured::ConfiguredCredential;
use crate::credential::discovery::account::Account;
use crate::credential::identity::{Domain, Project, ScopeWanted, User};
use crate::credential::kinds::agency::{Agency, AgencySource};
use crate::credential::kinds::header::Header;
use crate::credential::kinds::keys::Keys;
use crate::credential::kinds::keystone::{Identity, Keystone};
use crate::outbound::secret::Secret;

/// A home with files and the environment of its user, without anything of this machine.
pub(super) struct Home {
    folder: tempfile::TempDir,
    pub(super) environment: BTreeMap<String, String>,
}

impl Home {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let environment = BTreeMap::from([(
            "HOME".to_owned(),
            folder.path().to_str().unwrap().to_owned(),
        )]);
        Self {
            folder,
            environment,
        }
    }

    pub(super) fn with(self, name: &str, text: &str) -> Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self.open_to(name, 0o600)
    }

    pub(super) fn open_to(self, name: &str, mode: u32) -> Self {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(self.path(name), mode).unwrap();
        self
    }

    pub(super) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Sets `NAME=value` for each word of `settings`.
    pub(super) fn envs(self, settings: &str) -> Self {
        settings.split_whitespace().fold(self, |home, setting| {
            let (name, value) = setting.split_once('=').unwrap();
            home.env(name, value)
        })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the message without the folder's name.
    pub(super) fn short(&self, message: &str) -> String {
        message.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

#[track_caller]
pub(super) fn assert_messages(messages: &[String], wanted: &[&str]) {
    for part in wanted {
        assert!(
            messages.iter().any(|message| message.contains(part)),
            "{part:?} is not among {messages:#?}"
        );
    }
    assert_eq!(messages.len(), wanted.len(), "{messages:#?}");
}

/// Returns the account on one line, with its secrets.
pub(super) fn line(account: &Account) -> String {
    let region = account.region.as_deref().unwrap_or("-");
    format!("{} in {region}", shown(&*account.credential))
}

fn shown(credential: &dyn ConfiguredCredential) -> String {
    let any: &dyn Any = credential;
    if let Some(header) = any.downcast_ref::<Header>() {
        return format!("{} {}", header.name, secret(&header.secret));
    }
    if let Some(keystone) = any.downcast_ref::<Keystone>() {
        return of_keystone(keystone);
    }
    if let Some(keys) = any.downcast_ref::<Keys>() {
        return of_keys(keys);
    }
    let agency = any.downcast_ref::<Agency>();
    of_agency(agency.expect("no other kind is found"))
}

fn of_keystone(keystone: &Keystone) -> String {
    let scope = match &keystone.scope {
        ScopeWanted::Project(wanted) => project(wanted),
        ScopeWanted::Domain(wanted) => domain(wanted),
        ScopeWanted::Default => "default".to_owned(),
    };
    let who = identity(&keystone.identity);
    format!("{who} at {} for {scope}", keystone.auth_url)
}

fn of_keys(keys: &Keys) -> String {
    let optional = |text: &Option<String>| text.clone().unwrap_or("-".to_owned());
    let url = keys.auth_url.as_ref().map(ToString::to_string);
    format!(
        "keys {} {} {} id:{} domain:{} name:{} at {}",
        secret(&keys.access_key),
        secret(&keys.secret_key),
        optional(&keys.security_token.as_ref().map(secret)),
        optional(&keys.project_id),
        optional(&keys.domain_id),
        optional(&keys.project),
        optional(&url),
    )
}

fn of_agency(agency: &Agency) -> String {
    let AgencySource::Own(source) = &agency.source else {
        panic!("no account names another credential")
    };
    let wanted = agency.project.as_ref().map_or("-".to_owned(), project);
    let (name, account) = (&agency.name, domain(&agency.account));
    format!(
        "agency {name} of {account} for {wanted} at {} by ({})",
        agency.auth_url,
        shown(&**source)
    )
}

fn identity(identity: &Identity) -> String {
    match identity {
        Identity::Password {
            user,
            password,
            totp,
        } => {
            let user = match user {
                User::Id(id) => format!("id:{id}"),
                User::Name(name, of) => format!("{name}@{}", domain(of)),
            };
            let totp = totp
                .as_ref()
                .map_or(String::new(), |seed| format!(" with totp {}", secret(seed)));
            format!("{user} {}{totp}", secret(password))
        }
        Identity::Token { token } => format!("token {}", secret(token)),
        Identity::Application { id, secret: own } => format!("application {id} {}", secret(own)),
    }
}

fn project(project: &Project) -> String {
    match project {
        Project::Id(id) => format!("project:{id}"),
        Project::Name(name, None) => format!("project {name}"),
        Project::Name(name, Some(of)) => format!("project {name}@{}", domain(of)),
    }
}

fn domain(domain: &Domain) -> String {
    match domain {
        Domain::Id(id) => format!("domain:{id}"),
        Domain::Name(name) => name.clone(),
    }
}

fn secret(secret: &Secret) -> String {
    secret.read().unwrap().expose_secret().to_owned()
}
