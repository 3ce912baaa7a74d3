//! Settings: from files and environment to values that are ready for use.
//!
//! Each part of the program reads its own section (`credential::kinds`,
//! `service::settings`, `sink::kinds`, `timing`). This module composes them ([`sections`],
//! [`credentials`], [`services`], [`sinks`]), checks the rules between parts, and builds
//! the parts of the program from [`values`] ([`build`]). [`effective`] shows the values with
//! their origins, and [`variables`] lists the variables of the environment. `config/default.toml` is the
//! manual: it lists every key.

mod address;
mod api;
pub mod build;
mod credentials;
pub mod effective;
mod hints;
mod sections;
mod services;
mod sinks;
mod store;
#[cfg(test)]
mod tests;
mod values;
pub mod variables;

use crate::diagnostic::{Diagnostic, Diagnostics, Level};
use crate::tree::reader::{Context, Reader};
use crate::tree::source::{Sources, layer};

pub use crate::settings::address::{DaemonAddress, address, service_names};
pub use crate::settings::values::{
    ApiSettings, Database, Loaded, RetentionSettings, Settings, StoreSettings,
};

/// The embedded defaults, with every key documented.
pub const DEFAULT: &str = include_str!("../../config/default.toml");

/// Reads and checks the settings.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(sources: &Sources) -> Result<Loaded, Diagnostics> {
    let layered = layer(DEFAULT, sources)?;
    let (settings, traces) = sections::read(&layered);
    let mut found = traces.notes;
    found.extend(variables::unknown(&sources.environment));
    let (errors, others): (Vec<_>, Vec<_>) = found.into_iter().partition(Diagnostic::is_error);
    let (warnings, notes) = others
        .into_iter()
        .partition(|it| it.level == Level::Warning);
    match settings {
        Some(settings) if errors.is_empty() => Ok(Loaded {
            settings,
            warnings,
            notes,
            files: [layered.files(), traces.files].concat(),
        }),
        _ => Err(Diagnostics(errors)),
    }
}

/// Reads the settings of the store alone, for commands that need no other setting and no other
/// secret.
///
/// # Errors
/// A file cannot be read, `[store]` is wrong, or a variable is unknown.
pub fn load_store(sources: &Sources) -> Result<StoreSettings, Diagnostics> {
    load_part(sources, store::store)
}

/// Reads the settings that say which watches are old, without any secret.
///
/// # Errors
/// A file or a definition cannot be read, `[store]` or a poll setting is wrong, or a variable is
/// unknown.
pub fn load_retention(sources: &Sources) -> Result<RetentionSettings, Diagnostics> {
    load_part(sources, sections::retention)
}

fn load_part<T>(
    sources: &Sources,
    read: impl FnOnce(&Reader<'_>) -> Option<T>,
) -> Result<T, Diagnostics> {
    let layered = layer(DEFAULT, sources)?;
    let context = Context::new(&layered);
    let part = read(&context.root());
    let mut errors = context.into_traces().notes;
    errors.extend(variables::unknown(&sources.environment));
    errors.retain(Diagnostic::is_error);
    part.filter(|_| errors.is_empty())
        .ok_or(Diagnostics(errors))
}
