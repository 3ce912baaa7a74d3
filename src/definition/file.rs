//! The definition file as written. [`compile`](crate::definition::compile) makes a definition
//! of it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::definition::body::Format;
use crate::definition::retry_hint::Unit;
use crate::definition::{ChildrenVerdict, IdNames, NotFoundMeans};
use crate::watch::observation::{JobState, ProblemKind};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) title: String,
    pub(super) docs: String,
    #[serde(default)]
    pub(super) params: Vec<String>,
    #[serde(default)]
    pub(super) hosts: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) catalog: Vec<String>,
    #[serde(default)]
    pub(super) id_names: IdNames,
    #[serde(default)]
    pub(super) not_found_means: NotFoundMeans,
    #[serde(default)]
    pub(super) children_verdict: ChildrenVerdict,
    pub(super) request: RequestTable,
    #[serde(default)]
    pub(super) job: JobTable,
    #[serde(default)]
    pub(super) child: ChildTable,
    #[serde(default)]
    pub(super) states: StatesTable,
    #[serde(default)]
    pub(super) rules: Vec<RuleTable>,
    #[serde(default)]
    pub(super) error_body: ErrorBodyTable,
    #[serde(default)]
    pub(super) errors: Vec<ErrorTable>,
    #[serde(default)]
    pub(super) retry: Vec<RetryTable>,
    #[serde(default)]
    pub(super) submit: SubmitTable,
    #[serde(default)]
    pub(super) answer: AnswerTable,
    #[serde(default)]
    pub(super) verdict: VerdictTable,
    #[serde(default)]
    pub(super) pace: PaceTable,
    #[serde(default)]
    pub(super) next: NextTable,
    pub(super) batch: Option<BatchTable>,
    #[serde(default)]
    pub(super) poll: toml::Table,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestTable {
    pub(super) method: Method,
    pub(super) path: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) query: BTreeMap<String, String>,
    pub(super) body: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Method {
    #[serde(rename = "GET")]
    Get,
    #[serde(rename = "POST")]
    Post,
}

/// One value, or a list of values.
#[derive(Deserialize, Clone)]
#[serde(
    untagged,
    expecting = "a selector in quotes, a table { in = …, find = … }, or a list of these"
)]
pub(super) enum OneOrMore<T> {
    /// Comes first: serde would also read a list of two texts as a table of two keys.
    More(Vec<T>),
    One(T),
}

impl<T> Default for OneOrMore<T> {
    fn default() -> Self {
        Self::More(Vec::new())
    }
}

impl<T> OneOrMore<T> {
    pub(super) fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(more) => more,
        }
    }
}

/// A selector as it is written.
#[derive(Deserialize, Clone)]
#[serde(untagged)]
pub(super) enum SelectorText {
    Path(String),
    InText(InText),
}

/// A selector into JSON that stands in a string.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct InText {
    #[serde(rename = "in")]
    pub(super) text: String,
    pub(super) find: String,
}

pub(super) type Selection = OneOrMore<SelectorText>;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct JobTable {
    pub(super) item: Option<String>,
    pub(super) id: Selection,
    #[serde(rename = "type")]
    pub(super) job_type: Selection,
    pub(super) status: Selection,
    pub(super) began_at: Selection,
    pub(super) ended_at: Selection,
    pub(super) code: Selection,
    pub(super) reason: Selection,
    pub(super) progress: Selection,
    pub(super) resources: Selection,
    pub(super) children: Selection,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ChildTable {
    pub(super) id: Option<Selection>,
    #[serde(rename = "type")]
    pub(super) job_type: Option<Selection>,
    pub(super) status: Option<Selection>,
    pub(super) code: Option<Selection>,
    pub(super) reason: Option<Selection>,
    pub(super) children: Option<Selection>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StatesTable {
    pub(super) ignore_case: bool,
    pub(super) pending: Vec<String>,
    pub(super) running: Vec<String>,
    pub(super) held: Vec<String>,
    pub(super) succeeded: Vec<String>,
    pub(super) failed: Vec<String>,
    pub(super) cancelled: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleTable {
    pub(super) when: toml::Table,
    pub(super) outcome: JobState,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ErrorBodyTable {
    pub(super) code: Selection,
    pub(super) message: Selection,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ErrorTable {
    #[serde(default)]
    pub(super) http: OneOrMore<u16>,
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
    pub(super) kind: ProblemKind,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryTable {
    pub(super) header: Option<String>,
    pub(super) unit: Option<Unit>,
    pub(super) message: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SubmitTable {
    pub(super) job_id: Selection,
    pub(super) header: Option<String>,
    pub(super) text: Option<String>,
    pub(super) run: Selection,
    pub(super) since: Selection,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AnswerTable {
    pub(super) format: Format,
    pub(super) statuses: Vec<u16>,
    pub(super) lists: Vec<String>,
    pub(super) zone: Option<String>,
    pub(super) max_body: Option<SizeText>,
}

/// A size as it is written: a number of bytes, or a text with a unit.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a size as \"4MiB\", or a number of bytes")]
pub(super) enum SizeText {
    Bytes(u64),
    Text(String),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct VerdictTable {
    pub(super) run: Selection,
    pub(super) since: Selection,
    pub(super) settle: Option<String>,
    pub(super) confirm: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PaceTable {
    pub(super) after: OneOrMore<PaceText>,
}

/// A place of a pace as it is written: a selector, with its unit if that is not seconds.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a selector in quotes, or a table { at = …, unit = \"milliseconds\" }"
)]
pub(super) enum PaceText {
    Seconds(String),
    InUnit(PaceInUnit),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PaceInUnit {
    pub(super) at: String,
    #[serde(default)]
    pub(super) unit: Unit,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NextTable {
    pub(super) follow: Selection,
    pub(super) job_id: Selection,
    pub(super) definition: Option<String>,
    pub(super) params: BTreeMap<String, Selection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchTable {
    pub(super) max: Option<i64>,
    pub(super) method: Option<Method>,
    pub(super) path: Option<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) query: BTreeMap<String, String>,
    pub(super) body: Option<String>,
    pub(super) items: Option<String>,
    pub(super) page: Option<PageTable>,
    pub(super) alone: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageTable {
    pub(super) at: Option<String>,
    pub(super) param: Option<String>,
    pub(super) first: Option<u32>,
}
