//! Reads the sources of settings, which the `config` crate layers.
//!
//! Each file is first parsed by `toml` alone, because its errors have line numbers and the
//! spans of its keys later give the line of a wrong value.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::{
    Config, ConfigError, Environment, File, FileFormat, Format, Map, Source, Value, ValueKind,
};
use toml::de::DeTable;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::tree::line::{line_at, line_of_key};

/// The prefix of the environment variables.
pub(crate) const PREFIX: &str = "JOBWATCH";
/// The separator between the parts of a key in the name of a variable.
pub(crate) const SEPARATOR: &str = "__";
/// The name that the `config` crate gives to the environment as an origin.
pub(crate) const ENVIRONMENT: &str = "the environment";
/// Our name for the embedded file as an origin.
pub(crate) const DEFAULTS: &str = "the defaults";
/// The largest file of settings, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The variable by which systemd names the folder with the secrets of a unit.
pub(crate) const UNIT_SECRETS: &str = "CREDENTIALS_DIRECTORY";

/// Says which secrets are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Secrets {
    /// All: a daemon starts, or services are asked.
    #[default]
    Needed,
    /// All but those under `${CREDENTIALS_DIRECTORY}` where that is not set: outside of the unit
    /// that has them, the settings are only looked at.
    OutsideUnit,
    /// None: they are not used.
    Unused,
}

/// The files and variables that settings are read from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The files, which must exist. Later files override earlier ones.
    pub files: Vec<PathBuf>,
    /// All environment variables; only those with our prefix are settings.
    pub environment: BTreeMap<String, String>,
    pub secrets: Secrets,
}

/// Settings from all sources, with the text of each file for finding lines.
pub(crate) struct Layered {
    pub(crate) root: Value,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) secrets: Secrets,
    texts: Vec<(PathBuf, String)>,
}

/// Reads all sources and layers them over the TOML text `defaults`.
pub(crate) fn layer(defaults: &str, sources: &Sources) -> Result<Layered, Diagnostics> {
    match layer_readable(defaults, sources) {
        (Some(layered), diagnostics) if diagnostics.is_empty() => Ok(layered),
        (_, diagnostics) => Err(Diagnostics(diagnostics)),
    }
}

/// Layers all sources that can be read, and says which cannot.
pub(crate) fn layer_readable(
    defaults: &str,
    sources: &Sources,
) -> (Option<Layered>, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let mut texts = Vec::new();
    for path in with_drop_ins(&sources.files, &mut diagnostics) {
        match read(&path) {
            Ok(text) => texts.push((path, text)),
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
    }
    match build(defaults, &texts, &sources.environment) {
        Ok(root) => {
            let layered = Layered {
                root,
                environment: sources.environment.clone(),
                secrets: sources.secrets,
                texts,
            };
            (Some(layered), diagnostics)
        }
        Err(error) => {
            let message = error.to_string();
            diagnostics.push(whole_file("the configuration", None, message));
            (None, diagnostics)
        }
    }
}

fn build(
    defaults: &str,
    texts: &[(PathBuf, String)],
    environment: &BTreeMap<String, String>,
) -> Result<Value, ConfigError> {
    let mut builder = Config::builder().add_source(File::from_str(defaults, FileFormat::Toml));
    for (path, text) in texts {
        let origin = path.display().to_string();
        let text = text.clone();
        builder = builder.add_source(TomlText { origin, text });
    }
    // Values are kept as text: parsing them would turn the secret 00042 into 42.
    let variables = Environment::with_prefix(PREFIX)
        .prefix_separator(SEPARATOR)
        .separator(SEPARATOR)
        .source(Some(environment.clone().into_iter().collect()));
    Ok(builder.add_source(variables).build()?.cache)
}

/// Returns a file as a source under the name that the user gave it; `config::File` would
/// make the path relative to the working directory, and read the file a second time.
#[derive(Debug, Clone)]
struct TomlText {
    origin: String,
    text: String,
}

impl Source for TomlText {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        FileFormat::Toml
            .parse(Some(&self.origin), &self.text)
            .map_err(ConfigError::Foreign)
    }
}

/// Returns the folder whose `*.toml` are read after `file`.
pub(crate) fn drop_ins_of(file: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join("conf.d")
}

/// Returns each file, followed by the `conf.d/*.toml` beside it.
fn with_drop_ins(files: &[PathBuf], diagnostics: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for file in files {
        all.push(file.clone());
        let folder = drop_ins_of(file);
        let Ok(entries) = std::fs::read_dir(&folder) else {
            if folder.exists() {
                let origin = folder.display().to_string();
                diagnostics.push(whole_file(&origin, None, "the folder cannot be listed"));
            }
            continue;
        };
        let mut drop_ins: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "toml")
            })
            .collect();
        drop_ins.sort();
        all.extend(drop_ins);
    }
    // Two files of one folder share its drop-ins.
    let mut seen = std::collections::HashSet::new();
    all.retain(|path| seen.insert(path.clone()));
    all
}

fn read(path: &Path) -> Result<String, Diagnostic> {
    let origin = path.display().to_string();
    let unreadable =
        |error: std::io::Error| whole_file(&origin, None, format!("cannot be read: {error}"));
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        let message = format!("the file has {size} bytes; at most {FILE_BYTES_MAX} are read");
        return Err(whole_file(&origin, None, message));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    match DeTable::parse(&text) {
        Ok(_) => Ok(text),
        Err(error) => {
            let line = error.span().map(|span| line_at(&text, span.start));
            let message = format!("not TOML: {}", error.message().trim());
            Err(whole_file(&origin, line, message))
        }
    }
}

fn whole_file(origin: &str, line: Option<usize>, message: impl Into<String>) -> Diagnostic {
    Diagnostic::error(origin, line, "", message)
}

impl Layered {
    /// Returns the files that were read, in order.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.texts.iter().map(|(path, _)| path.clone()).collect()
    }

    /// Returns the line of `path` in the file `origin`.
    pub(crate) fn line(&self, origin: &str, path: &[String]) -> Option<usize> {
        let text = self
            .texts
            .iter()
            .find(|(file, _)| file.display().to_string() == origin)
            .map(|(_, text)| text)?;
        line_of_key(text, path)
    }
}

/// Returns the name of the source of `value`. A layered table has no origin of its own, so that
/// of its first value is used.
pub(crate) fn origin_of(value: &Value) -> String {
    found_origin(value).unwrap_or(DEFAULTS).to_owned()
}

fn found_origin(value: &Value) -> Option<&str> {
    value.origin().or_else(|| match &value.kind {
        ValueKind::Table(table) => table.values().find_map(found_origin),
        ValueKind::Array(elements) => elements.iter().find_map(found_origin),
        _ => None,
    })
}
