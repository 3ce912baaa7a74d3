//! Settings: from files and environment to values that are ready for use.
//!
//! Each part of the program reads its own section (`credential::kinds`,
//! `service::settings`, `sink::kinds`, `timing`). This module composes them ([`sections`],
//! [`credentials`], [`services`], [`sinks`]), checks the rules between parts, and builds
//! the parts of the program from [`values`] ([`build`]). `config/default.toml` is the
//! manual: it lists every key.

mod address;
pub mod build;
mod credentials;
mod sections;
mod services;
mod sinks;
#[cfg(test)]
mod tests;
mod values;

use crate::diagnostic::Diagnostics;
use crate::tree::source::{Sources, layer};

pub use crate::settings::address::{DaemonAddress, address, service_names};
pub use crate::settings::values::{ApiSettings, Loaded, Settings};

/// The embedded defaults, with every key documented.
pub const DEFAULT: &str = include_str!("../../config/default.toml");

/// Reads and checks the settings.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(sources: &Sources) -> Result<Loaded, Diagnostics> {
    let layered = layer(DEFAULT, sources)?;
    let (settings, notes, also_read) = sections::read(&layered);
    let (diagnostics, warnings): (Vec<_>, Vec<_>) =
        notes.into_iter().partition(|note| !note.is_warning);
    match settings {
        Some(settings) if diagnostics.is_empty() => Ok(Loaded {
            settings,
            warnings,
            files: [layered.files(), also_read].concat(),
        }),
        _ => Err(Diagnostics(diagnostics)),
    }
}
