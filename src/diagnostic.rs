//! Faults in a configuration or a definition, each with the place where it stands.

use std::fmt;

/// The weight of a diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but this may be a mistake.
    Warning,
    /// It can be used, and this could not be checked here.
    Note,
}

/// One error, warning or note, with the file, line and key that it is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// The file, `the environment`, `the defaults`, or the name of a built-in definition.
    pub origin: String,
    /// The line in that file, from 1.
    pub line: Option<usize>,
    /// The key with its path, as `services.dcs.url`; empty for the file as a whole.
    pub key: String,
    /// The fault, and the values that are allowed.
    pub message: String,
    pub level: Level,
}

impl Diagnostic {
    /// Makes an error about `key`, or about all of `origin` if `key` is empty.
    pub fn error(origin: &str, line: Option<usize>, key: &str, message: impl Into<String>) -> Self {
        Self {
            origin: origin.to_owned(),
            line,
            key: key.to_owned(),
            message: message.into(),
            level: Level::Error,
        }
    }

    /// True if the configuration cannot be used.
    pub fn is_error(&self) -> bool {
        self.level == Level::Error
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

/// All diagnostics of a configuration, so that an operator can mend them in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let noun = if count == 1 {
            "diagnostic"
        } else {
            "diagnostics"
        };
        write!(f, "{count} {noun} in the settings")?;
        for diagnostic in &self.0 {
            write!(f, "\n  {diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
