//! `jobwatch config`, and the variables of the environment that no part knows.

use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use serde_json::Value;

use crate::program::process::{Folder, PATIENCE, PROGRAM, run, stderr, stdout};

/// Runs a command to its end, with these variables only.
pub(crate) fn run_with(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    assert_cmd::Command::new(PROGRAM)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .timeout(PATIENCE)
        .output()
        .unwrap()
}

#[test]
fn the_default_is_the_manual_and_valid() {
    let output = run(&["config", "default"]);
    assert_eq!(output.status.code(), Some(0));
    let folder = Folder::new();
    let file = folder.write("default.toml", &stdout(&output));
    let checked = run(&["check", "-c", &file.display().to_string()]);
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
}

#[test]
fn settings_are_shown_with_origins_and_without_secrets() {
    let folder = Folder::new();
    folder.write("secret", "canary");
    let more = "[sinks.ops]\nkind = \"webhook\"\nurl = \"https://hooks.example.com/canary\"\n\
                [credentials.plain]\nkind = \"bearer\"\ntoken = \"canary\"\n";
    let config = folder.configure("http://127.0.0.1:1", more);
    let variables = [("JOBWATCH__API__CONNECTIONS", "9")];
    let output = run_with(&["config", "show", "-c", &config], &variables);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let shown = stdout(&output);
    for line in [
        format!("stop_timeout = \"2s\"    # {config}:1"),
        "connections = 9".to_owned(),
        "# environment JOBWATCH__API__CONNECTIONS".to_owned(),
        "token = \"[REDACTED]\"".to_owned(),
        "multiplier = 1.5".to_owned(),
        "# default".to_owned(),
    ] {
        assert!(shown.contains(&line), "{line} is missing in:\n{shown}");
    }
    assert!(!shown.contains("canary"), "{shown}");
    let output = run_with(&["config", "show", "--json", "-c", &config], &variables);
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let entry = all
        .iter()
        .find(|it| it["key"] == "api.connections")
        .unwrap();
    assert_eq!(entry["value"], 9);
    assert_eq!(entry["origin"], "environment JOBWATCH__API__CONNECTIONS");
}

#[test]
fn wrong_settings_are_shown_and_refused() {
    let folder = Folder::new();
    let config = folder.write("wrong.toml", "[poll]\njitter = 7\n[pol]\nmax = \"2s\"\n");
    let config = config.display().to_string();
    let output = run(&["config", "show", "-c", &config]);
    assert_eq!(output.status.code(), Some(2));
    let shown = stdout(&output);
    assert!(
        shown.contains("jitter = 7") && shown.contains("[pol]"),
        "{shown}"
    );
    let said = stderr(&output);
    assert!(
        said.contains(&format!("{config}:2: poll.jitter: 7 must be")),
        "{said}"
    );
    assert!(said.contains("did you mean `poll`?"), "{said}");
}

#[test]
fn every_place_of_settings_is_listed() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("conf.d")).unwrap();
    folder.write("conf.d/10.toml", "instance = \"a\"\n");
    let config = folder.write("a.toml", "services_dir = \"/nowhere\"\n");
    let config = config.display().to_string();
    let variables = [
        ("JOBWATCH_CONFIG", &*config),
        ("JOBWATCH__API__LISTEN", "127.0.0.1:1"),
    ];
    let output = run_with(&["config", "path"], &variables);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let shown = stdout(&output);
    let line = |words: &str| {
        let line = shown.lines().find(|line| line.contains(words));
        line.unwrap_or_else(|| panic!("{words} is missing in:\n{shown}"))
    };
    assert!(line("a.toml ").contains("JOBWATCH_CONFIG"));
    assert!(line("conf.d/10.toml").contains("read"));
    assert!(line("/nowhere").contains("does not exist"));
    assert!(line("/nowhere").contains("services_dir"));
    assert!(line("JOBWATCH__API__LISTEN").contains("set"));
    let output = run(&["config", "path", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["places"][0]["path"], "/etc/jobwatch/jobwatch.toml");
    assert_eq!(report["places"][0]["why"], "the default");
}

#[test]
fn a_misspelt_variable_is_an_error_of_every_command() {
    let commands: [&[&str]; 8] = [
        &["check"],
        &["run"],
        &["config", "show"],
        &["services"],
        &["db", "check"],
        &["list"],
        &["submit", "dcs", "1"],
        &["sink", "list"],
    ];
    for command in commands {
        let output = run_with(command, &[("JOBWATCH_ULR", "http://127.0.0.1:1")]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {said}");
        let wanted = "unknown variable `JOBWATCH_ULR`; did you mean `JOBWATCH_URL`?";
        assert!(said.contains(wanted), "{command:?}: {said}");
    }
    let output = run_with(&["list"], &[("JOBWATCH__API__LISTNE", "127.0.0.1:1")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("did you mean `JOBWATCH__API__LISTEN`?"));
}

#[test]
fn variables_of_a_kubernetes_service_change_nothing() {
    let variables = [
        ("JOBWATCH_SERVICE_HOST", "10.0.0.1"),
        ("JOBWATCH_SERVICE_PORT", "8620"),
        ("JOBWATCH_PORT", "tcp://10.0.0.1:8620"),
        ("JOBWATCH_PORT_8620_TCP_ADDR", "10.0.0.1"),
    ];
    let output = run_with(&["check"], &variables);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let output = run_with(&["list", "--url", "http://127.0.0.1:1"], &variables);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
}

/// The secrets belong to the user of the daemon; the database may still be checked by another.
#[test]
fn commands_of_the_store_need_no_secret() {
    let folder = Folder::new();
    let config = folder.configure(
        "http://127.0.0.1:1",
        "[credentials.x]\nkind = \"bearer\"\ntoken_file = \"/nowhere/token\"\n",
    );
    let output = run(&["db", "check", "-c", &config]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("the file does not exist") && !said.contains("token"),
        "{said}"
    );
    let output = run(&["services", "-c", &config]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let output = run(&["check", "-c", &config]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn secrets_of_a_systemd_unit_are_noted_outside_of_it() {
    let folder = Folder::new();
    let more = "[credentials.unit]\nkind = \"bearer\"\ntoken_file = \"${CREDENTIALS_DIRECTORY}/t\"\n\
                [services.far]\ndefinition = \"dcs\"\nurl = \"https://dcs.example.com\"\n\
                credential = \"unit\"\nparams = { project_id = \"p\" }\n\
                [sinks.ops]\nkind = \"webhook\"\nurl = \"https://hooks.example.com\"\n\
                secret_file = \"${CREDENTIALS_DIRECTORY}/k\"\n";
    let config = folder.configure("http://127.0.0.1:1", more);
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(folder.path().join("token"), private).unwrap();
    let output = run(&["check", "--deny-warnings", "-c", &config]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let shown = stdout(&output);
    assert!(shown.contains("note: "), "{shown}");
    assert!(
        shown.contains("credentials.unit.token_file: ${CREDENTIALS_DIRECTORY}/t"),
        "{shown}"
    );
    assert!(shown.contains("https://dcs.example.com"), "{shown}");
    let output = run(&["run", "-c", &config]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("not set in the environment"));
    let empty = folder.path().display().to_string();
    let output = run_with(
        &["check", "-c", &config],
        &[("CREDENTIALS_DIRECTORY", &empty)],
    );
    assert_eq!(
        output.status.code(),
        Some(2),
        "in the unit they must be there"
    );
}

#[test]
fn warnings_can_be_denied() {
    let folder = Folder::new();
    let more = "[sinks.ops]\nkind = \"webhook\"\nurl = \"http://hooks.example.com\"\n";
    let config = folder.configure("http://127.0.0.1:1", more);
    let output = run(&["check", "-c", &config]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let output = run(&["check", "--deny-warnings", "-c", &config]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--deny-warnings refuses"));
}
