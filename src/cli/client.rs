//! Talks to the daemon's API on behalf of the commands.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cli::Exit;
use crate::cli::output::complain;
use crate::outbound;

/// How long the daemon may take to answer.
const TIMEOUT: Duration = Duration::from_secs(35);

/// Where the daemon is.
#[derive(Args, Debug, Clone)]
pub(super) struct DaemonArgs {
    /// The daemon's URL
    #[arg(
        long,
        env = "JOBWATCH_URL",
        default_value = "http://127.0.0.1:8620",
        value_name = "URL"
    )]
    url: String,
    /// A file with the daemon's bearer token, if it asks for one
    #[arg(long, env = "JOBWATCH_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Why a command got no answer; already told, only the exit code is left.
pub(super) type Refused = Exit;

/// The parts of a problem document that people read.
#[derive(Deserialize)]
struct Problem {
    title: String,
    detail: String,
    #[serde(default)]
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    field: String,
    message: String,
}

/// The daemon's answer.
pub(super) struct Answer<T> {
    /// The HTTP status.
    pub(super) status: http::StatusCode,
    /// The body.
    pub(super) body: T,
}

/// The query for a page of a list: the terms that were given.
pub(super) fn query_of(limit: u32, terms: &[(&str, Option<&str>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &limit.to_string());
    let given = terms
        .iter()
        .filter_map(|(name, value)| Some((name, (*value)?)));
    query.extend_pairs(given).finish()
}

/// A connection to the daemon.
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
}

impl DaemonArgs {
    pub(super) fn client(&self) -> Result<Client, Refused> {
        let usage = |message: String| {
            complain(&message);
            Exit::Usage
        };
        let token = self.token_file.as_ref().map(std::fs::read_to_string);
        let token = token
            .transpose()
            .map_err(|error| usage(format!("cannot read --token-file: {error}")))?;
        Client::new(&self.url, token.map(|token| token.trim().to_owned()))
    }
}

impl Client {
    /// A client of the daemon at `url`.
    pub(super) fn new(url: &str, token: Option<String>) -> Result<Self, Refused> {
        let http = outbound::client()
            .timeout(TIMEOUT)
            // The daemon is usually on this machine, and its token is for nobody else.
            .no_proxy()
            .build()
            .map_err(|error| {
                complain(&format!("cannot set up HTTP: {error}"));
                Exit::Usage
            })?;
        Ok(Self {
            http,
            url: url.trim_end_matches('/').to_owned(),
            token,
        })
    }

    /// Asks, and tells on standard error what went wrong.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: http::Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Answer<T>, Refused> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(body);
        }
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let bytes = response
            .bytes()
            .await
            .map_err(|error| self.unreachable(&error))?;
        if !status.is_success() {
            return Err(refused(status, &bytes));
        }
        let body = serde_json::from_slice(&bytes).map_err(|error| {
            complain(&format!(
                "{} answered what this jobwatch does not understand: {error}",
                self.url
            ));
            Exit::Failed
        })?;
        Ok(Answer { status, body })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Exit {
        if error.is_builder() {
            complain(&format!(
                "`{}` is no URL of a daemon, such as http://127.0.0.1:8620",
                self.url
            ));
            return Exit::Usage;
        }
        complain(&format!(
            "no daemon answers at {}: {}; is `jobwatch run` running? (--url or JOBWATCH_URL says where)",
            self.url,
            outbound::in_words(error)
        ));
        Exit::Unreachable
    }
}

fn refused(status: http::StatusCode, body: &[u8]) -> Exit {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) if problem.errors.is_empty() => {
            complain(&format!("{}: {}", problem.title, problem.detail));
        }
        Ok(problem) => {
            complain(&format!("{}:", problem.title));
            for fault in problem.errors {
                complain(&format!("  {}: {}", fault.field, fault.message));
            }
        }
        Err(_) => complain(&format!("the daemon answered {status}")),
    }
    if status.is_client_error() {
        Exit::Usage
    } else {
        Exit::Failed
    }
}
