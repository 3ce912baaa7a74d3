//! The settings as users meet them: defaults, mistakes, the manual itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::diagnostic::Diagnostics;
use crate::settings::{Loaded, build, load, load_retention, load_store};
use crate::tree::source::Sources;

mod access;
mod follow_on;
mod manual;
mod sinks;

pub(in crate::settings) struct Folder {
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

    pub(in crate::settings) fn with(self, name: &str, text: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        self
    }

    /// Replaces `{here}` by this folder's name.
    fn with_here(self) -> Self {
        let here = self.folder.path().display().to_string();
        let text = std::fs::read_to_string(self.path("jobwatch.toml")).unwrap();
        self.with("jobwatch.toml", &text.replace("{here}", &here))
    }

    pub(in crate::settings) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    pub(in crate::settings) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(in crate::settings) fn sources(&self) -> Sources {
        Sources {
            files: vec![self.path("jobwatch.toml")],
            environment: self.environment.clone(),
            ..Sources::default()
        }
    }

    fn load(&self) -> Result<Loaded, Diagnostics> {
        load(&self.sources())
    }

    /// Returns every diagnostic as it is printed, without the folder's name.
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

pub(in crate::settings) fn config(text: &str) -> Folder {
    Folder::new().with("jobwatch.toml", text)
}

#[track_caller]
fn assert_diagnostics(diagnostics: &[String], wanted: &[&str]) {
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
    assert_eq!(loaded.settings.api.places(), ["http://127.0.0.1:8620"]);
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
    assert_diagnostics(
        &folder.diagnostics(),
        &[
            "jobwatch.toml:1: instanse: unknown setting `instanse`; did you mean `instance`?",
            "jobwatch.toml:3: poll.max: \"1 parsec\" must be a number with a unit",
            "jobwatch.toml:4: poll.jitter: 7 must be a number from 0 to 1",
            "jobwatch.toml:6: log.format: \"josn\" must be one of auto, human, json; did you mean `json`?",
            "jobwatch.toml:8: services.dcs.definition: \"dsc\" is not one of the 45 that exist; did you mean `dcs`?",
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
    assert_diagnostics(
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
    assert_diagnostics(
        &folder.diagnostics(),
        &["token_file: uses ${DIR}, which is not set"],
    );
    let folder = folder.env("DIR", "/nowhere");
    assert_diagnostics(
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
    assert_eq!(settings.api.listen.unwrap().port(), 3);
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
    assert_diagnostics(
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
    assert_diagnostics(
        &folder.diagnostics(),
        &["can be reached from other machines"],
    );
    let folder = folder.with("r", "reader").with("w", "writer");
    let text = format!(
        "[api]\nlisten = \"0.0.0.0:8620\"\nread_token_file = {:?}\nwrite_token_file = {:?}\n",
        folder.path("r"),
        folder.path("w")
    );
    assert_diagnostics(&folder.with("jobwatch.toml", &text).diagnostics(), &[]);
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
    assert_diagnostics(
        &diagnostics,
        &[
            "api.read_token: must be a text",
            "sinks.ops.url: must not have a user name",
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
    assert_diagnostics(
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
    assert_diagnostics(&folder.diagnostics(), &["token_file: empty is empty"]);
    let folder = folder.with("jobwatch.toml", &directory);
    assert_diagnostics(&folder.diagnostics(), &["folder is not a file"]);
    let folder = folder.with(
        "jobwatch.toml",
        "[api]\nread_token = \"\"\n[store]\nurl = \"sqlite://:memory:\"\n",
    );
    assert_diagnostics(
        &folder.diagnostics(),
        &["api.read_token: is empty", "store.url: must be sqlite://"],
    );
}

#[test]
fn misplaced_setting_is_reported_with_its_place() {
    let text = "[services.a]\ndefinition = \"dcs\"\nurl = \"http://127.0.0.1:1\"\ncredential = \"none\"\n\
         params = { project_id = \"p\" }\nkeep = \"1d\"\nblind_after = \"1m\"\n";
    let folder = Folder::new().with("jobwatch.toml", text);
    assert_diagnostics(
        &folder.diagnostics(),
        &[
            "services.a.blind_after: unknown setting `blind_after`; it belongs in the table `poll`, as `poll.blind_after`",
            "services.a.keep: unknown setting `keep`; it belongs in the table `store`, as `store.keep`",
        ],
    );
}

#[test]
fn watches_are_kept_for_a_time_or_for_ever() {
    let keep = |text: &str| {
        let folder = Folder::new().with("jobwatch.toml", text);
        folder.load().unwrap().settings
    };
    let days = |days: u64| Some(Duration::from_hours(24 * days));
    assert_eq!(keep("").store.keep, days(30));
    assert_eq!(keep("[store]\nkeep = \"1000d\"\n").store.keep, days(1000));
    let forever = keep("[store]\nkeep = \"forever\"\n");
    assert_eq!(forever.store.keep, None);
    assert_eq!(build::keep(&forever), None);
    for wrong in [
        "\"59m\"",
        "\"never\"",
        "\"30\"",
        "\"\"",
        "\"36501d\"",
        "\"99999999d\"",
    ] {
        let folder = Folder::new().with("jobwatch.toml", &format!("[store]\nkeep = {wrong}\n"));
        let said = format!(
            "store.keep: {wrong} must be a duration from 1h to 36500d, such as \"30d\", or \"forever\""
        );
        assert_diagnostics(&folder.diagnostics(), &[&said]);
    }
}

#[test]
fn a_watch_with_late_polls_is_kept_as_long() {
    let text = "[store]\nkeep = \"2h\"\n[poll]\nafter_watch = \"6h\"\n\
         [credentials.otc]\nkind = \"token\"\ntoken_file = \"{here}/token\"\n\
         [services.dcs]\ndefinition = \"dcs\"\nurl = \"https://dcs.example\"\ncredential = \"otc\"\n\
         [[watches]]\nservice = \"dcs\"\njob_id = \"j\"\nparams = { project_id = \"p\" }\n";
    let folder = Folder::new().with("token", "t");
    let folder = folder.with("jobwatch.toml", text).with_here();
    let settings = folder.load().unwrap().settings;
    assert_eq!(build::keep(&settings), Some(Duration::from_hours(6)));
    let configured = build::configured_jobs(&settings);
    assert_eq!(configured, [("dcs".to_owned(), "j".to_owned())].into());
    let store = load_store(&folder.sources()).unwrap();
    assert_eq!(store.database.shown(), settings.store.database.shown());
    let retention = load_retention(&folder.sources()).unwrap();
    assert_eq!(retention.keep, build::keep(&settings), "as the daemon");
    assert_eq!(
        (retention.database.shown(), retention.configured),
        (store.database.shown(), configured)
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
            .contains("every user can read")
    );
}
