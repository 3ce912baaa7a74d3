//! What one source says of an account, under one vocabulary: `auth.password` of a
//! `clouds.yaml` and `OS_PASSWORD` of the environment are the same thing here.

use std::collections::BTreeMap;

use secrecy::SecretString;

use crate::outbound::secret::{SECRET_BYTES_MAX, Secret};

/// What can be said of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fact {
    AuthUrl,
    AuthType,
    Username,
    UserId,
    Password,
    TotpSeed,
    Passcode,
    Token,
    AccessKey,
    SecretKey,
    SecurityToken,
    ApplicationId,
    ApplicationSecret,
    ProjectName,
    ProjectId,
    DomainName,
    DomainId,
    UserDomainName,
    UserDomainId,
    ProjectDomainName,
    ProjectDomainId,
    DefaultDomainName,
    DefaultDomainId,
    AgencyName,
    AgencyDomainName,
    AgencyDomainId,
    AgencyProject,
    Region,
    Profile,
    Verify,
    Insecure,
    CaBundle,
    ClientCertificate,
    ClientKey,
}

impl Fact {
    /// By what an account could prove itself.
    pub(super) const METHODS: [Self; 8] = [
        Self::Token,
        Self::AccessKey,
        Self::SecretKey,
        Self::ApplicationId,
        Self::ApplicationSecret,
        Self::Password,
        Self::Username,
        Self::UserId,
    ];

    /// What shows that the rights of an agency are wanted.
    pub(super) const AGENCY: [Self; 4] = [
        Self::AgencyName,
        Self::AgencyDomainName,
        Self::AgencyDomainId,
        Self::AgencyProject,
    ];

    /// Whether whoever knows it can act as the account.
    pub(super) fn is_secret(self) -> bool {
        matches!(
            self,
            Self::Password
                | Self::TotpSeed
                | Self::Passcode
                | Self::Token
                | Self::SecretKey
                | Self::SecurityToken
                | Self::ApplicationSecret
        )
    }
}

/// How a source calls things. Of several names for one thing the first is the usual one.
pub(super) type Words = [(Fact, &'static str)];

/// What one source says. Not for printing: it holds secrets.
pub(super) struct Facts {
    /// Where it is said, for messages.
    pub(super) place: String,
    words: &'static Words,
    said: BTreeMap<Fact, Said>,
    diagnostics: Vec<String>,
}

struct Said {
    /// The name under which it is said.
    name: String,
    text: String,
}

impl Facts {
    pub(super) fn new(place: String, words: &'static Words) -> Self {
        Self {
            place,
            words,
            said: BTreeMap::new(),
            diagnostics: Vec::new(),
        }
    }

    /// What `environment` says in these words.
    pub(super) fn of_environment(
        words: &'static Words,
        environment: &BTreeMap<String, String>,
    ) -> Self {
        let mut facts = Self::new("the environment".to_owned(), words);
        for (fact, name) in words {
            if let Some(text) = environment.get(*name) {
                facts.add(*fact, name, text);
            }
        }
        facts
    }

    /// Takes note of a value, unless there is one already. An empty one says nothing, as
    /// for the tools that share these sources.
    pub(super) fn add(&mut self, fact: Fact, name: &str, text: &str) {
        if text.is_empty() || self.said.contains_key(&fact) {
            return;
        }
        if let Err(problem) = checked(text) {
            self.diagnostics
                .push(format!("{}: `{name}` {problem}", self.place));
        }
        let name = name.to_owned();
        let text = text.to_owned();
        self.said.insert(fact, Said { name, text });
    }

    pub(super) fn has(&self, fact: Fact) -> bool {
        self.said.contains_key(&fact)
    }

    pub(super) fn text(&self, fact: Fact) -> Option<&str> {
        self.said.get(&fact).map(|said| said.text.as_str())
    }

    pub(super) fn secret(&self, fact: Fact) -> Option<Secret> {
        self.text(fact)
            .map(|text| Secret::Text(SecretString::from(text)))
    }

    /// The first of these that is there.
    pub(super) fn first(&self, facts: &[Fact]) -> Option<String> {
        facts
            .iter()
            .find_map(|fact| self.text(*fact))
            .map(str::to_owned)
    }

    /// The name under which it is said, or would be.
    pub(super) fn name(&self, fact: Fact) -> &str {
        let usual = || {
            let found = self.words.iter().find(|(known, _)| *known == fact);
            found.map_or("", |(_, name)| name)
        };
        self.said
            .get(&fact)
            .map_or_else(usual, |said| said.name.as_str())
    }

    /// What is wrong with values in themselves.
    pub(super) fn diagnostics(&self) -> &[String] {
        &self.diagnostics
    }
}

/// What is told of a text that can be no value of ours: no name and no secret of these
/// services has control characters, and no header may carry them.
fn checked(text: &str) -> Result<(), &'static str> {
    if text.len() > SECRET_BYTES_MAX {
        return Err("is longer than any value (16,384 bytes)");
    }
    if text.chars().any(char::is_control) {
        return Err("has a line break or another control character");
    }
    Ok(())
}
