//! The definition file as it is written, and its compilation.
//!
//! Everything is checked here, before a definition is used: unknown keys, selectors that
//! do not parse, placeholders nobody fills, a status listed twice.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::clock::parse_duration;
use crate::definition::ChildrenVerdict;
use crate::definition::Definition;
use crate::definition::DefinitionError;
use crate::definition::ErrorBody;
use crate::definition::ErrorRule;
use crate::definition::JobSelectors;
use crate::definition::PollOverrides;
use crate::definition::request;
use crate::definition::request::RequestTemplate;
use crate::definition::selector::Selectors;
use crate::definition::states::States;
use crate::watch::observation::ProblemKind;

/// Where error codes stand when a definition does not say: the shapes seen over the
/// whole service family.
const ERROR_CODE: [&str; 4] = ["$.error.code", "$.error_code", "$.errCode", "$.code"];
/// Where error messages stand when a definition does not say.
const ERROR_MESSAGE: [&str; 4] = ["$.error.message", "$.error_msg", "$.errMsg", "$.message"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: String,
    docs: String,
    #[serde(default)]
    params: Vec<String>,
    request: RequestTable,
    job: JobTable,
    states: StatesTable,
    #[serde(default)]
    children_verdict: ChildrenVerdict,
    #[serde(default)]
    error_body: ErrorBodyTable,
    #[serde(default)]
    errors: Vec<ErrorTable>,
    #[serde(default)]
    poll: PollTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestTable {
    pub(crate) method: Method,
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) query: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Method {
    #[serde(rename = "GET")]
    Get,
}

/// One selector or several; the first that yields a value counts.
#[derive(Deserialize, Default, Clone)]
#[serde(untagged)]
enum OneOrMore {
    #[default]
    None,
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn compile(&self, key: &str) -> Result<Selectors, String> {
        let texts = match self {
            Self::None => &[],
            Self::One(text) => std::slice::from_ref(text),
            Self::More(texts) => texts.as_slice(),
        };
        Selectors::compile(texts).map_err(|problem| format!("{key}: {problem}"))
    }

    fn single(&self) -> Option<&str> {
        match self {
            Self::One(text) => Some(text),
            Self::More(texts) if texts.len() == 1 => texts.first().map(String::as_str),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobTable {
    #[serde(default)]
    id: OneOrMore,
    #[serde(default, rename = "type")]
    job_type: OneOrMore,
    status: OneOrMore,
    #[serde(default)]
    began_at: OneOrMore,
    #[serde(default)]
    ended_at: OneOrMore,
    #[serde(default)]
    code: OneOrMore,
    #[serde(default)]
    reason: OneOrMore,
    #[serde(default)]
    progress: OneOrMore,
    #[serde(default)]
    resources: OneOrMore,
    #[serde(default)]
    children: OneOrMore,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatesTable {
    #[serde(default)]
    pub(crate) ignore_case: bool,
    #[serde(default)]
    pub(crate) pending: Vec<String>,
    #[serde(default)]
    pub(crate) running: Vec<String>,
    #[serde(default)]
    pub(crate) held: Vec<String>,
    pub(crate) succeeded: Vec<String>,
    pub(crate) failed: Vec<String>,
    #[serde(default)]
    pub(crate) cancelled: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct ErrorBodyTable {
    #[serde(default)]
    code: OneOrMore,
    #[serde(default)]
    message: OneOrMore,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorTable {
    http: Option<u16>,
    code: Option<String>,
    kind: ProblemKind,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct PollTable {
    first: Option<String>,
    initial: Option<String>,
    multiplier: Option<f64>,
    max: Option<String>,
    jitter: Option<f64>,
    deadline: Option<String>,
    request_timeout: Option<String>,
    not_found_grace: Option<String>,
    give_up_after: Option<String>,
    max_retry_after: Option<String>,
}

/// Parses and compiles one definition file.
///
/// # Errors
/// The first thing wrong with it, with its line where the TOML parser knows it.
pub fn compile(name: &str, origin: &str, text: &str) -> Result<Definition, DefinitionError> {
    let fail = |message: String| DefinitionError {
        origin: origin.to_owned(),
        message,
    };
    let file: File = toml::from_str(text).map_err(|error| fail(error.to_string()))?;
    build(name, &file).map_err(fail)
}

fn build(name: &str, file: &File) -> Result<Definition, String> {
    let request = RequestTemplate::compile(&file.request)?;
    check_params(&file.params, &request)?;
    Ok(Definition {
        name: name.to_owned(),
        title: file.title.clone(),
        docs: file.docs.clone(),
        params: file.params.clone(),
        request,
        job: job_selectors(&file.job)?,
        states: States::compile(&file.states)?,
        children_verdict: file.children_verdict,
        error_body: error_body(&file.error_body)?,
        errors: file
            .errors
            .iter()
            .map(error_rule)
            .collect::<Result<_, _>>()?,
        poll: poll_overrides(&file.poll)?,
    })
}

fn check_params(params: &[String], request: &RequestTemplate) -> Result<(), String> {
    for placeholder in request.placeholders() {
        if placeholder != request::JOB_ID && !params.iter().any(|param| param == placeholder) {
            return Err(format!(
                "request: `{{{placeholder}}}` is not in `params`, so nobody would fill it"
            ));
        }
    }
    for param in params {
        if !request
            .placeholders()
            .any(|placeholder| placeholder == param)
        {
            return Err(format!("params: `{param}` is never used in [request]"));
        }
    }
    if !request.placeholders().any(|name| name == request::JOB_ID) {
        return Err("request: `{job_id}` is used nowhere, so every job would look alike".into());
    }
    Ok(())
}

fn job_selectors(table: &JobTable) -> Result<JobSelectors, String> {
    Ok(JobSelectors {
        id: table.id.compile("job.id")?,
        job_type: table.job_type.compile("job.type")?,
        status: table.status.compile("job.status")?,
        began_at: table.began_at.compile("job.began_at")?,
        ended_at: table.ended_at.compile("job.ended_at")?,
        code: table.code.compile("job.code")?,
        reason: table.reason.compile("job.reason")?,
        progress: table.progress.compile("job.progress")?,
        resources: table.resources.compile("job.resources")?,
        children: table.children.compile("job.children")?,
        children_member: children_member(&table.resources, &table.children),
    })
}

/// `sub_jobs`, for resources at `$.entities` and children at `$.entities.sub_jobs[*]`.
fn children_member(resources: &OneOrMore, children: &OneOrMore) -> Option<String> {
    let rest = children
        .single()?
        .strip_prefix(resources.single()?)?
        .strip_prefix('.')?;
    Some(rest.strip_suffix("[*]").unwrap_or(rest).to_owned())
}

fn error_body(table: &ErrorBodyTable) -> Result<ErrorBody, String> {
    let or_default = |given: &OneOrMore, default: [&str; 4]| match given {
        OneOrMore::None => OneOrMore::More(default.map(str::to_owned).to_vec()),
        given => given.clone(),
    };
    Ok(ErrorBody {
        code: or_default(&table.code, ERROR_CODE).compile("error_body.code")?,
        message: or_default(&table.message, ERROR_MESSAGE).compile("error_body.message")?,
    })
}

fn error_rule(table: &ErrorTable) -> Result<ErrorRule, String> {
    if table.http.is_none() && table.code.is_none() {
        return Err("errors: an entry needs `http`, `code` or both".to_owned());
    }
    if let Some(http) = table.http.filter(|http| !(200..600).contains(http)) {
        return Err(format!(
            "errors: http = {http} is no HTTP status; 200 to 599 are"
        ));
    }
    Ok(ErrorRule {
        http: table.http,
        code: table.code.clone(),
        kind: table.kind,
    })
}

fn poll_overrides(table: &PollTable) -> Result<PollOverrides, String> {
    let duration = |key: &str, text: &Option<String>| {
        text.as_deref()
            .map(parse_duration)
            .transpose()
            .map_err(|allowed| format!("poll.{key}: must be {allowed}"))
    };
    if let Some(multiplier) = table.multiplier.filter(|m| !(1.0..=100.0).contains(m)) {
        return Err(format!(
            "poll.multiplier: {multiplier} is not from 1 to 100"
        ));
    }
    if let Some(jitter) = table.jitter.filter(|jitter| !(0.0..=1.0).contains(jitter)) {
        return Err(format!("poll.jitter: {jitter} is not from 0 to 1"));
    }
    Ok(PollOverrides {
        first: duration("first", &table.first)?,
        initial: duration("initial", &table.initial)?,
        multiplier: table.multiplier,
        max: duration("max", &table.max)?,
        jitter: table.jitter,
        deadline: duration("deadline", &table.deadline)?,
        request_timeout: duration("request_timeout", &table.request_timeout)?,
        not_found_grace: duration("not_found_grace", &table.not_found_grace)?,
        give_up_after: duration("give_up_after", &table.give_up_after)?,
        max_retry_after: duration("max_retry_after", &table.max_retry_after)?,
    })
}
