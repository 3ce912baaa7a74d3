//! Every definition of the catalog against its recorded answers:
//! `config/services/examples/NAME/CASE.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use http::HeaderMap;
use jiff::Timestamp;
use jobwatch::definition::Definition;
use jobwatch::definition::catalog::Catalog;
use jobwatch::definition::explain::{Explanation, explain};
use jobwatch::definition::reading::{Answer, Asked};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    source: String,
    #[serde(default)]
    built: bool,
    http: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    job_id: Option<String>,
    #[serde(default)]
    params: BTreeMap<String, String>,
    body: Option<Value>,
    text: Option<String>,
    expect: serde_json::Map<String, Value>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/services/examples")
}

fn examples_of(name: &str) -> Vec<(String, Example)> {
    let entries = std::fs::read_dir(folder().join(name))
        .unwrap_or_else(|error| panic!("no examples of {name}: {error}"));
    let mut examples: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let case = format!("{name}/{}", path.file_stem().unwrap().display());
            let text = std::fs::read_to_string(&path).unwrap();
            let example = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{case} is not a valid example: {error}"));
            (case, example)
        })
        .collect();
    examples.sort_by(|one, other| one.0.cmp(&other.0));
    examples
}

fn read(definition: &Definition, example: &Example) -> Value {
    let headers: HeaderMap = example
        .headers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect();
    let body = match (&example.body, &example.text) {
        (Some(body), None) => body.to_string(),
        (None, Some(text)) => text.clone(),
        _ => panic!("an example has either `body` or `text`"),
    };
    let answer = Answer {
        http_status: example.http,
        headers: &headers,
        body: body.as_bytes(),
        is_cut: false,
    };
    let asked = Asked {
        job_id: example.job_id.as_deref(),
        params: &example.params,
        ..Asked::any()
    };
    let explanation = explain(definition, &asked, &answer, Timestamp::UNIX_EPOCH);
    let mut shown = serde_json::to_value(&explanation).unwrap();
    if let Explanation::Sighting(sighting) = &explanation {
        shown["children"] = json!(sighting.children.len());
    }
    shown
}

/// The differences between the expected and the actual reading.
fn differences(definition: &Definition, example: &Example) -> Vec<String> {
    let shown = read(definition, example);
    let mut wrong = Vec::new();
    for (key, expected) in &example.expect {
        if shown.get(key).unwrap_or(&Value::Null) != expected {
            wrong.push(format!("{key} is {} instead of {expected}", shown[key]));
        }
    }
    if !wrong.is_empty() {
        wrong.push(format!("read: {shown}"));
    }
    wrong
}

#[test]
fn every_example_is_read_as_expected() {
    let mut wrong = Vec::new();
    let mut count = 0;
    let catalog = Catalog::built_in();
    for definition in catalog.all() {
        for (case, example) in examples_of(&definition.name) {
            count += 1;
            let found = differences(definition, &example);
            wrong.extend(found.into_iter().map(|what| format!("{case}: {what}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        count >= 4 * catalog.names().count(),
        "only {count} examples were found"
    );
}

/// A recorded answer of the fixtures, and the reading that it must have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    file: String,
    definition: String,
    http: u16,
    source: String,
    expect: serde_json::Map<String, Value>,
}

#[test]
fn every_fixture_is_read_as_expected() {
    let catalog = Catalog::built_in();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures");
    let mut count = 0;
    for manifest in ["manifest.json", "others.json"] {
        let text = std::fs::read_to_string(fixtures.join(manifest)).unwrap();
        let rows: Vec<Recorded> = serde_json::from_str(&text).unwrap();
        for row in rows {
            count += 1;
            let example = Example {
                source: row.source,
                built: false,
                http: row.http,
                headers: BTreeMap::new(),
                job_id: None,
                params: BTreeMap::new(),
                body: None,
                text: Some(std::fs::read_to_string(fixtures.join(&row.file)).unwrap()),
                expect: row.expect,
            };
            let definition = catalog.get(&row.definition).unwrap();
            let wrong = differences(definition, &example);
            assert!(wrong.is_empty(), "{}: {}", row.file, wrong.join("; "));
        }
    }
    assert_eq!(
        count, 37,
        "every recorded body but those of the token service"
    );
}

#[test]
fn every_definition_has_an_example_of_each_state() {
    for definition in Catalog::built_in().all() {
        let name = &definition.name;
        let seen: Vec<Value> = examples_of(name)
            .iter()
            .map(|(_, example)| {
                let kind = &example.expect["kind"];
                if kind == "problem" {
                    kind.clone()
                } else {
                    example.expect["state"].clone()
                }
            })
            .collect();
        // The job that takes over is the one that runs and fails.
        let wanted: &[&str] = if definition.next.hands_over() {
            &["pending", "succeeded", "cancelled", "problem"]
        } else {
            &["running", "succeeded", "failed", "problem"]
        };
        for wanted in wanted {
            assert!(
                seen.contains(&json!(wanted)),
                "{name} has no example of {wanted}: {seen:?}"
            );
        }
    }
}

#[test]
fn every_example_names_its_source() {
    for name in Catalog::built_in().names() {
        for (case, example) in examples_of(name) {
            assert!(example.source.len() > 10, "{case} has no source");
            let says = example.source.to_lowercase().contains("built");
            assert!(
                example.built || !says,
                "{case}: a built body needs `built`: true"
            );
        }
    }
}

#[test]
fn every_examples_folder_belongs_to_a_definition() {
    let catalog = Catalog::built_in();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            catalog.get(&name).is_some(),
            "{name} has examples and no definition"
        );
    }
}
