//! Removes the secrets of a request from its answer.
//!
//! Services repeat parts of a request: the API gateway names the access key that it does
//! not know. Our secrets are removed from an answer before any code reads it, so that the
//! readers need not consider them.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use memchr::memmem::Finder;

/// The text that stands in place of a secret.
const REDACTED: &str = "[REDACTED]";
/// The shortest secret that is searched for, in bytes. Shorter texts occur everywhere, and
/// protect nothing.
const SEARCHED_MIN: usize = 6;

/// The secrets that must not be shown. Its `Debug` prints only their number.
#[derive(Clone, Default)]
pub struct Redaction(Vec<Finder<'static>>);

impl Redaction {
    /// Searches for `secrets` as they are, as JSON writes them, and in base64.
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut spellings: Vec<String> = Vec::new();
        for secret in secrets.into_iter().filter(|it| it.len() >= SEARCHED_MIN) {
            let quoted = serde_json::Value::from(secret).to_string();
            let in_json = quoted.trim_matches('"').to_owned();
            spellings.extend([secret.to_owned(), in_json, BASE64_STANDARD.encode(secret)]);
        }
        // The longest first: one secret may begin another.
        spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
        spellings.dedup();
        let finder = |spelling: &String| Finder::new(spelling.as_bytes()).into_owned();
        Self(spellings.iter().map(finder).collect())
    }

    /// Adds the secrets of `other`.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.0.extend(other.0.iter().cloned());
        self
    }

    /// Returns a body without the secrets; one that has none is not copied.
    pub fn body(&self, body: Bytes) -> Bytes {
        self.0
            .iter()
            .fold(body, |body, finder| match replaced(finder, &body) {
                Cow::Borrowed(_) => body,
                Cow::Owned(without) => without.into(),
            })
    }

    /// Returns a text without the secrets.
    pub fn text(&self, text: &str) -> String {
        let without = self.body(Bytes::copy_from_slice(text.as_bytes()));
        String::from_utf8_lossy(&without).into_owned()
    }
}

impl std::fmt::Debug for Redaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redaction({} spellings)", self.0.len())
    }
}

fn replaced<'a>(finder: &Finder<'_>, text: &'a [u8]) -> Cow<'a, [u8]> {
    let mut places = finder.find_iter(text).peekable();
    if places.peek().is_none() {
        return Cow::Borrowed(text);
    }
    let mut without = Vec::with_capacity(text.len());
    let mut rest = 0;
    for place in places {
        without.extend_from_slice(&text[rest..place]);
        without.extend_from_slice(REDACTED.as_bytes());
        rest = place + finder.needle().len();
    }
    without.extend_from_slice(&text[rest..]);
    Cow::Owned(without)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_secret_is_redacted() {
        let redaction = Redaction::of(["pass\"word", "AKAKAK", "abc"]);
        assert_eq!(
            redaction.text(r#"ak AKAKAK not exist, pass"word, pass\"word, cGFzcyJ3b3Jk"#),
            "ak [REDACTED] not exist, [REDACTED], [REDACTED], [REDACTED]"
        );
        assert_eq!(
            redaction.text("abc stays, too short"),
            "abc stays, too short"
        );
    }

    #[test]
    fn an_answer_without_secrets_is_not_changed() {
        let body = Bytes::from_static(b"{\"status\":\"RUNNING\"}");
        let passed = Redaction::of(["canary"]).body(body.clone());
        assert_eq!(passed.as_ptr(), body.as_ptr());
    }

    #[test]
    fn a_redactor_does_not_print_its_secrets() {
        let redaction = Redaction::of(["canary"]);
        assert!(!format!("{redaction:?}").contains("canary"));
    }
}
