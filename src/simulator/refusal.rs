//! The reasons why the simulator does not create a job or a resource.

/// The reason why a job or a resource was not created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    Invalid(String),
    Exists(String),
    Full(String),
}

impl Refusal {
    /// Returns the message, which names the wrong key.
    pub(super) fn message(self) -> String {
        match self {
            Self::Invalid(message) | Self::Exists(message) | Self::Full(message) => message,
        }
    }

    /// Returns the HTTP status of the refusal.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Invalid(_) => 400,
            Self::Exists(_) => 409,
            Self::Full(_) => 507,
        }
    }
}
