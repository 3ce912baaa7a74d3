//! Reads the tables within a table, and reports the keys that no part asked for.

use std::cell::RefCell;

use config::{Value, ValueKind};

use crate::suggest;
use crate::tree::reader::{Read, Reader};

impl<'a> Reader<'a> {
    /// Returns a reader of a table within this one, which reads as empty if it is missing.
    pub(crate) fn section(&self, key: &str) -> Reader<'a> {
        let value = self.ask_as(key, Read::Section);
        if value.is_some_and(|value| !matches!(value.kind, ValueKind::Table(_))) {
            self.report(key, "must be a table");
        }
        self.within(key, key, value)
    }

    /// Returns readers of the named tables within this one, as `[services.NAME]`.
    pub(crate) fn sections(&self, key: &str) -> Vec<(String, Reader<'a>)> {
        let outer = self.section(key);
        let Some(ValueKind::Table(table)) = outer.value.map(|value| &value.kind) else {
            return Vec::new();
        };
        let mut names: Vec<&String> = table.keys().collect();
        names.sort();
        let mut sections = Vec::new();
        for name in names {
            let value = table.get(name);
            if !is_name(name) {
                outer.report(name, "the name must be made of a-z, 0-9 and -, at most 64, so that it also works in the environment");
            } else if value.is_some_and(|value| !matches!(value.kind, ValueKind::Table(_))) {
                outer.report(name, "must be a table");
            } else {
                sections.push((name.clone(), outer.within(name, "*", value)));
            }
        }
        sections
    }

    /// Returns the names of those tables, valid or not.
    pub(crate) fn names(&self, key: &str) -> Vec<String> {
        match self.peek(key).map(|value| &value.kind) {
            Some(ValueKind::Table(table)) => {
                let mut names: Vec<String> = table.keys().cloned().collect();
                names.sort();
                names
            }
            _ => Vec::new(),
        }
    }

    /// Returns readers of the tables in a list, as `[[watches]]`.
    pub(crate) fn elements(&self, key: &str) -> Vec<Reader<'a>> {
        let Some(value) = self.ask_as(key, Read::Section) else {
            return Vec::new();
        };
        let ValueKind::Array(elements) = &value.kind else {
            self.report(key, format!("must be a list of tables, as [[{key}]]"));
            return Vec::new();
        };
        let outer = self.within(key, key, Some(value));
        elements
            .iter()
            .enumerate()
            .map(|(n, value)| outer.within(&n.to_string(), "*", Some(value)))
            .collect()
    }

    fn within(&self, key: &str, shown: &str, value: Option<&'a Value>) -> Reader<'a> {
        let with = |path: &[String], last: &str| [path, &[last.to_owned()]].concat();
        let mut read = self.context.read.borrow_mut();
        read.insert(with(&self.path, key), Read::Section);
        drop(read);
        Reader {
            context: self.context,
            value,
            path: with(&self.path, key),
            shown: with(&self.shown, shown),
            known: RefCell::default(),
        }
    }

    /// Reports every key that no part asked for.
    pub(crate) fn finish(&self) {
        let Some(ValueKind::Table(table)) = self.value.map(|value| &value.kind) else {
            return;
        };
        let known = self.known.borrow();
        let mut names: Vec<&String> = table.keys().filter(|name| !known.contains(*name)).collect();
        names.sort();
        for name in names {
            let suggestion = elsewhere(name)
                .unwrap_or_else(|| suggest::did_you_mean(name, known.iter().map(String::as_str)));
            let all: Vec<&str> = known.iter().map(String::as_str).collect();
            self.report(
                name,
                format!(
                    "unknown setting `{name}`{suggestion} (known here: {})",
                    all.join(", ")
                ),
            );
        }
    }
}

/// The settings that are often written at another place than theirs, and their tables.
const ELSEWHERE: [(&str, &str); 7] = [
    ("keep", "store"),
    ("blind_after", "poll"),
    ("after_watch", "poll"),
    ("deadline", "poll"),
    ("give_up_after", "poll"),
    ("not_found_grace", "poll"),
    ("request_timeout", "poll"),
];

/// Says where a setting belongs that is written at another place.
fn elsewhere(name: &str) -> Option<String> {
    let (_, table) = ELSEWHERE.iter().find(|(setting, _)| *setting == name)?;
    Some(format!(
        "; it belongs in the table `{table}`, as `{table}.{name}`"
    ))
}

fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.len() <= 64 && name.chars().all(is_plain)
}
