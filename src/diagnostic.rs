//! Something wrong in a configuration or a definition, in a form that leads to the place.

use std::fmt;

/// One thing that is wrong, or worth a warning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// The file, `the environment`, `the defaults`, or the name of a built-in definition.
    pub origin: String,
    /// The line in that file, from 1.
    pub line: Option<usize>,
    /// The key with its path, as `services.dcs.url`; empty for the file as a whole.
    pub key: String,
    /// What is wrong and what is allowed.
    pub message: String,
    /// True if the configuration can be used all the same.
    pub is_warning: bool,
}

impl Diagnostic {
    /// An error about `key`; about all of `origin` when `key` is empty.
    pub fn error(origin: &str, line: Option<usize>, key: &str, message: impl Into<String>) -> Self {
        Self {
            origin: origin.to_owned(),
            line,
            key: key.to_owned(),
            message: message.into(),
            is_warning: false,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Everything that is wrong with a configuration, at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        write!(f, "{count} {noun} in the settings")?;
        for problem in &self.0 {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
