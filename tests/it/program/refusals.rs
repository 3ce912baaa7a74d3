//! Input that would have no effect: each is refused, and names itself and the nearest name.

use std::fs;

use serde_json::json;

use crate::program::process::{Daemon, Folder, Simulator, post, run, stderr};

#[tokio::test(flavor = "multi_thread")]
async fn input_without_effect_is_refused_by_name() {
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.configure(&simulator.url, ""));
    let lines = folder.write("b.ndjson", "{\"service\":\"dcs\",\"job_id\":\"b\"}\n");
    let lines = lines.display().to_string();
    let empty = folder.write("empty", "").display().to_string();
    let bulk = ["submit", "--bulk", &lines];
    for (arguments, words) in [
        ([&bulk[..], &["--label", "a=1"]].concat(), "--bulk"),
        (
            vec!["submit", "--bulk", &empty, "--wait"],
            "nothing to wait for",
        ),
        (
            vec!["submit", "dcs", "j", "--label", "a=1", "--label", "a=2"],
            "`a` twice",
        ),
        (vec!["list", "--service", "dsc"], "did you mean `dcs`?"),
        (vec!["events", "--service", "dsc"], "did you mean `dcs`?"),
        (vec!["deliveries", "--sink", "lgo"], "`lgo`"),
        (vec!["events", "--after", "999999"], "`999999`"),
    ] {
        let output = daemon.ask(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = stderr(&output);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    let listed = daemon.ask_json(&["list"]);
    assert_eq!(listed["watches"], json!([]), "nothing was submitted");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_positions_without_effect_are_refused() {
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.configure(&simulator.url, ""));
    for (body, field) in [
        (r#"{"service":"dcs","job_id":" j"}"#, "job_id"),
        (
            r#"{"service":"dcs","job_id":"j","labels":{"a":"1","a":"2"}}"#,
            "labels.a",
        ),
        (
            r#"{"service":"dcs","job_id":"j","deadline":"1x"}"#,
            "deadline",
        ),
    ] {
        for path in ["/v1/watches", "/v1/watches/check"] {
            let (status, problem) = post(&format!("{}{path}", daemon.url), body).await.unwrap();
            assert!(status == 400 || status == 422, "{path} {body}: {problem}");
            assert_eq!(problem["errors"][0]["field"], field, "{path} {body}");
        }
    }
    let (status, _) = post(
        &format!("{}/v1/watches/check", daemon.url),
        r#"{"service":"dcs"}"#,
    )
    .await
    .unwrap();
    assert_eq!(status, 204);
    let listed = daemon.ask_json(&["list"]);
    assert_eq!(listed["watches"], json!([]), "a check stores nothing");
    assert_ne!(listed["as_of"], "", "also while no client waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_options_are_found_before_the_command_runs() {
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.configure(&simulator.url, ""));
    let ran = folder.path().join("ran");
    let script = format!("touch {}; echo '{{\"job_id\":\"j\"}}'", ran.display());
    for options in [
        ["--deadline", "1x"],
        ["--sink", "nope"],
        ["--param", "zz=1"],
        ["--since", "2199-01-01T00:00:00Z"],
    ] {
        let all = [
            &["do", "--url", &daemon.url],
            &options[..],
            &["--", "sh", "-c", &script],
        ];
        let output = run(&all.concat());
        assert_eq!(
            output.status.code(),
            Some(2),
            "{options:?}: {}",
            stderr(&output)
        );
        assert!(!fs::exists(&ran).unwrap(), "{options:?}");
    }
}
