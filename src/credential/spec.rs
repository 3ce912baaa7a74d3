//! What a credential is to be: the outcome of settings, `clouds.yaml` or the environment,
//! from which a credential is built.

use http::HeaderName;
use reqwest::Url;

use crate::outbound::secret::Secret;

/// How a credential proves who asks.
#[derive(Debug, Clone)]
pub enum CredentialSpec {
    /// Not at all.
    None,
    /// A secret in a header.
    Header(Header),
    /// A token issued by an identity service (Keystone v3).
    Keystone(Keystone),
    /// An access key that signs.
    Keys(Keys),
    /// The rights of an agency in another account.
    Agency(Agency),
    /// The temporary key of the server we run on.
    Metadata(Metadata),
}

impl CredentialSpec {
    /// The word for its kind in the configuration.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Header(header) => header.kind,
            Self::Keystone(Keystone {
                identity: Identity::Token { .. },
                ..
            }) => "keystone-token",
            Self::Keystone(_) => "keystone",
            Self::Keys(_) => "aksk",
            Self::Agency(_) => "agency",
            Self::Metadata(_) => "metadata",
        }
    }

    /// The identity service it asks, if it asks one.
    pub fn auth_url(&self) -> Option<&Url> {
        match self {
            Self::Keystone(spec) => Some(&spec.auth_url),
            Self::Agency(spec) => Some(&spec.auth_url),
            Self::Keys(spec) => spec.auth_url.as_ref(),
            Self::None | Self::Header(_) | Self::Metadata(_) => None,
        }
    }

    /// Whether it can tell the URLs of services.
    pub fn has_catalog(&self) -> bool {
        self.auth_url().is_some()
    }

    /// The name of the project it is good for, where it is known by name.
    pub fn project_name(&self) -> Option<&str> {
        let project = match self {
            Self::Keystone(Keystone {
                scope: ScopeWanted::Project(project),
                ..
            }) => project,
            Self::Agency(spec) => spec.project.as_ref()?,
            Self::Keys(spec) => return spec.project.as_deref(),
            _ => return None,
        };
        match project {
            Project::Name(name, _) => Some(name),
            Project::Id(_) => None,
        }
    }
}

/// A secret in a header.
#[derive(Debug, Clone)]
pub struct Header {
    /// The word in the configuration: `token`, `bearer`, `basic`, `header`.
    pub kind: &'static str,
    /// The header.
    pub name: HeaderName,
    /// How the secret is written into it.
    pub form: HeaderForm,
    /// The secret.
    pub secret: Secret,
}

/// How a secret is written into a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderForm {
    /// This prefix, then the secret.
    Prefixed(String),
    /// HTTP Basic (RFC 7617) with this user name.
    Basic(String),
}

/// A token of an identity service.
#[derive(Debug, Clone)]
pub struct Keystone {
    /// The identity service, up to and including `/v3`, without a final `/`.
    pub auth_url: Url,
    /// Who logs in, and how.
    pub identity: Identity,
    /// What the token is to be good for.
    pub scope: ScopeWanted,
}

/// Who logs in, and how.
#[derive(Debug, Clone)]
pub enum Identity {
    /// A user with a password, and perhaps a second factor.
    Password {
        /// The user.
        user: User,
        /// The password.
        password: Secret,
        /// The seed of the second factor (RFC 6238), in base32.
        totp: Option<Secret>,
    },
    /// Whoever holds this token.
    Token {
        /// The token.
        token: Secret,
    },
    /// An application credential, which brings its own scope.
    Application {
        /// Its id.
        id: String,
        /// Its secret.
        secret: Secret,
    },
}

/// A user of an identity service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    /// By id.
    Id(String),
    /// By name, which is unique within its domain.
    Name(String, Domain),
}

/// A domain: an account of the cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Domain {
    /// By id.
    Id(String),
    /// By name.
    Name(String),
}

/// A project within a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Project {
    /// By id.
    Id(String),
    /// By name, within a domain; without one, within the domain of whoever asks.
    Name(String, Option<Domain>),
}

/// What a token is to be good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScopeWanted {
    /// A project, as the services that we watch ask for.
    Project(Project),
    /// A domain.
    Domain(Domain),
    /// Whatever the identity gives by itself.
    Default,
}

/// An access key that signs requests.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The access key (AK).
    pub access_key: Secret,
    /// The secret key (SK).
    pub secret_key: Secret,
    /// What makes a temporary key complete.
    pub security_token: Option<Secret>,
    /// The project, if it is known by id.
    pub project_id: Option<String>,
    /// The domain, if it is known by id.
    pub domain_id: Option<String>,
    /// The project, if its id is to be asked for by name.
    pub project: Option<String>,
    /// The identity service, up to and including `/v3`; asked for the project's id and for
    /// the catalog.
    pub auth_url: Option<Url>,
}

/// The rights of an agency, taken on by another credential.
#[derive(Debug, Clone)]
pub struct Agency {
    /// Who takes them on.
    pub source: AgencySource,
    /// The identity service, up to and including `/v3`.
    pub auth_url: Url,
    /// The agency's name.
    pub agency: String,
    /// The account that made the agency.
    pub account: Domain,
    /// The project in that account.
    pub project: Option<Project>,
}

/// Who takes on the rights of an agency.
#[derive(Debug, Clone)]
pub enum AgencySource {
    /// The credential of this name in the configuration.
    Named(String),
    /// One of its own.
    Own(Box<CredentialSpec>),
}

/// The temporary key of the server we run on.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// The metadata service: scheme, host and port.
    pub url: Url,
    /// The project, if it is known by id.
    pub project_id: Option<String>,
    /// The domain, if it is known by id.
    pub domain_id: Option<String>,
}
