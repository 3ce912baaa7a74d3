//! The facts that one source has about an account, under common names: `auth.password` of a
//! `clouds.yaml` and `OS_PASSWORD` of the environment are the same fact here.

use std::collections::BTreeMap;

use secrecy::SecretString;

use crate::outbound::secret::{SECRET_BYTES_MAX, Secret};

/// A property of an account that a source can have.
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
    /// The facts that an account can authenticate with.
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

    /// The facts of an account that uses the rights of an agency.
    pub(super) const AGENCY: [Self; 4] = [
        Self::AgencyName,
        Self::AgencyDomainName,
        Self::AgencyDomainId,
        Self::AgencyProject,
    ];

    /// True if the value alone can be enough to act as the account.
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

/// The names that a source has for facts. Of several names for one fact the first is the
/// usual one.
pub(super) type Words = [(Fact, &'static str)];

/// The facts of one source. Not for printing: it holds secrets.
pub(super) struct Facts {
    /// The name of the source, for messages.
    pub(super) place: String,
    words: &'static Words,
    values: BTreeMap<Fact, Value>,
    diagnostics: Vec<String>,
}

struct Value {
    /// The name under which the source has it.
    name: String,
    text: String,
}

impl Facts {
    pub(super) fn new(place: String, words: &'static Words) -> Self {
        Self {
            place,
            words,
            values: BTreeMap::new(),
            diagnostics: Vec::new(),
        }
    }

    /// Returns the facts that `environment` has under these names.
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

    /// Records a value, unless there is one already. An empty one is ignored, as by the
    /// tools that share these sources.
    pub(super) fn add(&mut self, fact: Fact, name: &str, text: &str) {
        if text.is_empty() || self.values.contains_key(&fact) {
            return;
        }
        if let Err(reason) = checked(text) {
            self.diagnostics
                .push(format!("{}: `{name}` {reason}", self.place));
        }
        let name = name.to_owned();
        let text = text.to_owned();
        self.values.insert(fact, Value { name, text });
    }

    pub(super) fn has(&self, fact: Fact) -> bool {
        self.values.contains_key(&fact)
    }

    pub(super) fn text(&self, fact: Fact) -> Option<&str> {
        self.values.get(&fact).map(|value| value.text.as_str())
    }

    pub(super) fn secret(&self, fact: Fact) -> Option<Secret> {
        self.text(fact)
            .map(|text| Secret::Text(SecretString::from(text)))
    }

    /// Returns the first of these facts that the source has.
    pub(super) fn first(&self, facts: &[Fact]) -> Option<String> {
        facts
            .iter()
            .find_map(|fact| self.text(*fact))
            .map(str::to_owned)
    }

    /// Returns the name under which the source has the fact, or the usual name.
    pub(super) fn name(&self, fact: Fact) -> &str {
        let usual = || {
            let found = self.words.iter().find(|(known, _)| *known == fact);
            found.map_or("", |(_, name)| name)
        };
        self.values
            .get(&fact)
            .map_or_else(usual, |value| value.name.as_str())
    }

    /// Returns the errors in the values themselves.
    pub(super) fn diagnostics(&self) -> &[String] {
        &self.diagnostics
    }
}

/// Rejects a text that cannot be a value here: names and secrets of these services have no
/// control characters, and no header may have them.
fn checked(text: &str) -> Result<(), &'static str> {
    if text.len() > SECRET_BYTES_MAX {
        return Err("is longer than any value (16,384 bytes)");
    }
    if text.chars().any(char::is_control) {
        return Err("has a line break or another control character");
    }
    Ok(())
}
