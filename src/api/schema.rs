//! The schemas of values whose types know nothing of `OpenAPI`: those of the pure core.
//!
//! A struct here has the members of its namesake in `watch`, and describes them; nothing makes
//! one. Tests compare each with the namesake as serde writes or reads it. The enums take their
//! words from their namesakes.
#![expect(
    dead_code,
    reason = "the members of a schema are described, never read"
)]
#![expect(
    clippy::struct_field_names,
    reason = "the names are those of the documents"
)]

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::store::delivery::DeliveryState as StoredState;
use crate::watch::note::Note as StoredNote;
use crate::watch::observation::ProblemKind as Kind;
use crate::watch::{LABEL_BYTES_MAX, LABELS_MAX, Outcome as Ending, State as WatchState};
use crate::workers::poller::{Health as Answers, Reason as Because};

/// The description of a parameter that names a watch.
pub(super) const REFERENCE: &str = "The watch: its id, at least 6 characters of the beginning of its id, `SERVICE/JOB_ID` (with `%2F` for the slash in a path), or a job id that one job has";

/// Declares an enum of words.
macro_rules! words {
    ($($(#[doc = $doc:literal])+ $name:ident = $words:expr;)+) => {$(
        $(#[doc = $doc])+
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let words: Vec<&str> = $words.collect();
                let schema = ObjectBuilder::new()
                    .schema_type(Type::String)
                    .description(Some(concat!($($doc),+).trim()))
                    .enum_values(Some(words));
                schema.into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )+};
}

words! {
    /// The state of a watch: `watching`, or the outcome with which it ended.
    State = WatchState::words();
    /// The outcome of a job or of a part of it.
    Outcome = Ending::ALL.into_iter().map(Ending::as_str);
    /// The kind of problem of a poll.
    ProblemKind = Kind::ALL.into_iter().map(Kind::as_str);
    /// The health of a service: whether it answers.
    Health = Answers::ALL.into_iter().map(Answers::as_str);
    /// The reason for the time of the next poll.
    PollReason = Because::ALL.into_iter().map(Because::as_str);
    /// A word about how the job was seen.
    Note = StoredNote::ALL.into_iter().map(StoredNote::as_str);
    /// The state of a delivery.
    DeliveryState = StoredState::ALL.into_iter().map(StoredState::as_str);
}

/// The changes for which a request may wait.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum WaitFor {
    All,
    Any,
    Change,
}

/// The changes for which a request about one watch may wait.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum WaitForOne {
    End,
    Change,
}

/// A label with its value, written as `NAME=VALUE`.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^[A-Za-z0-9._/-]+=", example = "deploy=42")]
pub(crate) struct Label(String);

/// An event in the form of `CloudEvents` 1.0.
#[derive(ToSchema)]
pub(crate) struct CloudEvent {
    specversion: String,
    /// The id of the fact: the same whenever it is sent.
    id: String,
    source: String,
    /// The id of the job.
    subject: Option<String>,
    /// The type, such as `dev.jobwatch.job.failed`.
    #[schema(rename = "type")]
    type_name: String,
    /// The time at which the fact was noticed.
    time: Timestamp,
    datacontenttype: String,
    data: Value,
}

/// One event of a stream.
#[derive(ToSchema)]
pub(crate) struct StreamedEvent {
    /// The position in the log of events; the first one comes alone.
    id: Option<String>,
    /// The type, such as `dev.jobwatch.job.failed`.
    event: Option<String>,
    /// The event as JSON, in the form of `CloudEvents`.
    data: Option<String>,
}

/// One thing that is wrong with a request.
#[derive(ToSchema)]
pub(crate) struct Fault {
    /// The path of the member (`labels.deploy`, `sinks[1]`), or the name of the parameter.
    #[schema(example = "labels.deploy")]
    field: String,
    /// The rule that it breaks.
    message: String,
}

/// A request to watch a job.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "service": "dcs",
    "job_id": "ff8080826b45d4a5016b5036242c0025",
    "labels": {"deploy": "42"},
    "deadline": "2h"
}))]
pub(crate) struct WatchRequest {
    /// A service of the configuration; `GET /v1/services` lists them.
    service: String,
    /// The id of the job, as the service gave it: at most 512 bytes, no control characters. It or
    /// `response` is required.
    #[serde(default)]
    #[schema(
        min_length = 1,
        max_length = 512,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$"
    )]
    job_id: String,
    /// The answer of the call that created the job, in place of `job_id`: the `[submit]` section
    /// of the definition finds the id in it.
    response: Option<CreatingAnswer>,
    /// Values for the placeholders of the definition that the service does not set.
    #[serde(default)]
    #[schema(schema_with = params)]
    params: BTreeMap<String, String>,
    /// Free text that every event carries: at most 32. Names are of letters, digits, `.`, `_`,
    /// `/` and `-`; names and values have at most 256 bytes.
    #[serde(default)]
    #[schema(schema_with = labels)]
    labels: BTreeMap<String, String>,
    /// The run of the job that the watch is about, where the id names a resource with several.
    #[schema(min_length = 1, max_length = 512)]
    run: Option<String>,
    /// Ends from before this time are not believed: a time (RFC 3339), or a duration before the
    /// submission (`10m`).
    #[schema(example = "10m")]
    since: Option<String>,
    /// True for a new watch although an earlier one of the job has ended with a verdict.
    #[serde(default)]
    again: bool,
    /// The end that the watch is about, if it is not that of the job.
    expect: Option<Expect>,
    /// The longest duration of the watch (`2h`), or its last moment (RFC 3339).
    #[schema(example = "2h")]
    deadline: Option<String>,
    /// The sinks that receive its events; empty means every sink whose filter matches.
    #[serde(default)]
    #[schema(max_items = 64)]
    sinks: Vec<String>,
    /// A URL that receives events of this watch alone, beside the sinks.
    #[schema(pattern = "^https://")]
    callback_url: Option<String>,
    /// The group of watches that it belongs to; one event reports the end of them all.
    #[schema(min_length = 1, max_length = 64)]
    group: Option<String>,
    /// The number of watches after which the group is complete.
    #[schema(minimum = 1, maximum = 100_000)]
    group_size: Option<u32>,
}

/// The answer of the call that created a job.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreatingAnswer {
    /// The HTTP status code; 200 unless given.
    #[serde(default)]
    status: u16,
    /// The headers; the case of their names does not matter.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The body: a string is its text, any other value is the JSON that it was.
    #[serde(default)]
    body: Value,
}

/// The pattern of a text without control characters.
const PLAIN: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";

/// A map of texts, each of at least `least` characters.
fn texts(least: usize) -> ObjectBuilder {
    let value = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(least))
        .max_length(Some(LABEL_BYTES_MAX))
        .pattern(Some(PLAIN));
    ObjectBuilder::new().additional_properties(Some(value))
}

fn params() -> ObjectBuilder {
    texts(1)
}

fn labels() -> ObjectBuilder {
    let name = ObjectBuilder::new()
        .schema_type(Type::String)
        .max_length(Some(LABEL_BYTES_MAX))
        .pattern(Some("^[A-Za-z0-9._/-]+$"));
    texts(0)
        .property_names(Some(name))
        .max_properties(Some(LABELS_MAX))
}

/// The end that a watch is about.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Expect {
    /// The job is gone: the watch of a deletion succeeds when the service does not know it.
    Gone,
}

/// A poll that did not show the job.
#[derive(ToSchema)]
pub(crate) struct ProblemNote {
    kind: ProblemKind,
    /// The HTTP status; `null` without an answer.
    http_status: Option<u16>,
    /// The error code that the service gave.
    code: Option<String>,
    /// The message of the service, or ours where it gave none.
    message: String,
    /// The time of the poll.
    at: Timestamp,
}

/// A part of a job, as the service reports it.
#[derive(ToSchema)]
pub(crate) struct Child {
    /// The id of the part at the service.
    job_id: Option<String>,
    /// The kind of part, in the words of the service.
    job_type: Option<String>,
    /// The status of the part, in the words of the service.
    status: Option<String>,
    /// The outcome of the part; `null` while it goes on.
    outcome: Option<Outcome>,
    /// The error code of a part that failed.
    code: Option<String>,
    /// The reason why the part failed.
    reason: Option<String>,
}

/// The present stage of a watch after a hand-over.
#[derive(ToSchema)]
pub(crate) struct Stage {
    /// The number of hand-overs so far; the job that was submitted is stage 0.
    index: u32,
    /// The name of the definition that reads the job.
    definition: String,
    /// The id of the job at the service.
    job_id: String,
    /// Values for the placeholders of the definition; those of the watch count for the others.
    #[schema(required = false)]
    params: BTreeMap<String, String>,
}

/// A stage that has handed over.
#[derive(ToSchema)]
pub(crate) struct EndedStage {
    /// The name of the definition that read the job.
    definition: String,
    /// The id of the job at the service.
    job_id: String,
    /// The state of the job; only a job that succeeded hands over.
    state: String,
    /// The last status in the words of the service.
    status: Option<String>,
    /// The time at which the job ended, or at which that was noticed.
    ended_at: Timestamp,
}

/// A job in the same form for every API.
#[derive(ToSchema)]
pub(crate) struct Job {
    /// The state in our words, which decides on the outcome.
    state: String,
    /// The kind of job, in the words of the service.
    job_type: Option<String>,
    /// The status in the words of the service.
    status: Option<String>,
    /// The error code of a failed job.
    code: Option<String>,
    /// The reason of a failure.
    reason: Option<String>,
    /// The time at which the service began the job.
    began_at: Option<Timestamp>,
    /// The time at which the job ended at the service.
    ended_at: Option<Timestamp>,
    /// The progress in the measure of the service, as text.
    progress: Option<String>,
    /// The resources that the job made or changed, as the service wrote them.
    resources: Option<Value>,
    /// The parts of the job, flattened, depth first.
    children: Vec<Child>,
}

/// The answer that proved an outcome. For an outcome that no answer proves, the last answer and
/// the last sighting.
#[derive(ToSchema)]
pub(crate) struct Evidence {
    /// The time of the poll.
    observed_at: Timestamp,
    /// The HTTP status; `null` without an answer.
    http_status: Option<u16>,
    /// The beginning of the body without secrets; `null` without an answer.
    body: Option<String>,
    /// True if the body goes on after the part that is kept.
    truncated: bool,
    /// The selectors of the status, if they decided.
    selector: Option<String>,
    /// The rule or the entry of `[states]` that decided.
    rule: Option<String>,
    /// True if the body was not valid and was read leniently.
    lenient: bool,
    /// The job at the last sighting that made an event, if the answer does not show it.
    last_sighting: Option<Job>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use serde_json::json;

    use super::*;
    use crate::watch::creating_answer;
    use crate::watch::evidence;
    use crate::watch::observation;
    use crate::watch::request;
    use crate::watch::stage;

    type Names = BTreeSet<String>;

    fn described<T: PartialSchema>() -> Value {
        serde_json::to_value(T::schema()).unwrap()
    }

    fn keys(value: &Value) -> Names {
        let members = value.as_object().into_iter().flatten();
        members.map(|(name, _)| name.clone()).collect()
    }

    fn required(schema: &Value) -> Names {
        let names = schema["required"].as_array().into_iter().flatten();
        names
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }

    /// `full` has a value in each member, `bare` in as few as can be.
    #[track_caller]
    fn agrees<Mirror: PartialSchema, Core: Serialize + DeserializeOwned>(full: Value, bare: Value) {
        let schema = described::<Mirror>();
        let written = |value: Value| {
            let value: Core = serde_json::from_value(value).unwrap();
            keys(&serde_json::to_value(value).unwrap())
        };
        assert_eq!(keys(&schema["properties"]), written(full));
        assert!(required(&schema).is_subset(&written(bare)), "{schema}");
    }

    #[test]
    fn values_of_the_core_have_the_members_of_their_schemas() {
        let at = "2026-11-22T10:00:00Z";
        let child = json!({"job_id": "a", "job_type": "t", "status": "s", "outcome": "failed", "code": "c", "reason": "r"});
        agrees::<Child, observation::Child>(child.clone(), json!({}));
        agrees::<ProblemNote, observation::ProblemNote>(
            json!({"kind": "throttled", "http_status": 429, "code": "c", "message": "m", "at": at}),
            json!({"kind": "throttled", "message": "m", "at": at}),
        );
        let job = json!({"state": "running", "job_type": "t", "status": "s", "code": "c", "reason": "r",
            "began_at": at, "ended_at": at, "progress": "1", "resources": {}, "children": [child]});
        let bare = json!({"state": "running", "children": []});
        agrees::<Job, observation::Job>(job.clone(), bare);
        let evidence = |more: Value| {
            let mut it = json!({"observed_at": at, "http_status": 200, "body": "{}", "truncated": false,
                "selector": "$", "rule": "r", "lenient": false});
            it.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            it
        };
        agrees::<Evidence, evidence::Evidence>(
            evidence(json!({"last_sighting": job})),
            evidence(json!({})),
        );
        let stage = json!({"index": 1, "definition": "d", "job_id": "j"});
        let mut full = stage.clone();
        full["params"] = json!({"a": "b"});
        agrees::<Stage, stage::Stage>(full, stage);
        let ended =
            json!({"definition": "d", "job_id": "j", "state": "s", "status": "s", "ended_at": at});
        agrees::<EndedStage, stage::EndedStage>(ended.clone(), ended);
    }

    #[test]
    fn a_fault_has_the_members_of_its_schema() {
        let fault = request::Fault::new("labels", "must be at most 32");
        let fault = serde_json::to_value(fault).unwrap();
        assert_eq!(keys(&described::<Fault>()["properties"]), keys(&fault));
    }

    /// The names that a type reads, from its error about an unknown one.
    fn read_by<T: DeserializeOwned>() -> Names {
        let error = serde_json::from_value::<T>(json!({"?": 1})).err().unwrap();
        let text = error.to_string();
        let (_, names) = text.split_once("expected one of ").unwrap();
        names
            .split(", ")
            .map(|name| name.trim_matches('`').to_owned())
            .collect()
    }

    #[test]
    fn a_request_reads_the_members_of_its_schema() {
        let schema = described::<WatchRequest>();
        assert_eq!(
            read_by::<request::WatchRequest>(),
            keys(&schema["properties"])
        );
        assert_eq!(schema["additionalProperties"], false);
        let answer = keys(&described::<CreatingAnswer>()["properties"]);
        assert_eq!(read_by::<creating_answer::CreatingAnswer>(), answer);
        let example = schema["example"].clone();
        let request: request::WatchRequest = serde_json::from_value(example).unwrap();
        assert_eq!(request.check(), []);
        let word = described::<Expect>()["enum"][0].clone();
        assert!(serde_json::from_value::<crate::watch::Expect>(word).is_ok());
    }

    #[test]
    fn every_state_of_a_watch_is_in_its_schema() {
        let schema = described::<State>();
        assert_eq!(
            schema["enum"].as_array().unwrap().len(),
            1 + Ending::ALL.len()
        );
        assert_eq!(schema["enum"][0], "watching");
    }
}
