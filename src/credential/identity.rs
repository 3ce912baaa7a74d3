//! Users, domains and projects of an identity service, and the keys of a section that name
//! them.

use reqwest::Url;

use crate::credential::location;
use crate::outbound::is_local;
use crate::tree::reader::Reader;

/// The keys that name the domain and the project of a section.
pub(super) const DOMAIN_KEYS: [&str; 2] = ["domain", "domain_id"];
pub(super) const PROJECT_KEYS: [&str; 2] = ["project", "project_id"];

/// A user of an identity service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum User {
    Id(String),
    /// By name, which is unique within its domain.
    Name(String, Domain),
}

/// A domain: an account of the cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Domain {
    Id(String),
    Name(String),
}

/// A project within a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Project {
    Id(String),
    /// Within a domain; without one, within the domain of the user who logs in.
    Name(String, Option<Domain>),
}

impl Project {
    /// Returns the name, if the project is configured by name.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name, _) => Some(name),
            Self::Id(_) => None,
        }
    }
}

/// The scope that is requested for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ScopeWanted {
    /// A project, which the watched services ask for.
    Project(Project),
    Domain(Domain),
    /// The scope that the identity has by default.
    Default,
}

/// Reads `auth_url`, which is required.
pub(super) fn auth_url(section: &Reader<'_>) -> Option<Url> {
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

/// Reads a domain by its name or its id.
pub(super) fn domain(section: &Reader<'_>, name_key: &str, id_key: &str) -> Option<Domain> {
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

/// Reads a project by its name or its id.
pub(super) fn project(section: &Reader<'_>, domain_of_user: Option<Domain>) -> Option<Project> {
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

/// Reads a region's name, which becomes part of a host name.
pub(crate) fn region(section: &Reader<'_>, key: &str) -> Option<String> {
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
