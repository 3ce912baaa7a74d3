//! The things that a case does, in order.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value as Toml};

use super::value::Wanted;

/// One thing that a case does; its verb is one of [`VERBS`].
#[derive(Deserialize)]
#[serde(try_from = "Table")]
pub(super) enum Action {
    Submit(Submit),
    Wait(Wait),
    Stop(Stop),
    Pause(Pause),
    Hits(Hits),
    Next(Next),
    Cli(Cli),
    Get(Get),
    Restart,
}

const VERBS: &[&str] = &[
    "submit", "wait", "stop", "pause", "hits", "next", "cli", "get", "restart",
];

/// `POST /v1/watches`; the watch is called `name`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Submit {
    #[serde(rename = "submit")]
    pub(super) request: Toml,
    #[serde(rename = "as")]
    pub(super) name: String,
    #[serde(default = "created")]
    pub(super) http: u16,
    /// The name of the earlier watch that it must be; without, it must be a new one.
    pub(super) is: Option<String>,
    #[serde(default)]
    pub(super) answer: BTreeMap<String, Wanted>,
}

/// Waits until a watch has ended.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    pub(super) wait: String,
}

/// Makes jobwatch stop watching.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stop {
    pub(super) stop: String,
}

/// Lets seconds go by.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pause {
    pub(super) pause: f64,
}

/// Waits until the stub was asked so often.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hits {
    pub(super) hits: usize,
    pub(super) at: String,
}

/// Makes the stub go on to its next step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Next {
    pub(super) next: String,
}

/// Runs a command of jobwatch; with `as`, its JSON names a watch.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cli {
    #[serde(rename = "cli")]
    pub(super) arguments: Vec<String>,
    #[serde(default)]
    pub(super) exit: i32,
    #[serde(default)]
    pub(super) out: Vec<String>,
    #[serde(default)]
    pub(super) lacks: Vec<String>,
    #[serde(rename = "as")]
    pub(super) name: Option<String>,
    pub(super) is: Option<String>,
}

/// Asks the API.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Get {
    #[serde(rename = "get")]
    pub(super) path: String,
    #[serde(default = "ok")]
    pub(super) http: u16,
    #[serde(default)]
    pub(super) has: Vec<String>,
    #[serde(default)]
    pub(super) lacks: Vec<String>,
}

/// Ends jobwatch with SIGTERM and starts it again, in the same folder.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Restart {
    restart: bool,
}

fn created() -> u16 {
    201
}

fn ok() -> u16 {
    200
}

impl TryFrom<Table> for Action {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        let verbs: Vec<&&str> = VERBS.iter().filter(|it| table.contains_key(**it)).collect();
        let [verb] = verbs[..] else {
            return Err(format!("an action needs one of {}", VERBS.join(", ")));
        };
        match *verb {
            "submit" => read(table).map(Self::Submit),
            "wait" => read(table).map(Self::Wait),
            "stop" => read(table).map(Self::Stop),
            "pause" => read(table).map(Self::Pause),
            "hits" => read(table).map(Self::Hits),
            "next" => read(table).map(Self::Next),
            "cli" => read(table).map(Self::Cli),
            "get" => read(table).map(Self::Get),
            _ => read(table).and_then(|Restart { restart }| {
                let only = "`restart` is always true".to_owned();
                restart.then_some(Self::Restart).ok_or(only)
            }),
        }
    }
}

fn read<T: DeserializeOwned>(table: Table) -> Result<T, String> {
    table
        .try_into()
        .map_err(|error: toml::de::Error| error.to_string())
}
