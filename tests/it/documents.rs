//! The documents and the program agree: each command, option, call and problem type that the
//! documents name exists, and each one that exists is in the documents.

mod markdown;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use axum::body::Body;
use http::{Request, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use crate::harness::App;
use markdown::{cells, code, flags, words};

type Names = BTreeSet<String>;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// The documents for users, by name. `docs/cli.md` is made from the program, so it is left out.
fn documents() -> Vec<(String, String)> {
    let mut names = vec![
        "README.md".to_owned(),
        "container/README.md".to_owned(),
        "config/services/README.md".to_owned(),
    ];
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_markdown = Path::new(&name).extension().is_some_and(|it| it == "md");
        if is_markdown && name != "cli.md" {
            names.push(format!("docs/{name}"));
        }
    }
    assert!(names.len() > 6, "{names:?}");
    names
        .into_iter()
        .map(|name| (name.clone(), text(&name)))
        .collect()
}

/// The commands of `docs/cli.md`, each with its options.
fn commands() -> BTreeMap<String, Names> {
    let made = text("docs/cli.md");
    let mut commands = BTreeMap::<String, Names>::new();
    let mut name = String::new();
    for line in made.lines() {
        if let Some(heading) = line.strip_prefix("## `jobwatch ") {
            heading.trim_end_matches('`').clone_into(&mut name);
            commands.entry(name.clone()).or_default();
        } else if let Some(options) = commands.get_mut(&name)
            && line.starts_with("| `")
        {
            let (names, _) = line[3..].split_once('`').unwrap();
            options.extend(flags(names));
        }
    }
    assert!(commands.len() > 15, "{commands:?}");
    commands
}

#[test]
fn documents_name_commands_and_options_that_exist() {
    let commands = commands();
    let all: Names = commands.values().flatten().cloned().collect();
    let mut faults = Vec::new();
    for (document, text) in documents() {
        for piece in code(&text) {
            faults.extend(
                faults_of(&piece, &commands, &all)
                    .into_iter()
                    .map(|fault| format!("{document}: {fault} in `{piece}`")),
            );
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Returns the faults of one line of code: commands and options that do not exist.
fn faults_of(piece: &str, commands: &BTreeMap<String, Names>, all: &Names) -> Vec<String> {
    let is_alone = piece.starts_with("--");
    let is_call = |before: &str| {
        let before = before.trim_end_matches("sudo ");
        before.is_empty()
            || ["| ", "$(", "&& ", "; "]
                .iter()
                .any(|it| before.ends_with(it))
    };
    let call = piece.split_once("jobwatch ");
    let Some((_, call)) = call.filter(|(before, _)| !is_alone && is_call(before)) else {
        let used = flags(piece).filter(|_| is_alone);
        let unknown = used.filter(|flag| !all.contains(flag) && flag != "release");
        return unknown.map(|flag| format!("unknown --{flag}")).collect();
    };
    let call = call.split(['|', '#', ';', '&']).next().unwrap_or_default();
    let mut names = words(call);
    let Some(first) = names.next() else {
        return Vec::new();
    };
    let Some(options) = commands.get(first) else {
        return vec![format!("unknown command {first}")];
    };
    let longer = names.next().map(|second| format!("{first} {second}"));
    let own = longer.and_then(|name| commands.get(&name));
    let ours = call.split(" -- ").next().unwrap_or_default();
    flags(ours)
        .filter(|flag| !["help", "version"].contains(&flag.as_str()))
        .filter(|flag| !options.contains(flag) && !own.is_some_and(|own| own.contains(flag)))
        .map(|flag| format!("{first} has no --{flag}"))
        .collect()
}

async fn served(path: &str) -> String {
    let app = App::start().await;
    let request = Request::get(path).header(header::HOST, "localhost");
    let request = request.body(Body::empty()).unwrap();
    let answer = app.program.router.clone().oneshot(request).await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// The calls of the program, such as "GET /v1/watches/{id}".
async fn calls() -> Names {
    let document: Value = serde_json::from_str(&served("/openapi.json").await).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let calls = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys();
        methods.map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    calls.collect()
}

/// The call in a piece of code, such as "GET /v1/events?after=0", without its query.
fn call_in(piece: &str) -> Option<String> {
    let (method, rest) = piece.split_once(' ')?;
    let is_method = ["GET", "POST", "DELETE", "PUT", "PATCH"].contains(&method);
    let path = rest.split(['?', ' ']).next()?;
    (is_method && path.starts_with('/')).then(|| format!("{method} {path}"))
}

#[tokio::test]
async fn documents_name_calls_that_exist() {
    let calls = calls().await;
    let simulated = |call: &str| call.contains("/_sim") || call.contains("/resources/");
    for (document, text) in documents() {
        if document == "config/services/README.md" {
            continue; // its calls are those of job APIs
        }
        for call in code(&text).filter_map(|piece| call_in(&piece)) {
            let is_ours = call.contains("/v1/") || calls.contains(&call);
            let known = calls.contains(&call) || simulated(&call) || !is_ours;
            assert!(known, "{document}: {call} does not exist");
        }
    }
}

#[tokio::test]
async fn every_call_is_in_the_documents() {
    let text = text("docs/api.md");
    let named: Names = code(&text).filter_map(|piece| call_in(&piece)).collect();
    for call in calls().await {
        assert!(named.contains(&call), "docs/api.md lacks {call}");
    }
}

#[tokio::test]
async fn every_problem_type_is_in_the_documents() {
    let page = served("/reference").await;
    let (_, problems) = page.split_once("id=\"problems\"").unwrap();
    let of_program: BTreeMap<String, String> = problems
        .split("<code>urn:jobwatch:problem:")
        .skip(1)
        .map(|row| {
            let (name, rest) = row.split_once("</code></td><td>").unwrap();
            let (statuses, _) = rest.split_once("</td>").unwrap();
            (name.to_owned(), statuses.to_owned())
        })
        .collect();
    assert!(of_program.len() > 10, "{of_program:?}");
    let text = text("docs/api.md");
    let (_, table) = text.split_once("| type | status | cause |").unwrap();
    let documented: BTreeMap<String, String> = table
        .lines()
        .filter_map(cells)
        .filter(|cells| cells[0].starts_with('`'))
        .map(|cells| (cells[0].trim_matches('`').to_owned(), cells[1].clone()))
        .collect();
    assert_eq!(of_program, documented);
}
