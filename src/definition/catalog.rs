//! Where definitions are found: the built-in ones, and those of the user's own folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::definition::Definition;
use crate::definition::compile::compile;
use crate::diagnostic::Diagnostic;

/// Embeds `config/services/NAME.toml`.
macro_rules! built_in {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../config/services/", $name, ".toml")))),+]
    };
}

/// The definitions embedded in the binary, by name.
const BUILT_IN: [(&str, &str); 43] = built_in![
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
/// The most files read from one folder.
const FILES_MAX: usize = 1000;

/// All definitions, by name.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    by_name: BTreeMap<String, Arc<Definition>>,
    /// Names of files with an error.
    wrong: BTreeSet<String>,
    /// True if there may be files that were not found.
    is_incomplete: bool,
}

impl Catalog {
    /// The built-in definitions.
    ///
    /// # Panics
    /// Never in a binary that passed its tests: they compile every built-in.
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

    /// Adds every `*.toml` of `folder`; a name that is taken already is replaced, so that
    /// a built-in can be corrected without a release. Everything that is wrong is told.
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

    /// The definition of this name.
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

    /// All definitions, sorted by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.by_name.values()
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

/// Reads and compiles one definition file, named after the file.
///
/// # Errors
/// Everything that is wrong with it.
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
        let count = files.len();
        return Err(fail(format!(
            "{count} definitions; at most {FILES_MAX} are read"
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
            "{size} bytes; a definition has at most {FILE_BYTES_MAX}"
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
    fn every_built_in_compiles_under_its_own_name() {
        let catalog = Catalog::built_in();
        assert_eq!(catalog.names().count(), BUILT_IN.len());
        for definition in catalog.all() {
            assert!(!definition.title.is_empty() && !definition.docs.is_empty());
        }
    }

    #[test]
    fn a_folder_adds_and_replaces_and_tells_everything_that_is_wrong() {
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
            errors[1].message.contains("unknown field `state`"),
            "{}",
            errors[1]
        );
        assert!(catalog.get("mine").is_some());
        assert!(catalog.get("dcs").unwrap().title.starts_with("Ours: "));
    }
}
