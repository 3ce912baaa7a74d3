//! Tests of the snippets: each is valid in its language, for hostile values too.

use std::process::Command;

use clap::ValueEnum;
use serde_json::Value;

use super::*;

const URL: &str = "http://127.0.0.1:8620";

fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn printed(tool: Tool, pairs: &[(&str, &str)]) -> String {
    render(tool, "dcs", &labels(pairs), URL).unwrap()
}

#[test]
fn every_snippet_has_the_service_the_labels_and_the_exit_codes() {
    for tool in Tool::value_variants() {
        let text = printed(*tool, &[("deploy", "42")]);
        for piece in ["dcs", "deploy=42", URL, &Exit::in_words()] {
            assert!(text.contains(piece), "{tool:?} lacks {piece}:\n{text}");
        }
        assert!(!text.contains("\n\n\n"), "{tool:?}");
    }
}

/// The script in a snippet of YAML.
fn script(tool: Tool, pairs: &[(&str, &str)]) -> String {
    let path = match tool {
        Tool::Gitlab => "/deploy/script/0",
        Tool::Github => "/jobs/deploy/steps/1/run",
        Tool::Ansible => "/0/tasks/0/ansible.builtin.shell/cmd",
        Tool::Argo => "/spec/templates/0/script/source",
        Tool::Compose => "/services/job/command/0",
        Tool::Kubernetes => "/spec/template/spec/containers/0/args/0",
        _ => unreachable!("it is not YAML"),
    };
    let text = printed(tool, pairs);
    let value: Value = serde_saphyr::from_str(&text).unwrap();
    let script = value.pointer(path).and_then(Value::as_str);
    let script = script.unwrap_or_else(|| panic!("no {path} in {text}"));
    match tool {
        Tool::Compose => script.replace("$$", "$"),
        _ => script.to_owned(),
    }
}

#[test]
fn no_label_leaves_its_place_in_the_yaml_or_the_shell() {
    for hostile in [
        "it's \"quoted\" \\ $HOME `id` $(id) ; exit 0 # - x: y",
        "${{ secrets.X }} {{ 1 }} {% raw %} $(POD) %{ if } $[[ x ]] $$",
        "'''\"\"\" \\' | > & * ! % @ \u{e9}\u{1f600}",
    ] {
        for tool in [
            Tool::Gitlab,
            Tool::Github,
            Tool::Ansible,
            Tool::Argo,
            Tool::Compose,
            Tool::Kubernetes,
        ] {
            let script = script(tool, &[("note", hostile)]);
            let play = format!("jobwatch() {{ printf '%s\\n' \"$@\"; }}\n{script}");
            let said = Command::new("sh").args(["-c", &play]).output().unwrap();
            let said = String::from_utf8(said.stdout).unwrap();
            let label = format!("note={hostile}");
            assert!(said.lines().any(|line| line == label), "{tool:?}: {said}");
        }
    }
}

#[test]
fn a_label_that_the_daemon_would_refuse_is_refused() {
    let check = |name, value| check_labels("dcs", &labels(&[(name, value)]));
    assert_eq!(check("deploy", "42"), Ok(()));
    for (name, value, part) in [
        ("a b", "1", "labels"),
        ("a", "two\nlines", "control characters"),
        ("a", "x\u{2028}y", "U+2028"),
    ] {
        let refused = check(name, value).unwrap_err();
        assert!(refused.contains(part), "{refused}");
    }
}

#[test]
fn a_url_means_the_same_in_every_language() {
    for url in [
        "http://[::1]:8620",
        "https://jobs.example.com/a%20b",
        "unix:///run/jobwatch/api.sock",
    ] {
        assert_eq!(check_url(url), Ok(()));
    }
    for url in [
        "http://a'b",
        "http://a\"b",
        "http://$X",
        "http://{x}",
        "http://a b",
        "http://a\\b",
    ] {
        assert!(check_url(url).is_err(), "{url}");
    }
}

#[test]
fn the_service_is_named_or_the_only_one() {
    let known = ["dcs".to_owned(), "sdrs".to_owned()];
    assert_eq!(choose(Some("dcs"), &[]), Ok(Some("dcs".to_owned())));
    assert_eq!(choose(None, &[]), Ok(None));
    assert_eq!(choose(None, &known[..1]), Ok(Some("dcs".to_owned())));
    assert!(choose(None, &known).unwrap_err().contains("dcs, sdrs"));
    assert!(
        choose(Some("dsc"), &known)
            .unwrap_err()
            .contains("did you mean `dcs`")
    );
    for wrong in ["", "Dcs", "a b", "a;b", "-c", "$x"] {
        assert!(choose(Some(wrong), &[]).is_err(), "{wrong}");
    }
}
