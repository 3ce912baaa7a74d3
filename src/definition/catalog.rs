//! The catalog: the built-in definitions, and those in the folder of the user.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::definition::Definition;
use crate::definition::compile::compile;
use crate::diagnostic::Diagnostic;

/// Embeds `config/services/NAME.toml` for each name.
macro_rules! built_in {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../config/services/", $name, ".toml")))),+]
    };
}

/// The definitions embedded in the binary, by name.
const BUILT_IN: [(&str, &str); 45] = built_in![
    "apig",
    "argocd-app",
    "azure-async",
    "azure-location",
    "bms",
    "cbr",
    "cce",
    "cce-v2",
    "cdm",
    "cinder-volume",
    "databricks-run",
    "dcs",
    "dcs-tasks",
    "ddm",
    "dds",
    "dli",
    "dms",
    "drs",
    "dws",
    "ecs",
    "eip",
    "elb",
    "evs",
    "gaussdb",
    "geip",
    "geminidb",
    "github-job",
    "github-run",
    "gitlab-pipeline",
    "google-lro",
    "heat-stack",
    "ims",
    "jenkins-build",
    "jenkins-queue",
    "kubernetes-job",
    "mrs",
    "nova-server",
    "octavia-lb",
    "rds",
    "sdrs",
    "sfs-turbo",
    "swr",
    "taurusdb",
    "vbs",
    "workspace",
];

/// The largest definition file, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// The most definition files in one folder.
const FILES_MAX: usize = 1000;

/// All definitions by name, built-in ones and those of the user.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    by_name: BTreeMap<String, Arc<Definition>>,
    /// Names of files with an error.
    wrong: BTreeSet<String>,
    /// True if there may be files that were not found.
    is_incomplete: bool,
}

impl Catalog {
    /// Returns a catalog of the built-in definitions.
    ///
    /// # Panics
    /// Never in a binary that passed its tests: they compile every built-in definition.
    pub fn built_in() -> Self {
        let by_name = BUILT_IN
            .into_iter()
            .map(|(name, text)| {
                let definition = compile(name, name, text)
                    .expect("every built-in definition is compiled by a test");
                (name.to_owned(), Arc::new(definition))
            })
            .collect();
        Self {
            by_name,
            ..Self::default()
        }
    }

    /// Adds every `*.toml` of `folder`. A definition replaces one of the same name, so that a
    /// built-in one can be corrected without a release. Returns the errors and warnings of all
    /// files.
    pub fn add_folder(&mut self, folder: &Path) -> Vec<Diagnostic> {
        let files = match list(folder) {
            Ok(files) => files,
            Err(error) => {
                self.is_incomplete = true;
                return vec![error];
            }
        };
        let mut errors = Vec::new();
        for path in &files {
            match load_file(path) {
                Ok(definition) => {
                    let name = definition.name.clone();
                    errors.extend(definition.warnings.iter().cloned());
                    self.by_name.insert(name, Arc::new(definition));
                }
                Err(wrong) => {
                    errors.extend(wrong);
                    // A built-in of this name is not the one that is meant.
                    let name = name_of(path);
                    self.by_name.remove(&name);
                    self.wrong.insert(name);
                }
            }
        }
        errors
    }

    /// Returns the definition with this name; `None` if there is none.
    pub fn get(&self, name: &str) -> Option<&Arc<Definition>> {
        self.by_name.get(name)
    }

    /// True if the definition of this name is absent because of an error that
    /// [`add_folder`](Self::add_folder) returned.
    pub fn is_wrong(&self, name: &str) -> bool {
        self.wrong.contains(name) || (self.is_incomplete && !self.by_name.contains_key(name))
    }

    /// Notes that a folder of definitions could not be found.
    pub(crate) fn is_missing_a_folder(&mut self) {
        self.is_incomplete = true;
    }

    /// Returns all definitions, sorted by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.by_name.values()
    }

    /// Returns the names of all definitions, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

/// Reads and compiles one definition file. The name of the definition is that of the file.
///
/// # Errors
/// Returns every error of the file.
pub fn load_file(path: &Path) -> Result<Definition, Vec<Diagnostic>> {
    let name = name_of(path);
    let text = read(path).map_err(|error| vec![error])?;
    compile(&name, &path.display().to_string(), &text)
}

fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

fn list(folder: &Path) -> Result<Vec<std::path::PathBuf>, Diagnostic> {
    let origin = folder.display().to_string();
    let fail = |message: String| Diagnostic::error(&origin, None, "", message);
    let unreadable = |error: std::io::Error| fail(format!("cannot list the folder: {error}"));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    if files.len() > FILES_MAX {
        return Err(fail(format!(
            "has {} definitions; at most {FILES_MAX} are allowed",
            files.len()
        )));
    }
    Ok(files)
}

fn read(path: &Path) -> Result<String, Diagnostic> {
    let origin = path.display().to_string();
    let fail = |message: String| Diagnostic::error(&origin, None, "", message);
    let size = std::fs::metadata(path)
        .map_err(|error| fail(format!("cannot be read: {error}")))?
        .len();
    if size > FILE_BYTES_MAX {
        return Err(fail(format!(
            "has {size} bytes; at most {FILE_BYTES_MAX} are allowed"
        )));
    }
    if !path.is_file() {
        return Err(fail("is not a file".to_owned()));
    }
    std::fs::read_to_string(path).map_err(|error| fail(format!("cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_definition_compiles() {
        let catalog = Catalog::built_in();
        assert_eq!(catalog.names().count(), BUILT_IN.len());
        for definition in catalog.all() {
            assert!(!definition.title.is_empty() && !definition.docs.is_empty());
        }
    }

    #[test]
    fn folder_adds_and_replaces_and_reports_every_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut catalog = Catalog::built_in();
        let dcs = catalog.get("dcs").unwrap().text.clone();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        write("mine.toml", &dcs);
        write("dcs.toml", &dcs.replace("Distributed", "Ours: Distributed"));
        write("broken.toml", "title = 1\n");
        write("typo.toml", &dcs.replace("[states]", "[state]"));
        write("README.md", "not a definition");
        let errors = catalog.add_folder(folder.path());
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[1].to_string().contains("typo.toml"));
        assert!(
            errors[1].message.contains("unknown setting `state`"),
            "{}",
            errors[1]
        );
        assert!(catalog.get("mine").is_some());
        assert!(catalog.get("dcs").unwrap().title.starts_with("Ours: "));
    }
}
