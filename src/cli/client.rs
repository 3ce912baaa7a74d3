//! The HTTP client with which commands call the daemon's API.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::de::DeserializeOwned;

use crate::cli::complaint::{Problem, complain, complain_problem};
use crate::cli::{Exit, environment};
use crate::outbound;

/// The time limit of one call: 5 s more than the daemon takes at most.
const TIMEOUT: Duration = Duration::from_secs(35);

/// The options that select the daemon.
#[derive(Args, Debug, Clone)]
pub(super) struct DaemonArgs {
    /// The URL of the daemon
    #[arg(
        long,
        env = "JOBWATCH_URL",
        default_value = "http://127.0.0.1:8620",
        value_name = "URL"
    )]
    url: String,
    /// A file with the bearer token of the daemon, if it requires one
    #[arg(long, env = "JOBWATCH_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// The exit code of a call that failed; its error is printed already.
pub(super) type Refused = Exit;

pub(super) struct Answer<T> {
    pub(super) status: http::StatusCode,
    pub(super) body: T,
}

/// Composes the query for a page of a list from the terms that have a value.
pub(super) fn query_of(limit: u32, terms: &[(&str, Option<&str>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &limit.to_string());
    let given = terms
        .iter()
        .filter_map(|(name, value)| Some((name, (*value)?)));
    query.extend_pairs(given).finish()
}

/// A client of one daemon. It prints its errors itself.
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
}

impl DaemonArgs {
    pub(super) fn client(&self) -> Result<Client, Refused> {
        environment::check()?;
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
    pub(super) fn new(url: &str, token: Option<String>) -> Result<Self, Refused> {
        let http = outbound::client()
            .timeout(TIMEOUT)
            // The daemon is usually on this machine, and no proxy may see its token.
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

    /// Calls the API. An error is printed to standard error; its exit code is returned.
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
                "cannot read the answer of {}: {error}; is it a jobwatch of the same version?",
                self.url
            ));
            Exit::Failed
        })?;
        Ok(Answer { status, body })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Exit {
        if error.is_builder() {
            complain(&format!(
                "invalid URL `{}`; give one such as http://127.0.0.1:8620",
                self.url
            ));
            return Exit::Usage;
        }
        complain(&format!(
            "cannot reach the daemon at {}: {}; start it with `jobwatch run`, or set --url or JOBWATCH_URL",
            self.url,
            outbound::in_words(error)
        ));
        Exit::Unreachable
    }
}

fn refused(status: http::StatusCode, body: &[u8]) -> Exit {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) if !problem.title.is_empty() => complain_problem(&problem),
        _ => complain(&format!(
            "the server answered HTTP {status} without a reason; is it a jobwatch daemon? (--url, JOBWATCH_URL)"
        )),
    }
    if status.is_client_error() {
        Exit::Usage
    } else {
        Exit::Failed
    }
}
