//! The options that select the configuration.

#[cfg(test)]
use std::path::Path;
use std::path::PathBuf;

use clap::Args;

use crate::cli::Exit;
use crate::cli::complaint::complain_settings;
use crate::cli::environment::environment;
use crate::diagnostic::Diagnostics;
use crate::settings;
use crate::settings::{Loaded, RetentionSettings, StoreSettings};
use crate::tree::source::{Secrets, Sources};

/// The file that is read if it exists and no other is named.
const DEFAULT: &str = "/etc/jobwatch/jobwatch.toml";
/// The variable that names the file where no `--config` is given.
const VARIABLE: &str = "JOBWATCH_CONFIG";

/// The options that select the configuration.
#[derive(Args, Debug, Clone, Default)]
pub(super) struct ConfigArgs {
    /// A configuration file; may be repeated, later files override earlier ones [env:
    /// `JOBWATCH_CONFIG`] [default: /etc/jobwatch/jobwatch.toml, if it exists]
    #[arg(long = "config", short = 'c', value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// The files to read, and the reason.
pub(super) struct Chosen {
    pub(super) files: Vec<PathBuf>,
    pub(super) why: &'static str,
}

impl ConfigArgs {
    #[cfg(test)]
    pub(super) fn of(file: Option<&Path>) -> Self {
        let files = file.map(Path::to_owned).into_iter().collect();
        Self { files }
    }

    /// True if the user names a file.
    pub(super) fn is_named(&self) -> bool {
        !self.files.is_empty() || variable().is_some()
    }

    /// Returns the files that the settings are to be read from. The default file is among them
    /// also if it does not exist.
    pub(super) fn chosen(&self) -> Chosen {
        if !self.files.is_empty() {
            let files = self.files.clone();
            let why = "--config";
            return Chosen { files, why };
        }
        match variable() {
            Some(file) => Chosen {
                files: vec![file],
                why: VARIABLE,
            },
            None => Chosen {
                files: vec![PathBuf::from(DEFAULT)],
                why: "the default",
            },
        }
    }

    /// Returns the files and the environment that settings are read from.
    pub(super) fn sources(&self, secrets: Secrets) -> Sources {
        let mut files = self.chosen().files;
        if !self.is_named() {
            files.retain(|file| file.exists());
        }
        Sources {
            files,
            environment: environment(),
            secrets,
        }
    }

    /// Loads the settings with their secrets.
    pub(super) fn load(&self) -> Result<Loaded, Diagnostics> {
        settings::load(&self.sources(Secrets::Needed))
    }

    /// Loads the settings; reports everything that is wrong in them.
    pub(super) fn load_or_complain(&self) -> Result<Loaded, Exit> {
        self.load().map_err(|diagnostics| complained(&diagnostics))
    }

    /// Loads the settings for a command that uses no secret: the files with secrets need not be
    /// readable.
    pub(super) fn load_without_secrets(&self) -> Result<Loaded, Exit> {
        let loaded = settings::load(&self.sources(Secrets::Unused));
        loaded.map_err(|diagnostics| complained(&diagnostics))
    }

    /// Loads the settings of the store alone, with its secrets.
    pub(super) fn load_store(&self) -> Result<StoreSettings, Exit> {
        let store = settings::load_store(&self.sources(Secrets::Needed));
        store.map_err(|diagnostics| complained(&diagnostics))
    }

    /// Reads the settings that say which watches are old, and prints a problem with them.
    pub(super) fn load_retention(&self) -> Result<RetentionSettings, Exit> {
        let retention = settings::load_retention(&self.sources(Secrets::Unused));
        retention.map_err(|diagnostics| complained(&diagnostics))
    }
}

fn variable() -> Option<PathBuf> {
    let file = std::env::var_os(VARIABLE).filter(|file| !file.is_empty());
    file.map(PathBuf::from)
}

fn complained(diagnostics: &Diagnostics) -> Exit {
    complain_settings(diagnostics);
    Exit::Usage
}
