//! The settings as users meet them: defaults, mistakes, the manual itself.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::settings::{DEFAULT, Diagnostics, Loaded, Sources, load, sections};
use crate::tree::reader::Context;
use crate::tree::source;

struct Folder {
    folder: tempfile::TempDir,
    environment: BTreeMap<String, String>,
}

impl Folder {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            environment: BTreeMap::new(),
        }
    }

    fn with(self, name: &str, text: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sources(&self) -> Sources {
        Sources {
            files: vec![self.path("jobwatch.toml")],
            environment: self.environment.clone(),
        }
    }

    fn load(&self) -> Result<Loaded, Diagnostics> {
        load(&self.sources())
    }

    /// Every problem as it is printed, less the folder's name.
    fn diagnostics(&self) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        match self.load() {
            Ok(_) => Vec::new(),
            Err(Diagnostics(diagnostics)) => diagnostics
                .iter()
                .map(|problem| problem.to_string().replace(&folder, ""))
                .collect(),
        }
    }
}

fn config(text: &str) -> Folder {
    Folder::new().with("jobwatch.toml", text)
}

#[track_caller]
fn assert_told(diagnostics: &[String], wanted: &[&str]) {
    for part in wanted {
        assert!(
            diagnostics.iter().any(|problem| problem.contains(part)),
            "{part:?} is not among {diagnostics:#?}"
        );
    }
    assert_eq!(diagnostics.len(), wanted.len(), "{diagnostics:#?}");
}

#[test]
fn the_default_settings_are_valid() {
    let loaded = load(&Sources::default()).unwrap();
    assert_eq!(loaded.settings.instance, "jobwatch");
    assert_eq!(loaded.settings.api.listen.to_string(), "127.0.0.1:8620");
    assert_eq!(loaded.settings.sinks.len(), 1);
    assert!(loaded.warnings.is_empty());
}

#[test]
fn all_diagnostics_have_file_line_and_nearest_name() {
    let folder = config(
        r#"instanse = "prod"
[poll]
max = "1 parsec"
jitter = 7
[log]
format = "josn"
[services.dcs]
definition = "dsc"
url = "ftp://x"
credential = "otc"
params = { projekt_id = "p" }
rate = 0
[services.Bad_Name]
definition = "dcs"
[sinks.ops]
kind = "webhook"
url = "https://x"
events = ["finishd"]
"#,
    );
    assert_told(
        &folder.diagnostics(),
        &[
            "jobwatch.toml:1: instanse: unknown setting `instanse`; did you mean `instance`?",
            "jobwatch.toml:3: poll.max: \"1 parsec\" must be a number with a unit",
            "jobwatch.toml:4: poll.jitter: 7 must be a number from 0 to 1",
            "jobwatch.toml:6: log.format: \"josn\" must be one of auto, human, json; did you mean `json`?",
            "jobwatch.toml:8: services.dcs.definition: \"dsc\" is not one of the 43 that exist; did you mean `dcs`?",
            "jobwatch.toml:9: services.dcs.url: must be an absolute URL",
            "jobwatch.toml:10: services.dcs.credential: \"otc\" must be one of none",
            "jobwatch.toml:12: services.dcs.rate: 0 must be a number from 0.01 to 100000",
            "jobwatch.toml:13: services.Bad_Name: the name must be made of a-z",
            "jobwatch.toml:18: sinks.ops.events: \"finishd\" must be one of finished",
        ],
    );
}

#[test]
fn a_param_unknown_to_the_definition_is_reported() {
    let folder = config(
        "[services.dcs]\ndefinition = \"dcs\"\nurl = \"https://x\"\ncredential = \"none\"\nparams = { projekt_id = \"p\" }\n",
    );
    assert_told(
        &folder.diagnostics(),
        &[
            "jobwatch.toml:5: services.dcs.params: \"projekt_id\" must be one of project_id; did you mean `project_id`?",
        ],
    );
}

#[test]
fn a_missing_file_is_named() {
    let missing = Sources {
        files: vec![PathBuf::from("nowhere/jobwatch.toml")],
        ..Sources::default()
    };
    let Err(diagnostics) = load(&missing) else {
        panic!("a file that is not there was read")
    };
    assert!(
        diagnostics
            .to_string()
            .contains("nowhere/jobwatch.toml: cannot be read")
    );
    let folder = config("[credentials.otc]\nkind = \"token\"\ntoken_file = \"${DIR}/token\"\n");
    assert_told(
        &folder.diagnostics(),
        &["token_file: uses ${DIR}, which is not set"],
    );
    let folder = folder.env("DIR", "/nowhere");
    assert_told(
        &folder.diagnostics(),
        &["token_file: cannot read /nowhere/token"],
    );
}

#[test]
fn invalid_toml_is_reported_with_its_line() {
    let diagnostics = config("[api]\nlisten = \n").diagnostics();
    assert_eq!(diagnostics.len(), 1);
    assert!(
        diagnostics[0].starts_with("jobwatch.toml:2: not TOML:"),
        "{diagnostics:?}"
    );
}

#[test]
fn later_sources_override_earlier_ones_key_by_key() {
    let folder = config("instance = \"file\"\n[api]\nlisten = \"127.0.0.1:1\"\nconnections = 7\n")
        .with("conf.d/20.toml", "[api]\nlisten = \"127.0.0.1:3\"\n")
        .with(
            "conf.d/10.toml",
            "instance = \"drop-in\"\n[api]\nlisten = \"127.0.0.1:2\"\n",
        )
        .env("JOBWATCH__INSTANCE", "env-1");
    let settings = folder.load().unwrap().settings;
    assert_eq!(settings.instance, "env-1");
    assert_eq!(settings.api.listen.port(), 3);
    assert_eq!(settings.api.connections, 7);
}

#[test]
fn environment_values_are_parsed_and_errors_reported() {
    let folder = config("[sinks.ops]\nkind = \"webhook\"\nurl = \"https://x\"\n")
        .env("JOBWATCH__POLL__MULTIPLIER", "2.5")
        .env("JOBWATCH__API__CONNECTIONS", "9")
        .env("JOBWATCH__SINKS__OPS__EVENTS", "finished, changed");
    let settings = folder.load().unwrap().settings;
    assert_eq!(settings.api.connections, 9);
    assert_eq!(settings.sinks["ops"].filter.events.len(), 2);
    let folder = folder
        .env("JOBWATCH__API__CONNECTIONS", "many")
        .env("JOBWATCH__API__LISTN", "127.0.0.1:1");
    assert_told(
        &folder.diagnostics(),
        &[
            "the environment: api.connections: \"many\" must be a whole number",
            "the environment: api.listn: unknown setting `listn`; did you mean `listen`?",
        ],
    );
}

#[test]
fn an_open_address_needs_both_tokens() {
    let folder = config("[api]\nlisten = \"0.0.0.0:8620\"\n");
    assert_told(
        &folder.diagnostics(),
        &["can be reached from other machines"],
    );
    let folder = folder.with("r", "reader").with("w", "writer");
    let text = format!(
        "[api]\nlisten = \"0.0.0.0:8620\"\nread_token_file = {:?}\nwrite_token_file = {:?}\n",
        folder.path("r"),
        folder.path("w")
    );
    assert_told(&folder.with("jobwatch.toml", &text).diagnostics(), &[]);
}

#[test]
fn a_secret_is_kept_byte_for_byte_and_never_shown() {
    use secrecy::ExposeSecret;
    let folder = Folder::new().with("token", "00042\n");
    let text = format!("[api]\nread_token_file = {:?}\n", folder.path("token"));
    let folder = folder.with("jobwatch.toml", &text);
    let settings = folder.load().unwrap().settings;
    assert_eq!(settings.api.read_token.unwrap().expose_secret(), "00042");
    let folder = config(
        "[api]\nread_token = 31337\n[sinks.ops]\nkind = \"webhook\"\nurl = \"https://user:hunter2@x\"\nsecret = \"hunter2\"\n",
    );
    let diagnostics = folder.diagnostics();
    assert_told(
        &diagnostics,
        &[
            "api.read_token: must be a text",
            "sinks.ops.url: must hold no user name",
            "sinks.ops.secret_file: must begin with",
        ],
    );
    let all = diagnostics.join("\n");
    assert!(!all.contains("hunter2") && !all.contains("31337"), "{all}");
}

#[test]
fn configured_watches_are_checked_like_submitted_ones() {
    let folder = config(
        "[services.dcs]\ndefinition = \"dcs\"\nurl = \"https://x\"\ncredential = \"none\"\n\
         params = { project_id = \"..\" }\n\
         [[watches]]\nservice = \"dsc\"\njob_id = \"..\"\ndeadline = \"yesterday\"\nsinks = [\"lgo\"]\n",
    );
    assert_told(
        &folder.diagnostics(),
        &[
            "jobwatch.toml:5: services.dcs.params: `project_id` must have",
            "jobwatch.toml:7: watches.0.service: \"dsc\" must be one of dcs; did you mean `dcs`?",
            "jobwatch.toml:8: watches.0.job_id: must not be a step in a path",
            "jobwatch.toml:9: watches.0.deadline: `yesterday` must be a duration",
            "jobwatch.toml:10: watches.0.sinks: \"lgo\" must be one of log; did you mean `log`?",
        ],
    );
}

#[test]
fn an_invalid_secret_file_is_reported() {
    let folder = Folder::new().with("empty", "").with("folder/x", "");
    let token = |name: &str| {
        format!(
            "[credentials.otc]\nkind = \"token\"\ntoken_file = {:?}\n",
            folder.path(name)
        )
    };
    let (empty, directory) = (token("empty"), token("folder"));
    let folder = folder.with("jobwatch.toml", &empty);
    assert_told(&folder.diagnostics(), &["token_file: empty is empty"]);
    let folder = folder.with("jobwatch.toml", &directory);
    assert_told(&folder.diagnostics(), &["folder is not a file"]);
    let folder = folder.with(
        "jobwatch.toml",
        "[api]\nread_token = \"\"\n[store]\nurl = \"sqlite://:memory:\"\n",
    );
    assert_told(
        &folder.diagnostics(),
        &["api.read_token: is empty", "store.url: must be sqlite://"],
    );
}

#[test]
fn a_world_readable_secret_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new().with("token", "t");
    let token = folder.path("token");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    let text = format!("[credentials.otc]\nkind = \"token\"\ntoken_file = {token:?}\n");
    let loaded = folder.with("jobwatch.toml", &text).load().unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert!(
        loaded.warnings[0]
            .to_string()
            .contains("everybody can read")
    );
}

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
    assert_told(&warnings, &[]);
}

#[test]
fn events_over_plain_http_to_another_machine_are_a_warning() {
    for (url, told) in [
        ("http://hooks.example.com", true),
        ("https://hooks.example.com", false),
        ("http://127.0.0.1:9", false),
    ] {
        let text = format!("[sinks.ops]\nkind = \"webhook\"\nurl = \"{url}\"\n");
        let folder = Folder::new().with("jobwatch.toml", &text);
        let warnings = folder.load().unwrap().warnings;
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        let unencrypted = ["jobwatch.toml:3: sinks.ops.url: events are sent unencrypted"];
        assert_told(&warnings, &unencrypted[..usize::from(told)]);
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
    assert_told(
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
    assert_told(
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
    assert_told(
        &folder.diagnostics(),
        &[
            "sinks.a.path: must be an absolute path",
            "sinks.a.max_bytes: 1 must be a whole number",
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
            "sinks.j.command: must name a program",
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
    assert_told(
        &not_listed,
        &["watches.0.callback_url: leads to a.example.org, which"],
    );
    let switched_off = diagnostics(&watch("a.example.com"));
    assert_told(&switched_off, &["watches.0.callback_url: is not allowed"]);
    assert!(!format!("{not_listed:?}{switched_off:?}").contains("hunter2"));
    assert_told(
        &diagnostics(&format!("{}{allowed}", watch("a.example.com"))),
        &[],
    );
}

/// The manual with its examples switched on: lines that begin with `#` and no space.
fn manual() -> String {
    let lines = DEFAULT.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn manual_folder() -> Folder {
    let identity = rcgen::generate_simple_self_signed(vec!["jobwatch.example".to_owned()]).unwrap();
    let certificate = identity.cert.pem();
    let folder = Folder::new()
        .with(
            "services/mine.toml",
            include_str!("../../config/services/dcs.toml"),
        )
        .with("otc-token", "token")
        .with("otc-password", "password")
        .with("otc-totp", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
        .with("application", "secret")
        .with("ak", "access key")
        .with("sk", "secret key")
        .with("security-token", "security token")
        .with("service-account-token", "token")
        .with("jenkins", "password")
        .with("gitlab", "token")
        .with(
            "clouds.yaml",
            "clouds:\n  otc:\n    auth:\n      auth_url: https://iam.eu-de.otc.t-systems.com/v3\n      token: t\n      project_name: eu-de_x\n",
        )
        .with("ops-webhook", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .with(
            "ops-webhook-old",
            "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        )
        .with("ops-authorization", "Bearer canary")
        .with("pagerduty", "0123456789abcdef0123456789abcdef")
        .with("callback", "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=")
        .with("callback-old", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .with(
            "pagerduty.json.j2",
            include_str!("../../config/templates/pagerduty.json.j2"),
        )
        .with("ca.pem", &certificate)
        .with("client.pem", &certificate)
        .with("client-key.pem", &identity.signing_key.serialize_pem())
        .with("api-read", "reader")
        .with("api-write", "writer");
    let here = folder.folder.path().display().to_string();
    let text = manual()
        .replace("/etc/jobwatch/secrets", &here)
        .replace("/etc/jobwatch/templates", &here)
        .replace("/etc/jobwatch/tls", &here)
        .replace(
            "/var/lib/jobwatch/events.jsonl",
            &format!("{here}/events.jsonl"),
        )
        .replace("/usr/local/bin/open-ticket", "/bin/sh")
        .replace("/etc/jobwatch/services", &format!("{here}/services"));
    folder
        .with("jobwatch.toml", &text)
        .env("CREDENTIALS_DIRECTORY", &here)
        .env("OS_CLIENT_CONFIG_FILE", &format!("{here}/clouds.yaml"))
        .env("OS_ACCESS_KEY", "access key")
        .env("OS_SECRET_KEY", "secret key")
}

#[test]
fn the_manual_is_valid_with_all_its_examples() {
    assert_told(&manual_folder().diagnostics(), &[]);
}

#[test]
fn the_manual_names_every_setting() {
    let folder = manual_folder();
    let layered = source::layer(DEFAULT, &folder.sources()).unwrap();
    let context = Context::new(&layered);
    sections::read_in(&context);
    let manual = DEFAULT;
    for asked in context.asked() {
        let key = asked.rsplit('.').next().unwrap();
        let is_secret_inline = manual.contains(&format!("{key}_file ="));
        let is_poll_override = asked.starts_with("services.*.poll.");
        let is_named = [
            format!("{key} ="),
            format!("[{key}]"),
            format!("[{key}."),
            format!("[[{key}]]"),
        ]
        .iter()
        .any(|form| manual.contains(form));
        assert!(
            is_named || is_secret_inline || is_poll_override,
            "{asked} is not in the manual"
        );
    }
}
