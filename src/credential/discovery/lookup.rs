//! Asks [`Facts`] for the values that a credential needs, and collects those that are
//! missing, wrong, or not used.

use reqwest::Url;

use crate::credential::discovery::facts::{Fact, Facts};
use crate::credential::location;
use crate::outbound::is_local;
use crate::outbound::secret::Secret;

/// Facts that are being read, and the messages about them.
pub(super) struct Lookup<'a> {
    pub(super) facts: &'a Facts,
    region: Option<&'a str>,
    pub(super) diagnostics: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(facts: &'a Facts, region: Option<&'a str>) -> Self {
        Self {
            facts,
            region,
            diagnostics: facts.diagnostics().to_vec(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn report(&mut self, message: impl AsRef<str>) {
        let message = format!("{}: {}", self.facts.place, message.as_ref());
        if !self.diagnostics.contains(&message) {
            self.diagnostics.push(message);
        }
    }

    pub(super) fn warn(&mut self, message: impl AsRef<str>) {
        let message = format!("{}: {}", self.facts.place, message.as_ref());
        if !self.warnings.contains(&message) {
            self.warnings.push(message);
        }
    }

    pub(super) fn missing(&mut self, fact: Fact, why: &str) {
        let name = self.facts.name(fact);
        self.report(format!("`{name}` is missing: {why}"));
    }

    pub(super) fn need(&mut self, fact: Fact, why: &str) -> Option<String> {
        let found = self.facts.first(&[fact]);
        if found.is_none() {
            self.missing(fact, why);
        }
        found
    }

    pub(super) fn need_secret(&mut self, fact: Fact, why: &str) -> Option<Secret> {
        let found = self.facts.secret(fact);
        if found.is_none() {
            self.missing(fact, why);
        }
        found
    }

    pub(super) fn need_auth_url(&mut self, why: &str) -> Option<Url> {
        if !self.facts.has(Fact::AuthUrl) {
            self.missing(Fact::AuthUrl, why);
        }
        self.auth_url()
    }

    pub(super) fn auth_url(&mut self) -> Option<Url> {
        let text = self.facts.text(Fact::AuthUrl)?;
        let name = self.facts.name(Fact::AuthUrl);
        match location::auth_url(text, self.region) {
            Ok(url) => {
                if url.scheme() == "http" && !is_local(url.as_str()) {
                    self.warn(format!(
                        "the secret is sent unencrypted; use https:// in `{name}`"
                    ));
                }
                Some(url)
            }
            Err(message) => {
                self.report(format!("`{name}` {message}"));
                None
            }
        }
    }

    /// Warns about settings for TLS that are not used: certificates are always checked,
    /// against the system's authorities or those of `SSL_CERT_FILE`.
    pub(super) fn warn_about_transport(&mut self) {
        let unchecked = [
            (Fact::Verify, &["false", "no", "off"][..]),
            (Fact::Insecure, &["true", "yes", "on", "1"][..]),
        ];
        for (fact, words) in unchecked {
            let value = self.facts.text(fact).map(str::to_ascii_lowercase);
            if value.is_some_and(|value| words.contains(&value.as_str())) {
                let name = self.facts.name(fact);
                self.warn(format!("`{name}` is not used: certificates are always checked; name a bundle of other authorities in SSL_CERT_FILE"));
            }
        }
        if self.facts.has(Fact::CaBundle) {
            let name = self.facts.name(Fact::CaBundle);
            self.warn(format!(
                "`{name}` is not used; name the bundle in SSL_CERT_FILE"
            ));
        }
        for fact in [Fact::ClientCertificate, Fact::ClientKey] {
            if self.facts.has(fact) {
                let name = self.facts.name(fact);
                self.warn(format!("`{name}` is not used: client certificates are not supported, and SSL_CERT_FILE names authorities only"));
            }
        }
    }

    /// Warns that a token or temporary key expires: at Open Telekom Cloud a token after 24
    /// hours, a temporary key after 24 hours at most.
    pub(super) fn warn_about_end(&mut self, fact: Fact) {
        let name = self.facts.name(fact);
        self.warn(format!("`{name}` expires, often within 24 hours, and cannot be renewed; use a password or a permanent AK/SK"));
    }
}
