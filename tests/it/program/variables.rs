//! The list of variables, the documents and the tests name the same ones.

use std::collections::BTreeSet;

use jobwatch::settings::variables::{KNOWN, User};

use crate::program::config::run_with;
use crate::program::process::stderr;

/// Returns the names in `text` that begin with `JOBWATCH_`, but not settings.
fn names(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    for (at, _) in text.match_indices("JOBWATCH_") {
        let rest = &text[at..];
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let name = &rest[..end];
        if !name.starts_with("JOBWATCH__") && !name.ends_with('_') {
            names.insert(name.to_owned());
        }
    }
    names
}

#[test]
fn the_documents_describe_every_variable_of_commands() {
    let table = include_str!("../../../docs/operating.md");
    for variable in KNOWN.iter().filter(|it| it.user == User::Commands) {
        let row = format!("| `{}` | {} |", variable.name, variable.meaning);
        assert!(
            table.contains(&row),
            "{row} is missing in docs/operating.md"
        );
    }
}

#[test]
fn every_variable_in_the_documents_is_accepted() {
    let documents = [
        include_str!("../../../README.md"),
        include_str!("../../../CONTRIBUTING.md"),
        include_str!("../../../docs/operating.md"),
        include_str!("../../../docs/pipelines.md"),
        include_str!("../../../config/default.toml"),
        include_str!("../../../container/README.md"),
    ];
    let names = names(&documents.concat());
    assert!(
        names.contains("JOBWATCH_URL") && names.contains("JOBWATCH_SEED"),
        "{names:?}"
    );
    let values: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let output = run_with(&["check"], &values);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}
