//! A Keystone as a process that ends with ours, and the actions of its administrator.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use http::{Method, StatusCode};
use jobwatch::outbound;
use serde_json::{Value, json};

use super::{PATIENCE, RUNTIME};

/// The password of the users that exist from the start.
pub(super) const PASSWORD: &str = "canary-of-the-password";
/// Runs the command after the folder, and then removes the folder. Signals do not interrupt
/// it; the command ends when its input is closed.
const RUN: &str = r#"trap "" INT; folder=$1; shift; "$@"; rm -rf "$folder""#;

/// A Keystone. It ends when its input is closed, so at the latest with the tests.
pub(super) struct Keystone {
    /// Its first line: see `tests/keystone/README.md`.
    ready: Value,
    /// One line for each request.
    log: PathBuf,
    _process: Child,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The token in the header, if there is one.
    pub(super) token: String,
    pub(super) body: Value,
}

impl Keystone {
    pub(super) fn start(prepared: &Path, lifetime: u32, dcs_url: &str) -> Self {
        let state = tempfile::tempdir().unwrap().keep();
        let serve = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keystone/serve.py");
        let mut process = Command::new("sh")
            .args(["-c", RUN, "sh"])
            .arg(&state)
            .arg(prepared.join("venv/bin/python"))
            .arg(serve)
            .arg(&state)
            .args(["--lifetime", &lifetime.to_string(), "--dcs-url", dcs_url])
            .env("KEYSTONE_PASSWORD", PASSWORD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, first_line) = mpsc::channel();
        thread::spawn(move || {
            output
                .lines()
                .try_for_each(|line| sender.send(line.unwrap()))
        });
        let line = first_line.recv_timeout(PATIENCE);
        Self {
            ready: serde_json::from_str(&line.expect("Keystone does not start")).unwrap(),
            log: state.join("requests.log"),
            _process: process,
        }
    }

    /// A value of its first line.
    pub(super) fn info(&self, key: &str) -> &str {
        let text = self.ready[key].as_str();
        text.unwrap_or_else(|| panic!("there is no {key}"))
    }

    /// Its URL, with which the log distinguishes this caller.
    pub(super) fn auth_url(&self, caller: &str) -> String {
        let url = self.info("auth_url");
        url.replace("/v3", &format!("/{caller}/v3"))
    }

    /// The statuses of the answers to this caller's logins, in order.
    pub(super) fn logins(&self, caller: &str) -> Vec<String> {
        let log = std::fs::read_to_string(&self.log).unwrap();
        let begin = format!("POST /{caller}/v3/auth/tokens");
        let lines = log.lines().filter_map(|line| line.strip_prefix(&begin));
        let status = |rest: &str| rest.rsplit(' ').next().unwrap_or_default().to_owned();
        lines.map(status).collect()
    }

    /// Logs in as a user of the domain, for its project.
    pub(super) fn log_in(&self, user_id: &str, password: &str) -> Answer {
        let project = self.info("project_id");
        self.post_login(
            &json!({ "id": user_id, "password": password }),
            &json!({ "id": project }),
        )
    }

    /// True if it accepts the token.
    pub(super) fn accepts(&self, token: &str) -> bool {
        let asked = self.ask(Method::GET, "/auth/tokens?nocatalog", token, &Value::Null);
        asked.status.is_success()
    }

    /// Revokes a token.
    pub(super) fn revoke(&self, token: &str) {
        let revoked = self.ask(Method::DELETE, "/auth/tokens", token, &Value::Null);
        assert!(revoked.status.is_success(), "{}", revoked.body);
    }

    /// Creates a user with the role of the others in the project; returns the id.
    pub(super) fn add_user(&self, name: &str, password: &str) -> String {
        let admin = self.admin();
        let domain_id = self.info("domain_id");
        let user =
            json!({ "user": { "name": name, "domain_id": domain_id, "password": password } });
        let made = self.ask(Method::POST, "/users", &admin, &user);
        assert!(made.status.is_success(), "{}", made.body);
        let user_id = made.body["user"]["id"].as_str().unwrap().to_owned();
        let found = self.ask(Method::GET, "/roles?name=member", &admin, &Value::Null);
        let role_id = found.body["roles"][0]["id"].as_str().unwrap();
        let project_id = self.info("project_id");
        let role = format!("/projects/{project_id}/users/{user_id}/roles/{role_id}");
        let given = self.ask(Method::PUT, &role, &admin, &Value::Null);
        assert!(given.status.is_success(), "{}", given.body);
        user_id
    }

    /// Changes the password of a user, which revokes the user's tokens. Returns once new tokens
    /// are no longer revoked with them.
    pub(super) fn change_password(&self, user_id: &str, password: &str) {
        let user = json!({ "user": { "password": password } });
        let path = format!("/users/{user_id}");
        let changed = self.ask(Method::PATCH, &path, &self.admin(), &user);
        assert!(changed.status.is_success(), "{}", changed.body);
        // Keystone revokes by whole seconds.
        while !self.accepts(&self.log_in(user_id, password).token) {}
    }

    fn admin(&self) -> String {
        let domain = json!({ "id": "default" });
        let (name, password) = (self.info("admin_user"), self.info("admin_password"));
        let user = json!({ "name": name, "domain": domain, "password": password });
        let project = json!({ "name": self.info("admin_project"), "domain": domain });
        self.post_login(&user, &project).token
    }

    fn post_login(&self, user: &Value, project: &Value) -> Answer {
        let identity = json!({ "methods": ["password"], "password": { "user": user } });
        let body = json!({ "auth": { "identity": identity, "scope": { "project": project } } });
        self.ask(Method::POST, "/auth/tokens?nocatalog", "", &body)
    }

    /// A request with `token` about `token`.
    fn ask(&self, method: Method, path: &str, token: &str, body: &Value) -> Answer {
        let url = format!("{}{path}", self.auth_url("tests"));
        let client = outbound::client().no_proxy().build().unwrap();
        let mut request = client
            .request(method, url)
            .header("x-auth-token", token)
            .header("x-subject-token", token)
            .timeout(PATIENCE);
        if !body.is_null() {
            request = request.json(body);
        }
        RUNTIME.block_on(async {
            let response = request.send().await.unwrap();
            let token = response.headers().get("x-subject-token");
            Answer {
                status: response.status(),
                token: token.map_or("", |it| it.to_str().unwrap()).to_owned(),
                body: response.json().await.unwrap_or_default(),
            }
        })
    }
}
