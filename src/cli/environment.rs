//! The environment of a command, and its variables that no part of the program knows.

use std::collections::BTreeMap;

use crate::cli::Exit;
use crate::cli::complaint::complain;
use crate::settings::variables;

/// Returns the variables of the environment that are valid UTF-8.
pub(super) fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Checks the variables, for a command that reads no file of settings.
pub(super) fn check() -> Result<(), Exit> {
    let unknown = variables::unknown_without_files(&environment());
    if unknown.is_empty() {
        return Ok(());
    }
    for variable in &unknown {
        complain(&variable.message);
    }
    Err(Exit::Usage)
}
