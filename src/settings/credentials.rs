//! Who asks: the section `[credentials]`.

use std::collections::BTreeMap;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use reqwest::Url;

use crate::credential::request_auth::TOKEN_HEADER;
use crate::credential::spec::{
    Agency, AgencySource, CredentialSpec, Domain, Header, HeaderForm, Identity, Keys, Keystone,
    Metadata, Project, ScopeWanted, User,
};
use crate::outbound::is_local;
use crate::outbound::secret::Secret;
use crate::outbound::url::base_url;
use crate::settings::accounts::{Account, location};
use crate::settings::{CredentialSettings, accounts};
use crate::tree::reader::{Reader, not_among};

/// The name that a service gives for no credential at all.
pub const NO_CREDENTIAL: &str = "none";
/// The metadata service, as every server of the cloud sees it (link-local, RFC 3927).
const METADATA_URL: &str = "http://169.254.169.254";

/// Reads one kind; `None` after something was wrong.
type Read = fn(&Reader<'_>) -> Option<CredentialSettings>;

/// The kinds, and how each is read.
const KINDS: [(&str, Read); 12] = [
    ("keystone", keystone),
    ("keystone-token", keystone_token),
    ("aksk", aksk),
    ("agency", agency),
    ("metadata", metadata),
    ("token", token),
    ("bearer", bearer),
    ("basic", basic),
    ("header", header),
    ("clouds", clouds),
    ("env", environment),
    (NO_CREDENTIAL, |_| Some(CredentialSpec::None.into())),
];

/// Everyone who may be asked with, by name.
pub(super) fn credentials(root: &Reader<'_>) -> BTreeMap<String, CredentialSettings> {
    let nobody = (NO_CREDENTIAL.to_owned(), CredentialSpec::None.into());
    let mut credentials = BTreeMap::from([nobody]);
    let sections = root.sections("credentials");
    for (name, section) in &sections {
        if name == NO_CREDENTIAL {
            section.report("", "the name is taken: it stands for no credential");
        }
        // Of an unknown kind nobody can say which keys belong to it.
        let Some(read) = section.choice("kind", &KINDS) else {
            continue;
        };
        let region = region(section, "region");
        let credential = read(section);
        section.finish();
        credentials.extend(credential.map(|found| {
            let region = region.or(found.region);
            (name.clone(), CredentialSettings { region, ..found })
        }));
    }
    let known = root.names("credentials");
    for (name, section) in &sections {
        check_source(section, name, &known, &credentials);
    }
    credentials
}

/// A region's name, which becomes part of a host's.
pub(super) fn region(section: &Reader<'_>, key: &str) -> Option<String> {
    let text = section.expanded(key)?;
    if is_region(&text) {
        return Some(text);
    }
    section.report(
        key,
        format!("\"{text}\" must be made of letters, digits and -, as eu-de"),
    );
    None
}

pub(super) fn is_region(text: &str) -> bool {
    // OpenStack's own installers write RegionOne.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    !text.is_empty() && text.len() <= 40 && text.chars().all(is_plain)
}

/// An agency is assumed by another credential, which must not be one that is assumed in
/// turn: so no chain leads back to where it began.
fn check_source(
    section: &Reader<'_>,
    name: &str,
    known: &[String],
    credentials: &BTreeMap<String, CredentialSettings>,
) {
    let source_of = |name: &str| match &credentials.get(name)?.spec {
        CredentialSpec::Agency(agency) => match &agency.source {
            AgencySource::Named(source) => Some(source),
            AgencySource::Own(_) => None,
        },
        _ => None,
    };
    let Some(source) = source_of(name) else {
        return;
    };
    if !known.contains(source) {
        let known = known.iter().map(String::as_str);
        section.report("source", not_among(source, known));
    } else if source == name || source_of(source).is_some() {
        section.report("source", "must be a credential that is no agency itself");
    }
}

fn keystone(section: &Reader<'_>) -> Option<CredentialSettings> {
    let auth_url = auth_url(section);
    let application = section.has("application_id").then(|| {
        let id = section.expanded("application_id");
        let secret = section.required_secret("application_secret");
        Some((id?, secret?))
    });
    if let Some(application) = application {
        let (id, secret) = application?;
        return Some(
            CredentialSpec::Keystone(Keystone {
                auth_url: auth_url?,
                identity: Identity::Application { id, secret },
                scope: ScopeWanted::Default,
            })
            .into(),
        );
    }
    let domain = domain(section, "domain", "domain_id");
    let user = user(section, domain.clone());
    let password = section.required_secret("password");
    let totp = section.secret_source("totp");
    let project = project(section, domain);
    if project.is_none() {
        section.warn("", "has no `project` and no `project_id`: services that ask for a project will refuse its token");
    }
    let identity = Identity::Password {
        user: user?,
        password: password?,
        totp,
    };
    let spec = CredentialSpec::Keystone(Keystone {
        auth_url: auth_url?,
        identity,
        scope: project.map_or(ScopeWanted::Default, ScopeWanted::Project),
    });
    Some(spec.into())
}

fn keystone_token(section: &Reader<'_>) -> Option<CredentialSettings> {
    let auth_url = auth_url(section);
    let token = section.required_secret("token");
    let domain = domain(section, "domain", "domain_id");
    let project = project(section, domain);
    if project.is_none() {
        section.report(
            "",
            "needs `project` or `project_id`: what the token is to be exchanged for",
        );
    }
    let spec = CredentialSpec::Keystone(Keystone {
        auth_url: auth_url?,
        identity: Identity::Token { token: token? },
        scope: ScopeWanted::Project(project?),
    });
    Some(spec.into())
}

fn aksk(section: &Reader<'_>) -> Option<CredentialSettings> {
    let access_key = section.required_secret("access_key");
    let secret_key = section.required_secret("secret_key");
    let security_token = section.secret_source("security_token");
    let auth_url = section.has("auth_url").then(|| auth_url(section));
    let project = section.expanded("project");
    let project_id = section.expanded("project_id");
    if project.is_some() && project_id.is_none() && auth_url.is_none() {
        section.report(
            "project",
            "needs `auth_url`, where its id is asked for; or give `project_id`",
        );
    }
    let spec = CredentialSpec::Keys(Keys {
        access_key: access_key?,
        secret_key: secret_key?,
        security_token,
        project_id,
        domain_id: section.expanded("domain_id"),
        project,
        auth_url: match auth_url {
            Some(auth_url) => Some(auth_url?),
            None => None,
        },
    });
    Some(spec.into())
}

fn agency(section: &Reader<'_>) -> Option<CredentialSettings> {
    let source = section.required_text("source");
    let auth_url = auth_url(section);
    let name = section.expanded("agency_name");
    let name = section.missing("agency_name", name);
    let account = domain(section, "domain", "domain_id");
    if account.is_none() {
        section.report(
            "",
            "needs `domain` or `domain_id`: the account that made the agency",
        );
    }
    let project = project(section, account.clone());
    let spec = CredentialSpec::Agency(Agency {
        source: AgencySource::Named(source?),
        auth_url: auth_url?,
        agency: name?,
        account: account?,
        project,
    });
    Some(spec.into())
}

fn metadata(section: &Reader<'_>) -> Option<CredentialSettings> {
    let url = match section.expanded("url") {
        Some(text) => checked_url(section, "url", &text),
        None => Url::parse(METADATA_URL).ok(),
    };
    let spec = CredentialSpec::Metadata(Metadata {
        project_id: section.expanded("project_id"),
        domain_id: section.expanded("domain_id"),
        url: url?,
    });
    Some(spec.into())
}

fn token(section: &Reader<'_>) -> Option<CredentialSettings> {
    let secret = section.required_secret("token");
    in_header(
        section,
        "token",
        "token",
        (TOKEN_HEADER, String::new()),
        secret,
    )
}

fn bearer(section: &Reader<'_>) -> Option<CredentialSettings> {
    let secret = section.required_secret("token");
    let header = (AUTHORIZATION, "Bearer ".to_owned());
    in_header(section, "bearer", "token", header, secret)
}

fn header(section: &Reader<'_>) -> Option<CredentialSettings> {
    let name = section.required_text("header").and_then(|text| {
        let name = HeaderName::try_from(&text).ok();
        if name.is_none() {
            section.report(
                "header",
                format!("\"{text}\" is no name of a header, as PRIVATE-TOKEN is"),
            );
        }
        name
    });
    let prefix = section.text("prefix").unwrap_or_default();
    if HeaderValue::from_str(&prefix).is_err() {
        section.report("prefix", "holds characters that no header may have");
    }
    let value = section.required_secret("value");
    in_header(section, "header", "value", (name?, prefix), value)
}

fn in_header(
    section: &Reader<'_>,
    kind: &'static str,
    key: &str,
    (name, prefix): (HeaderName, String),
    secret: Option<Secret>,
) -> Option<CredentialSettings> {
    let header = Header {
        kind,
        name,
        form: HeaderForm::Prefixed(prefix),
        secret: secret?,
    };
    checked_header(section, key, header)
}

fn basic(section: &Reader<'_>) -> Option<CredentialSettings> {
    let username = section.expanded("username");
    let username = section.missing("username", username).filter(|name| {
        // RFC 7617, section 2: the first colon ends the name.
        let is_plain = !name.contains(':') && !name.chars().any(char::is_control);
        if !is_plain {
            section.report("username", "must hold no `:`");
        }
        is_plain
    });
    let password = section.required_secret("password");
    let header = Header {
        kind: "basic",
        name: AUTHORIZATION,
        form: HeaderForm::Basic(username?),
        secret: password?,
    };
    checked_header(section, "password", header)
}

/// A secret that cannot stand in its header is told of now, not at the first poll.
fn checked_header(section: &Reader<'_>, key: &str, header: Header) -> Option<CredentialSettings> {
    if let Err(error) = header.auth() {
        let key_file = format!("{key}_file");
        let key = if section.has(&key_file) {
            &key_file
        } else {
            key
        };
        section.report(key, error);
        return None;
    }
    Some(CredentialSpec::Header(header).into())
}

fn clouds(section: &Reader<'_>) -> Option<CredentialSettings> {
    let name = section.text("cloud");
    let folder = std::env::current_dir().unwrap_or_default();
    let found = accounts::from_clouds(name.as_deref(), section.environment(), &folder);
    elsewhere(section, "cloud", found)
}

fn environment(section: &Reader<'_>) -> Option<CredentialSettings> {
    let found = accounts::from_environment(section.environment());
    elsewhere(section, "kind", found)
}

fn elsewhere(
    section: &Reader<'_>,
    key: &str,
    found: Result<Account, Vec<String>>,
) -> Option<CredentialSettings> {
    match found {
        Ok(account) => {
            section.was_read(account.files);
            for warning in account.warnings {
                section.warn(key, warning);
            }
            let region = account.region.filter(|region| {
                let is_plain = is_region(region);
                if !is_plain {
                    section.warn(key, "the region there is no plain name and is left out");
                }
                is_plain
            });
            Some(CredentialSettings {
                spec: account.spec,
                region,
            })
        }
        Err(diagnostics) => {
            for problem in diagnostics {
                section.report(key, problem);
            }
            None
        }
    }
}

fn auth_url(section: &Reader<'_>) -> Option<Url> {
    let text = section.expanded("auth_url");
    let text = section.missing("auth_url", text)?;
    let url = match location::auth_url(&text, None) {
        Ok(url) => url,
        Err(message) => {
            section.report("auth_url", message);
            return None;
        }
    };
    if url.scheme() == "http" && !is_local(url.as_str()) {
        section.warn("auth_url", "secrets are sent unencrypted; use https://");
    }
    Some(url)
}

fn checked_url(section: &Reader<'_>, key: &str, text: &str) -> Option<Url> {
    let url = base_url(text);
    url.inspect_err(|message| section.report(key, message)).ok()
}

fn user(section: &Reader<'_>, domain: Option<Domain>) -> Option<User> {
    let id = section.expanded("user_id");
    let name = section.expanded("username");
    match (id, name) {
        (Some(id), None) => Some(User::Id(id)),
        (None, Some(name)) => {
            if domain.is_none() {
                section.report(
                    "username",
                    "needs `domain` or `domain_id`: names are unique only within a domain",
                );
            }
            Some(User::Name(name, domain?))
        }
        (Some(_), Some(_)) => {
            section.report("user_id", "is set beside `username`; keep one of them");
            None
        }
        (None, None) => section.missing("username", None),
    }
}

fn domain(section: &Reader<'_>, name_key: &str, id_key: &str) -> Option<Domain> {
    let name = section.expanded(name_key);
    let id = section.expanded(id_key);
    if name.is_some() && id.is_some() {
        section.report(
            id_key,
            format!("is set beside `{name_key}`; keep one of them"),
        );
    }
    id.map(Domain::Id).or(name.map(Domain::Name))
}

fn project(section: &Reader<'_>, domain_of_user: Option<Domain>) -> Option<Project> {
    let name = section.expanded("project");
    let id = section.expanded("project_id");
    let own = domain(section, "project_domain", "project_domain_id");
    match (id, name) {
        (Some(id), None) => Some(Project::Id(id)),
        (None, Some(name)) => Some(Project::Name(name, own.or(domain_of_user))),
        (Some(id), Some(_)) => {
            section.report("project_id", "is set beside `project`; keep one of them");
            Some(Project::Id(id))
        }
        (None, None) => None,
    }
}
