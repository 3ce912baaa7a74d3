//! Commands that run to their end: their output and their exit codes.

use jobwatch::cli::Exit;

use crate::program::process::{Folder, run, stderr, stdout};

const COMMANDS: [&str; 20] = [
    "run",
    "demo",
    "simulate",
    "check",
    "services",
    "submit",
    "do",
    "wait",
    "why",
    "poll",
    "events",
    "top",
    "list",
    "show",
    "stop",
    "deliveries",
    "redrive",
    "sink",
    "db",
    "health",
];

#[test]
fn help_mentions_every_command() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = stdout(&output);
    for command in COMMANDS {
        assert!(
            help.contains(&format!("\n  {command} ")),
            "{command} in {help}"
        );
        let own = run(&[command, "--help"]);
        assert_eq!(own.status.code(), Some(0));
        assert!(
            stdout(&own).contains(&format!("jobwatch {command}")),
            "{command}"
        );
    }
}

#[test]
fn help_and_documents_list_the_exit_codes() {
    let help = stdout(&run(&["--help"])).replace('\n', " ");
    let documents = include_str!("../../../docs/pipelines.md");
    let (_, documents) = documents.split_once("\n## Exit codes\n").unwrap();
    let (documents, _) = documents.split_once("\n## ").unwrap();
    let rows = Exit::table().iter().map(|code| {
        let (number, word) = (code.exit.code(), code.word);
        assert!(help.contains(&format!("{number} {word}")), "{help}");
        format!("| {number} | {word}: {} |", code.meaning)
    });
    let rows: Vec<String> = rows.collect();
    let listed: Vec<&str> = documents
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| code"))
        .collect();
    assert_eq!(listed, rows);
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    let output = run(&["frobnicate"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("frobnicate"));
    assert_eq!(run(&[]).status.code(), Some(2));
}

#[test]
fn check_confirms_a_valid_configuration() {
    let folder = Folder::new();
    let config = folder.configure("http://127.0.0.1:1", "");
    let output = run(&["check", "--config", &config]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("The configuration is valid."));
    assert!(!folder.path().join("jobwatch.db").exists(), "it only looks");
    let output = run(&["check", "--json", "--config", &config]);
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["valid"], true);
    assert_eq!(shown["services"]["dcs"]["definition"], "dcs");
}

const WRONG: &str = r#"instance = "a b"

[pol]
initial = "2s"

[poll]
intial = "2s"
max = "soon"
jitter = 7

[credentials.otc]
kind = "tokn"

[services.dcs]
definition = "dsc"
url = "ftp://x"
credential = "otcc"
parms = { project_id = "p" }

[services.sdrs]
definition = "sdrs"
credential = "none"
params = { project = "p" }

[sinks.ops]
kind = "webhook"
url = "https://example.com/x"
events = ["finishd"]

[[watches]]
service = "dcs"
"#;

#[test]
fn all_diagnostics_are_printed_with_place_and_nearest_name() {
    let folder = Folder::new();
    let config = folder.write("wrong.toml", WRONG).display().to_string();
    let table = [
        (1, "instance", "letters, digits"),
        (3, "pol", "did you mean `poll`?"),
        (7, "poll.intial", "did you mean `initial`?"),
        (8, "poll.max", "\"soon\""),
        (9, "poll.jitter", "from 0 to 1"),
        (12, "credentials.otc.kind", "did you mean `token`?"),
        (15, "services.dcs.definition", "did you mean `dcs`?"),
        (16, "services.dcs.url", "absolute URL"),
        (17, "services.dcs.credential", "did you mean `otc`?"),
        (18, "services.dcs.parms", "did you mean `params`?"),
        (20, "services.sdrs.url", "is missing"),
        (23, "services.sdrs.params", "did you mean `project_id`?"),
        (28, "sinks.ops.events", "did you mean `finished`?"),
        (30, "watches.0.job_id", "is missing"),
    ];
    for command in ["check", "run"] {
        let output = run(&[command, "--config", &config]);
        assert_eq!(output.status.code(), Some(2), "{command}");
        let said = stderr(&output);
        for (line, key, words) in table {
            let place = format!("{config}:{line}: {key}: ");
            let line = said.lines().find(|line| line.contains(&place));
            let line = line.unwrap_or_else(|| panic!("{place} is missing in:\n{said}"));
            assert!(line.contains(words), "{words} is missing in: {line}");
        }
        assert_eq!(said.lines().count(), table.len() + 1, "{said}");
    }
}

#[test]
fn diagnostics_are_printed_as_json() {
    let folder = Folder::new();
    let config = folder.write("wrong.toml", WRONG).display().to_string();
    let output = run(&["check", "--json", "--config", &config]);
    assert_eq!(output.status.code(), Some(2));
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["valid"], false);
    let problems = shown["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 14);
    let max = problems
        .iter()
        .find(|one| one["key"] == "poll.max")
        .unwrap();
    assert_eq!((&max["origin"], &max["line"]), (&config.into(), &8.into()));
}

#[test]
fn a_missing_configuration_is_named() {
    let folder = Folder::new();
    let config = folder.path().join("absent.toml").display().to_string();
    for command in ["check", "run"] {
        let output = run(&[command, "--config", &config]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(&config), "{}", stderr(&output));
    }
}

#[test]
fn invalid_toml_is_reported_with_its_line() {
    let folder = Folder::new();
    let config = folder
        .write("half.toml", "instance = \"x\"\n[store\n")
        .display()
        .to_string();
    let output = run(&["check", "--config", &config]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains(&format!("{config}:2: not TOML")),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_public_address_without_tokens_is_refused() {
    let folder = Folder::new();
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8620"] {
        let config = folder.configure("http://127.0.0.1:1", "");
        let text = std::fs::read_to_string(&config).unwrap();
        folder.write("jobwatch.toml", &text.replace("127.0.0.1:0", listen));
        for command in ["check", "run"] {
            let output = run(&[command, "--config", &config]);
            assert_eq!(output.status.code(), Some(2), "{listen}");
            let said = stderr(&output);
            assert!(
                said.contains("api.listen") && said.contains("write_token_file"),
                "{said}"
            );
        }
    }
}

#[test]
fn commands_report_that_the_daemon_is_not_running() {
    let id = "01890000-0000-7000-8000-000000000000";
    for command in [
        &["list"][..],
        &["list", "--json"],
        &["show", id],
        &["stop", id],
        &["submit", "dcs", "j"],
        &["deliveries", "--state", "dead"],
        &["redrive", "1"],
        &["redrive", "--sink", "ops", "--since", "2h"],
        &["sink", "list"],
    ] {
        let output = run(&[command, &["--url", "http://127.0.0.1:1"]].concat());
        assert_eq!(output.status.code(), Some(5), "{command:?}");
        let said = stderr(&output);
        assert!(
            said.contains("http://127.0.0.1:1") && said.contains("jobwatch run"),
            "{said}"
        );
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn the_definitions_are_listed() {
    let output = run(&["services", "--definitions"]);
    assert_eq!(output.status.code(), Some(0));
    let listed = stdout(&output);
    for name in ["dcs", "sdrs", "sfs-turbo"] {
        assert!(listed.contains(name), "{listed}");
    }
}
