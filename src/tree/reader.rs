//! Reads values from the layered settings and collects all diagnostics.
//!
//! Each part of the program asks for its keys by name and type. A key that no part asked for
//! is unknown, and is reported with the most similar known key of its table.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use config::{Value, ValueKind};

use crate::clock::parse_duration_from;
use crate::diagnostic::{Diagnostic, Level};
use crate::size::{parse_size, show_size};
use crate::suggest;
use crate::tree::source::{ENVIRONMENT, Layered, Secrets, origin_of};

/// The largest number of names that an error lists. Of more names, only the most similar one
/// helps.
const LISTED_MAX: usize = 20;

/// The way in which a part of the program has read a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    Value,
    /// A number or a flag, which the environment has as text.
    Bare,
    /// A list, which the environment has with commas.
    List,
    /// A program with arguments, which may hold a secret.
    Command,
    /// A table, or a list of tables, whose keys are read one by one.
    Section,
    /// A URL whose path may be a secret.
    Link,
    /// A value that must not be shown.
    Secret,
}

/// Everything that a load leaves behind beside the values.
pub(crate) struct Traces {
    pub(crate) notes: Vec<Diagnostic>,
    /// The files of other tools that were read.
    pub(crate) files: Vec<PathBuf>,
    /// Every key that a part asked for, with the way in which it was read.
    pub(crate) read: BTreeMap<Vec<String>, Read>,
}

/// The data that all readers of one load share.
pub(crate) struct Context<'a> {
    layered: &'a Layered,
    notes: RefCell<Vec<Diagnostic>>,
    files: RefCell<Vec<PathBuf>>,
    pub(super) read: RefCell<BTreeMap<Vec<String>, Read>>,
    /// Every key that a part asked for, with `*` for the names of entries. The manual must
    /// describe each of them.
    #[cfg(test)]
    asked: RefCell<BTreeSet<String>>,
}

/// Reads one table and remembers the keys that were asked for.
pub(crate) struct Reader<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) value: Option<&'a Value>,
    pub(super) path: Vec<String>,
    /// The path in the form of the manual.
    pub(super) shown: Vec<String>,
    pub(super) known: RefCell<BTreeSet<String>>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(layered: &'a Layered) -> Self {
        Self {
            layered,
            notes: RefCell::default(),
            files: RefCell::default(),
            read: RefCell::default(),
            #[cfg(test)]
            asked: RefCell::default(),
        }
    }

    pub(crate) fn root(&'a self) -> Reader<'a> {
        Reader {
            context: self,
            value: Some(&self.layered.root),
            path: Vec::new(),
            shown: Vec::new(),
            known: RefCell::default(),
        }
    }

    pub(crate) fn into_traces(self) -> Traces {
        Traces {
            notes: self.notes.into_inner(),
            files: self.files.into_inner(),
            read: self.read.into_inner(),
        }
    }

    #[cfg(test)]
    pub(crate) fn asked(&self) -> BTreeSet<String> {
        self.asked.borrow().clone()
    }
}

impl<'a> Reader<'a> {
    /// Notes files of other tools that were read.
    pub(crate) fn was_read(&self, files: Vec<PathBuf>) {
        self.context.files.borrow_mut().extend(files);
    }

    /// Returns the secrets that the settings are read for.
    pub(crate) fn secrets(&self) -> Secrets {
        self.context.layered.secrets
    }

    /// Returns the environment, which may contain settings of other tools.
    pub(crate) fn environment(&self) -> &'a BTreeMap<String, String> {
        &self.context.layered.environment
    }

    /// Returns the text of `key` as it is written, and reports nothing.
    pub(crate) fn written(&self, key: &str) -> Option<String> {
        self.peek(key).and_then(text_of)
    }

    /// True if `key` is set, to a valid value or not.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.peek(key).is_some()
    }

    /// True if one of `keys` is set, to a valid value or not.
    pub(crate) fn has_any(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.has(key))
    }

    /// True if an error was reported about `key` or something in it; about this table or
    /// anything in it if `key` is empty.
    pub(crate) fn has_error(&self, key: &str) -> bool {
        let notes = self.context.notes.borrow();
        let path = self.path_of(key).join(".");
        let is_within = |key: &str| {
            let rest = key.strip_prefix(&path);
            rest.is_some_and(|rest| path.is_empty() || rest.is_empty() || rest.starts_with('.'))
        };
        notes
            .iter()
            .any(|note| note.is_error() && is_within(&note.key))
    }

    /// Reports an error about the value of `key`.
    pub(crate) fn report(&self, key: &str, message: impl Display) {
        self.note(key, message, Level::Error);
    }

    /// Warns about a value of `key` that works but may be a mistake.
    pub(crate) fn warn(&self, key: &str, message: impl Display) {
        self.note(key, message, Level::Warning);
    }

    /// Says that the value of `key` could not be checked here.
    pub(crate) fn remark(&self, key: &str, message: impl Display) {
        self.note(key, message, Level::Note);
    }

    /// Adds an error that another reader found.
    pub(crate) fn add(&self, error: Diagnostic) {
        self.context.notes.borrow_mut().push(error);
    }

    pub(crate) fn path_of(&self, key: &str) -> Vec<String> {
        let key = (!key.is_empty()).then(|| key.to_owned());
        self.path.iter().cloned().chain(key).collect()
    }

    fn note(&self, key: &str, message: impl Display, level: Level) {
        let path = self.path_of(key);
        let layered = self.context.layered;
        // A missing key has no origin of its own, but its table has.
        let value = self.peek(key).or(self.value).unwrap_or(&layered.root);
        let origin = origin_of(value);
        let line = layered.line(&origin, &path);
        self.context.notes.borrow_mut().push(Diagnostic {
            origin,
            line,
            key: path.join("."),
            message: message.to_string(),
            level,
        });
    }

    /// Reports that a key without a default is missing.
    pub(crate) fn missing<T>(&self, key: &str, found: Option<T>) -> Option<T> {
        if found.is_none() && self.peek(key).is_none() {
            self.report(key, "is missing and has no default");
        }
        found
    }

    pub(super) fn peek(&self, key: &str) -> Option<&'a Value> {
        match &self.value?.kind {
            ValueKind::Table(table) => table.get(key),
            _ => None,
        }
    }

    pub(crate) fn ask(&self, key: &str) -> Option<&'a Value> {
        self.known.borrow_mut().insert(key.to_owned());
        let mut read = self.context.read.borrow_mut();
        read.entry(self.path_of(key)).or_insert(Read::Value);
        drop(read);
        #[cfg(test)]
        self.note_asked(key);
        self.peek(key)
            .filter(|value| !matches!(value.kind, ValueKind::Nil))
    }

    /// Asks for `key` as [`ask`](Self::ask) does, and notes the way in which it is read.
    pub(super) fn ask_as(&self, key: &str, way: Read) -> Option<&'a Value> {
        let value = self.ask(key);
        let mut read = self.context.read.borrow_mut();
        let noted = read.entry(self.path_of(key)).or_insert(way);
        if *noted != Read::Secret {
            *noted = way;
        }
        value
    }

    /// Notes that the path of the URL `key` must not be shown.
    pub(crate) fn hide_path(&self, key: &str) {
        self.ask_as(key, Read::Link);
    }

    /// Notes that the value of `key` must not be shown.
    pub(crate) fn hide(&self, key: &str) {
        self.ask_as(key, Read::Secret);
    }

    #[cfg(test)]
    fn note_asked(&self, key: &str) {
        let path = [self.shown.as_slice(), &[key.to_owned()]].concat();
        self.context.asked.borrow_mut().insert(path.join("."));
    }

    /// Reads a text exactly as it is written.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        let value = self.ask(key)?;
        if let ValueKind::String(text) = &value.kind {
            return Some(text.clone());
        }
        self.report(key, format!("{} must be a text in quotes", shown(value)));
        None
    }

    /// Reads a text; reports it if it is missing.
    pub(crate) fn required_text(&self, key: &str) -> Option<String> {
        let found = self.text(key);
        self.missing(key, found)
    }

    /// Reads a text and fills in its `${VARIABLES}`.
    pub(crate) fn expanded(&self, key: &str) -> Option<String> {
        let text = self.text(key)?;
        match expand(&text, &self.context.layered.environment) {
            Ok(text) => Some(text),
            Err(message) => {
                self.report(key, message);
                None
            }
        }
    }

    /// Reads a duration; reports one shorter than `least`.
    pub(crate) fn duration(&self, key: &str, least: Duration) -> Option<Duration> {
        let read = parse_duration_from(least, &self.text(key)?);
        read.map_err(|message| self.report(key, message)).ok()
    }

    /// Reads a number; reports one outside `range`.
    #[expect(clippy::cast_precision_loss, reason = "settings are small numbers")]
    pub(crate) fn number(&self, key: &str, range: RangeInclusive<f64>) -> Option<f64> {
        let value = self.ask_as(key, Read::Bare)?;
        let number = match &value.kind {
            ValueKind::Float(number) => Some(*number),
            ValueKind::I64(number) => Some(*number as f64),
            ValueKind::String(text) if is_environment(value) => text.parse().ok(),
            _ => None,
        };
        let found = number.filter(|number| range.contains(number));
        if found.is_none() {
            let (least, most) = range.into_inner();
            self.report(
                key,
                format!("{} must be a number from {least} to {most}", shown(value)),
            );
        }
        found
    }

    /// Reads a whole number; reports one outside `range`.
    pub(crate) fn whole(&self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let value = self.ask_as(key, Read::Bare)?;
        let number = match &value.kind {
            ValueKind::I64(number) => u32::try_from(*number).ok(),
            ValueKind::String(text) if is_environment(value) => text.parse().ok(),
            _ => None,
        };
        let found = number.filter(|number| range.contains(number));
        if found.is_none() {
            let (least, most) = range.into_inner();
            self.report(
                key,
                format!(
                    "{} must be a whole number from {least} to {most}",
                    shown(value)
                ),
            );
        }
        found
    }

    /// Reads a size in bytes, with a unit (`4MiB`) or without; reports one outside `range`.
    pub(crate) fn size(&self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.ask(key)?;
        let read = match &value.kind {
            ValueKind::I64(number) => parse_size(&number.to_string()),
            ValueKind::String(text) => parse_size(text),
            _ => parse_size(&shown(value)),
        };
        let checked = read.and_then(|size| {
            let (least, most) = (range.start(), range.end());
            let is_allowed = range.contains(&size);
            is_allowed.then_some(size).ok_or_else(|| {
                format!(
                    "{} must be a size from {} to {}",
                    shown(value),
                    show_size(*least),
                    show_size(*most)
                )
            })
        });
        checked.map_err(|message| self.report(key, message)).ok()
    }

    /// Reads `true` or `false`; false if the key is missing.
    pub(crate) fn flag(&self, key: &str) -> bool {
        let Some(value) = self.ask_as(key, Read::Bare) else {
            return false;
        };
        let found = match &value.kind {
            ValueKind::Boolean(flag) => Some(*flag),
            ValueKind::String(text) if is_environment(value) => text.parse().ok(),
            _ => None,
        };
        if found.is_none() {
            self.report(key, format!("{} must be true or false", shown(value)));
        }
        found.unwrap_or_default()
    }

    /// Reads a required word and returns its choice; reports any other word.
    pub(crate) fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let word = self.required_text(key)?;
        let found = choices.iter().find(|(name, _)| *name == word);
        if found.is_none() {
            self.report(key, not_among(&word, choices.iter().map(|(name, _)| *name)));
        }
        found.map(|(_, choice)| *choice)
    }

    /// Reads a list of texts. In an environment variable they are separated by commas.
    pub(crate) fn list(&self, key: &str) -> Vec<String> {
        let Some(value) = self.ask_as(key, Read::List) else {
            return Vec::new();
        };
        let texts: Option<Vec<String>> = match &value.kind {
            ValueKind::Array(elements) => elements.iter().map(text_of).collect(),
            ValueKind::String(text) if is_environment(value) => {
                Some(text.split(',').map(|part| part.trim().to_owned()).collect())
            }
            _ => None,
        };
        texts.unwrap_or_else(|| {
            self.report(
                key,
                format!("{} must be a list of texts in quotes", shown(value)),
            );
            Vec::new()
        })
    }

    /// Reads a list as [`list`](Self::list) does: a program and its arguments.
    pub(crate) fn command(&self, key: &str) -> Vec<String> {
        let found = self.list(key);
        self.ask_as(key, Read::Command);
        found
    }

    /// Reads a table whose values are texts.
    pub(crate) fn texts(&self, key: &str) -> BTreeMap<String, String> {
        let Some(value) = self.ask(key) else {
            return BTreeMap::new();
        };
        let texts = match &value.kind {
            ValueKind::Table(table) => table
                .iter()
                .map(|(name, value)| Some((name.clone(), text_of(value)?)))
                .collect(),
            _ => None,
        };
        texts.unwrap_or_else(|| {
            self.report(key, "must be a table of texts, as { name = \"value\" }");
            BTreeMap::new()
        })
    }
}

/// Returns a message that lists the allowed words and suggests the most similar one.
pub(crate) fn not_among<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.collect();
    let suggestion = suggest::did_you_mean(word, words.iter().copied());
    if words.len() > LISTED_MAX {
        return format!(
            "\"{word}\" is not one of the {} that exist{suggestion}",
            words.len()
        );
    }
    format!("\"{word}\" must be one of {}{suggestion}", words.join(", "))
}

pub(crate) fn text_of(value: &Value) -> Option<String> {
    match &value.kind {
        ValueKind::String(text) => Some(text.clone()),
        _ => None,
    }
}

pub(crate) fn is_environment(value: &Value) -> bool {
    value.origin() == Some(ENVIRONMENT)
}

fn shown(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) => format!("\"{text}\""),
        ValueKind::Table(_) => "a table".to_owned(),
        ValueKind::Array(_) => "a list".to_owned(),
        _ => value.to_string(),
    }
}

/// Fills in each `${VARIABLE}`. A variable that is not set is an error, not an empty text.
pub(crate) fn expand(text: &str, environment: &BTreeMap<String, String>) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, tail) = after
            .split_once('}')
            .ok_or_else(|| "has a `${` without its `}`".to_owned())?;
        let value = environment
            .get(name)
            .ok_or_else(|| format!("uses ${{{name}}}, which is not set in the environment"))?;
        expanded.push_str(before);
        expanded.push_str(value);
        rest = tail;
    }
    expanded.push_str(rest);
    Ok(expanded)
}
