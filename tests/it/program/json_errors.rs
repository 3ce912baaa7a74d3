//! With `--json`, errors are one problem document on standard error.

use serde_json::{Value, json};

use crate::program::process::{Folder, run, stderr, stdout};

/// Runs a command that fails; returns its exit code and the document on standard error.
#[track_caller]
fn failed(arguments: &[&str]) -> (i32, Value) {
    let output = run(arguments);
    let said = stderr(&output);
    let document: Value = serde_json::from_str(&said)
        .unwrap_or_else(|error| panic!("{arguments:?}: {error} in:\n{said}"));
    let code = output.status.code().unwrap();
    assert_eq!(document["exit_code"], code, "{arguments:?}: {document}");
    assert_eq!(document["type"], "about:blank", "{document}");
    for member in ["title", "detail"] {
        assert_ne!(document[member].as_str().unwrap(), "", "{document}");
    }
    assert!(document["errors"].is_array(), "{document}");
    (code, document)
}

#[test]
fn wrong_settings_are_listed_with_their_place() {
    let folder = Folder::new();
    let config = folder.write("wrong.toml", "[store]\nurl = 7\n");
    let config = config.display().to_string();
    let commands: [&[&str]; 7] = [
        &["services"],
        &["credentials"],
        &["db", "check"],
        &["db", "backup", "/nowhere/copy"],
        &["explain", "dcs", "--http-status", "200"],
        &["probe", "dcs", "1"],
        &["sink", "test", "ops"],
    ];
    for command in commands {
        let (code, document) = failed(&[command, &["--json", "-c", &config]].concat());
        assert_eq!(code, 2, "{command:?}");
        let first = &document["errors"][0];
        assert_eq!(first["field"], "store.url", "{document}");
        assert_eq!(first["line"], 2);
        assert_eq!(first["origin"], json!(config));
    }
}

#[test]
fn an_unreachable_daemon_is_a_document() {
    let commands: [&[&str]; 5] = [
        &["list"],
        &["show", "0198a000-0000-7000-8000-000000000000"],
        &["deliveries"],
        &["sink", "list"],
        &["submit", "dcs", "1"],
    ];
    for command in commands {
        let (code, document) =
            failed(&[command, &["--json", "--url", "http://127.0.0.1:1"]].concat());
        assert_eq!(code, 5, "{command:?}");
        let detail = document["detail"].as_str().unwrap();
        assert!(detail.contains("cannot reach the daemon"), "{detail}");
    }
}

#[test]
fn wrong_arguments_are_a_document_that_names_them() {
    let (code, document) = failed(&["list", "--json", "--limit", "many"]);
    assert_eq!(code, 2);
    let field = document["errors"][0]["field"].as_str().unwrap();
    assert!(field.contains("--limit"), "{document}");
    let (_, document) = failed(&["show", "--json"]);
    assert!(document["detail"].as_str().unwrap().contains("required"));
}

#[test]
fn wrong_values_name_the_nearest_one() {
    let folder = Folder::new();
    let config = folder.configure("http://127.0.0.1:1", "");
    for (command, words) in [
        (&["credentials", "sm"][..], "did you mean `sim`?"),
        (&["probe", "dsc", "1"], "did you mean `dcs`?"),
        (&["probe", "dcs", " 1"], "has blanks around it"),
        (&["probe", "dcs", ""], "must have 1 to 512 bytes"),
        (
            &["probe", "dcs", "1", "--param", "projectid=x"],
            "did you mean `project_id`?",
        ),
        (
            &["explain", "dsc", "--http-status", "200"],
            "did you mean `dcs`?",
        ),
        (&["services", "dsc"], "did you mean `dcs`?"),
        (&["sink", "test", "lgo"], "did you mean `log`?"),
        (
            &["sink", "test", "log", "--event", "job.faild"],
            "did you mean `job.failed`?",
        ),
    ] {
        let (code, document) = failed(&[command, &["--json", "-c", &config]].concat());
        assert_eq!(code, 2, "{command:?}");
        let detail = document["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{words} is missing in {detail}");
        assert!(!detail.contains('\n'), "{detail}");
    }
}

#[test]
fn errors_are_lines_without_the_flag() {
    let output = run(&["db", "check", "--database", "/nowhere/jobwatch.db"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("jobwatch: "));
    assert_eq!(stdout(&output), "");
}
