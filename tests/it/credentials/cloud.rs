//! A cloud: an identity service, which is also the metadata service, and a job API.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use jobwatch::clock::{SteppedClock, later};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::credentials::register::Register;
use crate::credentials::stand::{Answer, Asked, Stand};
use crate::harness::{App, Setup};

/// The project of every scope, and its domain.
pub(super) const PROJECT: &str = "project-id-of-the-stand-in";
pub(super) const DOMAIN: &str = "domain-id-of-the-stand-in";
/// The name of that project.
pub(super) const PROJECT_NAME: &str = "eu-de_prod";
/// The content of the file `password`.
pub(super) const PASSWORD: &str = "correct-horse-battery";
/// The contents of the files `ak` and `sk`.
pub(super) const ACCESS_KEY: &str = "ACCESSKEYOFTESTS";
pub(super) const SECRET_KEY: &str = "secret-key-of-the-tests";

/// The path that issues tokens.
pub(super) const TOKENS: &str = "/v3/auth/tokens";
/// The path that issues temporary keys.
pub(super) const KEYS: &str = "/v3.0/OS-CREDENTIAL/securitytokens";

/// A user and a password.
pub(super) const KEYSTONE: &str = "[credentials.otc]\nkind = \"keystone\"\nauth_url = \"{iam}\"\n\
    username = \"watcher\"\ndomain = \"OTC-1\"\npassword_file = \"{secrets}/password\"\n\
    project = \"eu-de_prod\"\n";
/// A permanent key.
pub(super) const AKSK: &str = "[credentials.otc]\nkind = \"aksk\"\n\
    access_key_file = \"{secrets}/ak\"\nsecret_key_file = \"{secrets}/sk\"\n\
    project_id = \"project-id-of-the-stand-in\"\n";

/// A cloud.
pub(super) struct Cloud {
    pub(super) identity: Stand,
    pub(super) jobs: Stand,
    pub(super) register: Arc<Register>,
    pub(super) clock: SteppedClock,
    is_over: Arc<AtomicBool>,
    secrets: TempDir,
}

impl Cloud {
    pub(super) fn start() -> Self {
        let clock = Setup::default().clock;
        let register = Arc::new(Register::new(&clock));
        register.know_key(ACCESS_KEY, SECRET_KEY, None);
        let is_over = Arc::new(AtomicBool::new(false));
        let identity = {
            let register = Arc::clone(&register);
            Stand::start(&clock, move |asked| identity(&register, asked))
        };
        let jobs = Self::job_api(&clock, &register, &is_over);
        let cloud = Self {
            identity,
            jobs,
            register,
            clock,
            is_over,
            secrets: tempfile::tempdir().unwrap(),
        };
        cloud.write("password", PASSWORD);
        cloud.write("ak", ACCESS_KEY);
        cloud.write("sk", SECRET_KEY);
        cloud
    }

    fn job_api(clock: &SteppedClock, register: &Arc<Register>, is_over: &Arc<AtomicBool>) -> Stand {
        let (register, is_over) = (Arc::clone(register), Arc::clone(is_over));
        Stand::start(clock, move |asked| match register.judge(asked) {
            Ok(()) => job(asked, is_over.load(Ordering::Relaxed)),
            Err(message) => Answer::gateway(401, "APIGW.0301", &message),
        })
    }

    /// Another job API that accepts the same tokens and keys.
    pub(super) fn another_job_api(&self) -> Stand {
        Self::job_api(&self.clock, &self.register, &self.is_over)
    }

    /// Makes every job succeed.
    pub(super) fn finish_jobs(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Writes a file that the settings name as `{secrets}/NAME`.
    pub(super) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.secrets.path().join(name), text).unwrap();
    }

    /// The path of that file.
    pub(super) fn place(&self, name: &str) -> String {
        self.secrets.path().join(name).display().to_string()
    }

    /// The program with these credentials, and the service `jobs`, which uses `otc`.
    pub(super) async fn app(&self, credentials: &str) -> App {
        let text = format!("{credentials}{}", Cloud::service("jobs", &self.jobs.url));
        self.app_with(&text).await
    }

    /// The program with these settings.
    pub(super) async fn app_with(&self, settings: &str) -> App {
        let setup = Setup {
            more: self.filled(settings),
            clock: self.clock.clone(),
            ..Setup::default()
        };
        setup.start().await
    }

    /// The settings of a service that uses `otc` and polls once a second.
    pub(super) fn service(name: &str, url: &str) -> String {
        format!(
            "[services.{name}]\ndefinition = \"dcs\"\nurl = \"{url}\"\ncredential = \"otc\"\n\
             rate = 100000.0\nburst = 100000\nconcurrency = 64\n\
             poll = {{ jitter = 0.0, first = \"1s\", initial = \"1s\", max = \"1s\" }}\n"
        )
    }

    /// The settings with `{iam}`, `{metadata}` and `{secrets}` filled in.
    pub(super) fn filled(&self, settings: &str) -> String {
        settings
            .replace("{iam}", &format!("{}/v3", self.identity.url))
            .replace("{metadata}", &self.identity.url)
            .replace("{secrets}", &self.secrets.path().display().to_string())
    }

    /// The number of token requests.
    pub(super) fn logins(&self) -> usize {
        self.identity.count_of("POST", TOKENS)
    }
}

/// A job of the Distributed Cache Service.
fn job(asked: &Asked, is_over: bool) -> Answer {
    let job_id = asked.path.rsplit('/').next().unwrap();
    let job_id = percent_decode_str(job_id).decode_utf8().unwrap();
    let status = if is_over { "SUCCESS" } else { "RUNNING" };
    let body = json!({
        "job_id": job_id,
        "job_type": "createInstance",
        "status": status,
        "begin_time": "1795341600000",
    });
    Answer::new(200, &body)
}

fn identity(register: &Register, asked: &Asked) -> Answer {
    let is_token = asked.is("POST", TOKENS);
    // The source of an agency must be known; passwords are not checked.
    let assumes = asked.json()["auth"]["identity"]["methods"][0] == "assume_role";
    if is_token && !assumes {
        return token(register, &json!([]));
    }
    if asked.is("GET", "/openstack/latest/securitykey") {
        return key(register, 200);
    }
    if asked.is("PUT", "/meta-data/latest/api/token") {
        return Answer::text(200, "session-of-the-stand-in\n");
    }
    if let Err(message) = register.judge(asked) {
        return Answer::gateway(401, "APIGW.0301", &message);
    }
    if is_token {
        return token(register, &json!([]));
    }
    if asked.is("POST", KEYS) {
        return key(register, 201);
    }
    if asked.is("GET", "/v3/projects") {
        let project = json!({ "id": PROJECT, "name": PROJECT_NAME, "domain_id": DOMAIN });
        return Answer::new(200, &json!({ "projects": [project] }));
    }
    let body = json!({ "error": { "code": 404, "message": "not found", "title": "Not Found" } });
    Answer::new(404, &body)
}

/// A token with its scope and its catalog.
pub(super) fn token(register: &Register, catalog: &Value) -> Answer {
    let issued_at: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
    let expires_at = later(issued_at, register.lifetime());
    let body = json!({ "token": {
        "issued_at": issued_at.to_string(),
        "expires_at": expires_at.to_string(),
        "user": { "name": "watcher", "domain": { "id": DOMAIN, "name": "OTC-1" } },
        "project": {
            "id": PROJECT,
            "name": PROJECT_NAME,
            "domain": { "id": DOMAIN, "name": "OTC-1" },
        },
        "catalog": catalog,
    }});
    Answer::new(201, &body).with("x-subject-token", register.token())
}

/// A token without a scope, a catalog or an expiry.
pub(super) fn bare_token(register: &Register) -> Answer {
    let body = json!({ "token": { "project": { "id": PROJECT } } });
    Answer::new(201, &body).with("x-subject-token", register.token())
}

fn key(register: &Register, status: u16) -> Answer {
    let (access, secret, token, until) = register.key();
    let body = json!({ "credential": {
        "access": access,
        "secret": secret,
        "securitytoken": token,
        "expires_at": until.to_string(),
    }});
    Answer::new(status, &body)
}

/// Submits this many jobs.
pub(super) async fn watches(app: &App, count: usize) -> Vec<jobwatch::watch::WatchId> {
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(app.submit("jobs", &format!("job-{number}")).await);
    }
    ids
}

/// The longest time that a test gives a watch to end.
pub(super) const HOUR: Duration = Duration::from_hours(1);
