//! Sinks and callbacks in a configuration: each mistake, each warning.

use crate::settings::tests::{Folder, assert_diagnostics, config};

#[test]
fn a_world_readable_template_is_not_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new().with("chat.j2", "{{ data.outcome }}");
    let template = folder.path("chat.j2");
    std::fs::set_permissions(&template, std::fs::Permissions::from_mode(0o644)).unwrap();
    let text = format!(
        "[sinks.chat]\nkind = \"webhook\"\nurl = \"https://x\"\ntemplate_file = {template:?}\n"
    );
    let loaded = folder.with("jobwatch.toml", &text).load().unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_diagnostics(&warnings, &[]);
}

#[test]
fn events_over_plain_http_to_another_machine_are_a_warning() {
    for (url, is_warned) in [
        ("http://hooks.example.com", true),
        ("https://hooks.example.com", false),
        ("http://127.0.0.1:9", false),
    ] {
        let text = format!("[sinks.ops]\nkind = \"webhook\"\nurl = \"{url}\"\n");
        let folder = Folder::new().with("jobwatch.toml", &text);
        let warnings = folder.load().unwrap().warnings;
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        let unencrypted = ["jobwatch.toml:3: sinks.ops.url: events are sent unencrypted"];
        assert_diagnostics(&warnings, &unencrypted[..usize::from(is_warned)]);
    }
}

#[test]
fn webhook_diagnostics_are_reported() {
    let folder = Folder::new()
        .with("broken.j2", "{\n{{ data.reason")
        .with("unknown.j2", "{\"text\": {{ data.labels.team }}}")
        .with("header", "Bearer canary")
        .with("ca", "no certificate")
        .with("half", "whsk_c2hvcnQ=");
    let here = folder.folder.path().display().to_string();
    let text = r#"[sinks.callback]
kind = "log"
[sinks.one]
kind = "webhook"
url = "https://10.0.0.1/"
deny_private = true
mode = "binry"
content_type = "text/plain"
header_files = { host = "{here}/header", "a b" = "{here}/header", x = "{here}/absent" }
client_cert_file = "{here}/ca"
old_secret_file = "{here}/half"
[sinks.two]
kind = "webhook"
url = "http://x"
template_file = "{here}/broken.j2"
mode = "binary"
deny_private = "yes"
ca_file = "{here}/ca"
[api]
allow_callback_hosts = ["https://hooks.example.com/"]
"#;
    let folder = folder.with("jobwatch.toml", &text.replace("{here}", &here));
    assert_diagnostics(
        &folder.diagnostics(),
        &[
            "sinks.callback: is the sink of the `callback_url`",
            "sinks.one.url: the URL leads to 10.0.0.1",
            "sinks.one.mode: \"binry\" must be one of structured, binary; did you mean `binary`?",
            "sinks.one.content_type: has no effect without a template_file",
            "sinks.one.header_files: `host` is set by jobwatch itself",
            "sinks.one.header_files: invalid header name `a b`",
            "sinks.one.header_files: cannot read absent",
            "sinks.one.client_cert_file: needs client_key_file beside it",
            "sinks.one.old_secret_file: must have 32 bytes",
            "sinks.two.template_file: broken.j2:2: syntax error",
            "sinks.two.mode: has no effect beside template_file",
            "sinks.two.deny_private: \"yes\" must be true or false",
            "sinks.two.ca_file: has no effect with an http:// URL",
            "sinks.two.ca_file: ca holds no certificate",
            "api.allow_callback_hosts: \"https://hooks.example.com/\" must be the name of a host",
        ],
    );
    let text = format!(
        "[sinks.two]\nkind = \"webhook\"\nurl = \"https://x\"\ntemplate_file = \"{here}/unknown.j2\"\n"
    );
    let folder = folder.with("jobwatch.toml", &text);
    let loaded = folder.load().unwrap();
    let warning = loaded.warnings[0].to_string();
    assert!(
        warning.contains("unknown.j2:1: undefined value"),
        "{warning}"
    );
    let folder = folder.with("unknown.j2", "{\"text\": \"{{ data.reason }}\"}");
    let loaded = folder.load().unwrap();
    let warning = loaded.warnings[0].to_string();
    assert!(
        warning.contains("with a reason") && warning.contains("without quotes around it"),
        "{warning}"
    );
}

#[test]
fn a_mistyped_sink_key_is_reported_with_the_nearest() {
    let folder = Folder::new();
    let here = folder.folder.path().display().to_string();
    let text = format!(
        "[sinks.a]\nkind = \"file\"\npath = \"{here}/a\"\nfsnc = true\nservices = [\"dcs\"]\n\
         [sinks.b]\nkind = \"webhook\"\nurl = \"https://x\"\nmodes = \"binary\"\n"
    );
    assert_diagnostics(
        &folder.with("jobwatch.toml", &text).diagnostics(),
        &[
            "sinks.a.fsnc: unknown setting `fsnc`; did you mean `fsync`?",
            "sinks.a.services: unknown service `dcs`; none is configured",
            "sinks.b.modes: unknown setting `modes`; did you mean `mode`?",
        ],
    );
}

#[test]
fn file_and_command_diagnostics_are_reported() {
    let folder = Folder::new().with("plain", "no program");
    let here = folder.folder.path().display().to_string();
    let text = r#"[sinks.a]
kind = "file"
path = "events.jsonl"
max_bytes = 1
[sinks.b]
kind = "file"
path = "/nowhere/at/all"
[sinks.c]
kind = "file"
path = "{here}"
fsync = 1
[sinks.d]
kind = "file"
path = "{here}/same"
[sinks.e]
kind = "file"
path = "{here}/same"
[sinks.f]
kind = "exec"
command = ["sh", "-c", "true"]
timeout = "5m"
[sinks.g]
kind = "exec"
command = ["{here}/plain"]
concurrency = 0
[sinks.h]
kind = "exec"
command = []
[sinks.i]
kind = "exec"
[sinks.j]
kind = "exec"
command = "/bin/true"
"#;
    let folder = folder.with("jobwatch.toml", &text.replace("{here}", &here));
    assert_diagnostics(
        &folder.diagnostics(),
        &[
            "sinks.a.path: must be an absolute path",
            "sinks.a.max_bytes: 1 must be a size from 4KiB",
            "sinks.b.path: the folder /nowhere/at does not exist",
            "is not a file",
            "sinks.c.fsync: 1 must be true or false",
            "sinks.e: writes the same file as the sink `d`",
            "sinks.f.command: the program sh must be an absolute path",
            "sinks.f.timeout: must be at most 45s",
            "sinks.g.command: plain is not an executable file",
            "sinks.g.concurrency: 0 must be a whole number",
            "sinks.h.command: must name a program",
            "sinks.i.command: is missing",
            "sinks.j.command: \"/bin/true\" must be a list",
        ],
    );
}

#[test]
fn a_callback_url_needs_a_listed_host() {
    let watch = |host: &str| {
        format!(
            "[services.dcs]\ndefinition = \"dcs\"\nurl = \"https://x\"\ncredential = \"none\"\n\
             [[watches]]\nservice = \"dcs\"\njob_id = \"1\"\n\
             callback_url = \"https://{host}/hunter2\"\n"
        )
    };
    let allowed = "[api]\nallow_callback_hosts = [\"*.example.com\"]\n";
    let diagnostics = |text: &str| config(text).diagnostics();
    let not_listed = diagnostics(&format!("{}{allowed}", watch("a.example.org")));
    assert_diagnostics(
        &not_listed,
        &["watches.0.callback_url: leads to a.example.org, which"],
    );
    let switched_off = diagnostics(&watch("a.example.com"));
    assert_diagnostics(&switched_off, &["watches.0.callback_url: is not allowed"]);
    assert!(!format!("{not_listed:?}{switched_off:?}").contains("hunter2"));
    assert_diagnostics(
        &diagnostics(&format!("{}{allowed}", watch("a.example.com"))),
        &[],
    );
}
