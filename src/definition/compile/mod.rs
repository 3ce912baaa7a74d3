//! Compiles a definition file: checks all of it before it is used.
//!
//! An unknown key ends the check at once. All other errors are reported together: selectors
//! that do not parse, placeholders without a value, a status that is listed twice, a rule
//! that is never reached.

mod lint;
mod parts;
mod poll;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderName;

use crate::definition::batch::Batch;
use crate::definition::condition::Condition;
use crate::definition::created_job::{SubmitAnswer, TextPattern};
use crate::definition::file::{
    ChildTable, ErrorTable, File, JobTable, RetryTable, RuleTable, Selection, SelectorText,
    StatesTable, SubmitTable,
};
use crate::definition::pattern::Pattern;
use crate::definition::request::RequestTemplate;
use crate::definition::retry_hint::{RetryHint, Unit};
use crate::definition::rules::Rule;
use crate::definition::selector::{Selector, Selectors};
use crate::definition::states::{Refused, States};
use crate::definition::{Definition, ErrorBody, ErrorRule, JobSelectors, request};
use crate::diagnostic::{Diagnostic, Level};
use crate::tree::line::line_of_key;
use crate::watch::observation::{JobState, Proof};

/// The default selectors of error codes: the forms seen in the Huawei Cloud family. Other
/// clouds use one of them, too.
const ERROR_CODE: [&str; 4] = ["$.error.code", "$.error_code", "$.errCode", "$.code"];
/// The default selectors of error messages.
const ERROR_MESSAGE: [&str; 4] = ["$.error.message", "$.error_msg", "$.errMsg", "$.message"];

/// Parses and compiles one definition file.
///
/// # Errors
/// Returns every error with its line; only the first if the file is not TOML or has an
/// unknown key.
pub fn compile(name: &str, origin: &str, text: &str) -> Result<Definition, Vec<Diagnostic>> {
    let file = source::read(origin, text).map_err(|error| vec![error])?;
    let mut check = Check {
        origin,
        text,
        errors: Vec::new(),
        warnings: Vec::new(),
    };
    let definition = check.definition(name, &file);
    if let Some(definition) = &definition {
        check.plain_text(definition);
    }
    match definition {
        Some(definition) if check.errors.is_empty() => Ok(Definition {
            warnings: check.warnings,
            ..definition
        }),
        _ => Err(check.errors),
    }
}

/// Collects the errors of one file.
pub(super) struct Check<'a> {
    origin: &'a str,
    text: &'a str,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl Check<'_> {
    pub(super) fn wrong(&mut self, key: &str, message: impl Into<String>) {
        let diagnostic = Diagnostic::error(self.origin, self.line_of(key), key, message);
        self.errors.push(diagnostic);
    }

    /// Notes something that works, but may be a mistake.
    pub(super) fn warn(&mut self, key: &str, message: impl Into<String>) {
        self.warnings.push(Diagnostic {
            level: Level::Warning,
            ..Diagnostic::error(self.origin, self.line_of(key), key, message)
        });
    }

    fn line_of(&self, key: &str) -> Option<usize> {
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        line_of_key(self.text, &path)
    }

    pub(super) fn ok<T>(&mut self, key: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.wrong(key, message)).ok()
    }

    /// Checks the hosts. The credential of a service without a URL is sent to such a host, so it
    /// must be a plain base URL.
    fn hosts(&mut self, hosts: &BTreeMap<String, String>) {
        for (cloud, pattern) in hosts {
            let example = pattern.replace("{region}", "region");
            let is_base = example.starts_with("https://")
                && !example.ends_with('/')
                && !example.contains(['{', '}', '?', '#', '@'])
                && http::Uri::try_from(&example).is_ok();
            if !is_base {
                self.wrong(
                    &format!("hosts.{cloud}"),
                    format!("\"{pattern}\" must be an https base URL without a final `/`; the only placeholder is `{{region}}`"),
                );
            }
        }
    }

    fn definition(&mut self, name: &str, file: &File) -> Option<Definition> {
        let request = self.ok("request", RequestTemplate::compile(&file.request));
        let job = self.job(&file.job);
        let child = self.child(&file.child, &job);
        let states = self.states(&file.states);
        let rules = self.rules(&file.rules, file.states.ignore_case);
        let batch = self.batch(file);
        if let Some(request) = &request {
            let used = rules.iter().flat_map(Rule::params);
            let used: Vec<&str> = used.collect();
            self.params(&file.params, request, &used, batch.as_ref());
        }
        self.special_selectors(file);
        self.hosts(&file.hosts);
        let answer = self.answer(&file.answer);
        // Only without other errors: these findings may follow from them.
        if self.errors.is_empty() {
            self.verdict(file, &job, &states, &rules);
            self.senseless_rules(&rules, &states, &answer.statuses);
        }
        Some(Definition {
            name: name.to_owned(),
            title: file.title.clone(),
            docs: file.docs.clone(),
            params: file.params.clone(),
            text: self.text.to_owned(),
            hosts: file.hosts.clone(),
            catalog: file.catalog.clone(),
            item: self.item(file.job.item.as_deref()),
            child,
            states,
            rules,
            id_names: file.id_names,
            answer,
            run: self.selectors("verdict.run", &file.verdict.run),
            since: self.selectors("verdict.since", &file.verdict.since),
            pace: self.pace(&file.pace),
            next: self.next(file),
            batch,
            unlisted: Proof {
                selector: Arc::from(job.status.sources()),
                rule: Arc::from("none: the status is not listed"),
                is_lenient: false,
            },
            not_found_means: file.not_found_means,
            children_verdict: file.children_verdict,
            error_body: ErrorBody {
                code: self.selectors_or("error_body.code", &file.error_body.code, ERROR_CODE),
                message: self.selectors_or(
                    "error_body.message",
                    &file.error_body.message,
                    ERROR_MESSAGE,
                ),
            },
            errors: self.errors_table(&file.errors),
            hints: self.hints(&file.retry),
            submit: self.submit(&file.submit),
            poll: self.poll(file),
            warnings: Vec::new(),
            job,
            request: request?,
        })
    }

    fn params(
        &mut self,
        params: &[String],
        request: &RequestTemplate,
        used: &[&str],
        batch: Option<&Batch>,
    ) {
        let asks = |name: &str| {
            request
                .placeholders()
                .any(|placeholder| placeholder == name)
        };
        let of_batch: Vec<&str> = batch.iter().flat_map(|batch| batch.params()).collect();
        let of_request: Vec<&str> = request.placeholders().chain(used.iter().copied()).collect();
        let is_inherited = |name: &&str| !of_request.contains(name);
        let own = of_batch.iter().copied().filter(is_inherited);
        let named = of_request.iter().map(|name| ("request", *name));
        for (table, placeholder) in named.chain(own.map(|name| ("batch", name))) {
            if placeholder != request::JOB_ID && !params.iter().any(|param| param == placeholder) {
                let message =
                    format!("`{{{placeholder}}}` is not listed in `params`, so it has no value");
                self.wrong(table, message);
            }
        }
        for param in params {
            if param == request::JOB_ID {
                self.wrong("params", "must not list `job_id`, which every watch has");
            } else if !of_request.contains(&param.as_str()) && !of_batch.contains(&param.as_str()) {
                self.wrong("params", format!("`{param}` is never used in [request]"));
            }
        }
        if request
            .placeholders()
            .any(|name| name.starts_with(request::JOB_IDS))
        {
            self.wrong("request", "must not use `{job_ids}`, which is for [batch]");
        }
        let asks_for_many = batch.is_some_and(|batch| !batch.alone);
        if !asks(request::JOB_ID) && !asks_for_many {
            self.wrong(
                "request",
                "must contain `{job_id}`, so that jobs can be distinguished",
            );
        }
    }

    fn selectors(&mut self, key: &str, selection: &Selection) -> Selectors {
        let compiled: Vec<Option<Selector>> = selection
            .as_slice()
            .iter()
            .map(|text| {
                let compiled = match text {
                    SelectorText::Path(path) => Selector::compile(path),
                    SelectorText::InText(inner) => {
                        Selector::compile_in_text(&inner.text, &inner.find)
                    }
                };
                self.ok(key, compiled)
            })
            .collect();
        let selectors = Selectors::new(compiled.into_iter().flatten().collect());
        self.ok(key, selectors).unwrap_or_default()
    }

    fn selectors_or(&mut self, key: &str, given: &Selection, default: [&str; 4]) -> Selectors {
        if !given.as_slice().is_empty() {
            return self.selectors(key, given);
        }
        let selectors = default.map(|path| SelectorText::Path(path.to_owned()));
        self.selectors(key, &Selection::More(selectors.to_vec()))
    }

    fn item(&mut self, path: Option<&str>) -> Option<Selector> {
        let compiled = Selector::compile(path?);
        self.ok("job.item", compiled)
    }

    fn job(&mut self, table: &JobTable) -> JobSelectors {
        JobSelectors {
            id: self.selectors("job.id", &table.id),
            job_type: self.selectors("job.type", &table.job_type),
            status: self.selectors("job.status", &table.status),
            began_at: self.selectors("job.began_at", &table.began_at),
            ended_at: self.selectors("job.ended_at", &table.ended_at),
            code: self.selectors("job.code", &table.code),
            reason: self.selectors("job.reason", &table.reason),
            progress: self.selectors("job.progress", &table.progress),
            resources: self.selectors("job.resources", &table.resources),
            children: self.selectors("job.children", &table.children),
            children_member: children_member(&table.resources, &table.children),
        }
    }

    fn child(&mut self, table: &ChildTable, job: &JobSelectors) -> JobSelectors {
        let mut child = job.clone();
        let mut replace = |key: &str, given: &Option<Selection>, slot: &mut Selectors| {
            if let Some(selection) = given {
                *slot = self.selectors(key, selection);
            }
        };
        replace("child.id", &table.id, &mut child.id);
        replace("child.type", &table.job_type, &mut child.job_type);
        replace("child.status", &table.status, &mut child.status);
        replace("child.code", &table.code, &mut child.code);
        replace("child.reason", &table.reason, &mut child.reason);
        replace("child.children", &table.children, &mut child.children);
        child
    }

    fn states(&mut self, table: &StatesTable) -> States {
        let mut states = States::new(table.ignore_case);
        // This is the order in which patterns are tried: failure before success.
        for (name, statuses, state) in [
            ("failed", &table.failed, JobState::Failed),
            ("cancelled", &table.cancelled, JobState::Cancelled),
            ("succeeded", &table.succeeded, JobState::Succeeded),
            ("held", &table.held, JobState::Held),
            ("pending", &table.pending, JobState::Pending),
            ("running", &table.running, JobState::Running),
        ] {
            for (n, status) in statuses.iter().enumerate() {
                let place = format!("states.{name}.{n}");
                if let Err(refused) = states.list(status, state, &place) {
                    self.refuse_state(name, n, status, &refused);
                }
            }
        }
        states
    }

    /// Reports an entry of `[states]` that can never decide, at its own line.
    fn refuse_state(&mut self, name: &str, n: usize, status: &str, refused: &Refused) {
        let message = match refused {
            Refused::Empty => "a status must not be empty".to_owned(),
            Refused::Taken {
                state,
                written,
                place,
            } => {
                let line = self
                    .line_of(place)
                    .map_or_else(String::new, |line| format!(" (line {line})"));
                let state = state.as_str();
                if written.eq_ignore_ascii_case(status) {
                    format!("\"{status}\" is listed already, as {state}{line}")
                } else {
                    format!(
                        "\"{status}\" can never decide: \"{written}\", listed as {state}{line}, matches the same"
                    )
                }
            }
        };
        let line = self.line_of(&format!("states.{name}.{n}"));
        let key = format!("states.{name}");
        self.errors
            .push(Diagnostic::error(self.origin, line, &key, message));
    }

    fn rules(&mut self, tables: &[RuleTable], ignore_case: bool) -> Vec<Rule> {
        let mut rules: Vec<Rule> = Vec::new();
        for (n, table) in tables.iter().enumerate() {
            let key = format!("rules.{n}");
            let rule = self.rule(n, table, ignore_case);
            if rule.when.is_empty() && n + 1 < tables.len() {
                self.wrong(
                    &key,
                    "has no condition, so the rules after it are never reached",
                );
            } else if let Some(earlier) = rules.iter().position(|earlier| earlier.covers(&rule)) {
                let message = format!("can never match, because rules.{earlier} matches first");
                self.wrong(&key, message);
            }
            rules.push(rule);
        }
        rules
    }

    fn rule(&mut self, n: usize, table: &RuleTable, ignore_case: bool) -> Rule {
        let key = format!("rules.{n}.when");
        let mut when = Vec::new();
        for (path, value) in &table.when {
            let selector = self.ok(&key, Selector::compile(path));
            let read = Condition::read(value).map_err(|message| format!("`{path}`: {message}"));
            let condition = self.ok(&key, read).map(|condition| {
                if ignore_case {
                    condition.in_lower_case()
                } else {
                    condition
                }
            });
            when.extend(selector.zip(condition));
        }
        Rule::new(n + 1, when, table.outcome, ignore_case)
    }

    fn errors_table(&mut self, tables: &[ErrorTable]) -> Vec<ErrorRule> {
        let mut rules: Vec<ErrorRule> = Vec::new();
        for (n, table) in tables.iter().enumerate() {
            let key = format!("errors.{n}");
            let http = table.http.as_slice().to_vec();
            if http.is_empty() && table.code.is_none() && table.message.is_none() {
                self.wrong(&key, "needs `http`, `code` or `message`");
            }
            if let Some(bad) = http.iter().find(|http| !(200..600).contains(*http)) {
                self.wrong(
                    &key,
                    format!("{bad} is not an HTTP status; allowed are 200 to 599"),
                );
            }
            let rule = ErrorRule {
                http,
                code: table.code.as_deref().map(Pattern::new),
                message: table.message.as_deref().map(Pattern::new),
                kind: table.kind,
            };
            if rules.iter().any(|earlier| earlier.covers(&rule)) {
                self.wrong(
                    &key,
                    "can never match, because an earlier entry matches first",
                );
            }
            rules.push(rule);
        }
        rules
    }

    fn hints(&mut self, tables: &[RetryTable]) -> Vec<RetryHint> {
        let mut hints = Vec::new();
        for (n, table) in tables.iter().enumerate() {
            let hint = hint_of(table);
            hints.extend(self.ok(&format!("retry.{n}"), hint));
        }
        hints.extend(RetryHint::of_the_gateway());
        hints
    }

    fn submit(&mut self, table: &SubmitTable) -> SubmitAnswer {
        let header = table.header.as_deref().map(header_name);
        let text = table.text.as_deref().map(TextPattern::new);
        SubmitAnswer {
            job_id: self.selectors("submit.job_id", &table.job_id),
            run: self.selectors("submit.run", &table.run),
            since: self.selectors("submit.since", &table.since),
            header: header.and_then(|name| self.ok("submit.header", name)),
            text: text.and_then(|pattern| self.ok("submit.text", pattern)),
        }
    }
}

/// Returns `sub_jobs` for resources at `$.entities` and children at `$.entities.sub_jobs[*]`.
fn children_member(resources: &Selection, children: &Selection) -> Option<String> {
    let single = |selection: &Selection| match selection.as_slice() {
        [SelectorText::Path(path)] => Some(path.clone()),
        _ => None,
    };
    let (resources, children) = (single(resources)?, single(children)?);
    let rest = children.strip_prefix(&resources)?.strip_prefix('.')?;
    Some(rest.strip_suffix("[*]").unwrap_or(rest).to_owned())
}

fn hint_of(table: &RetryTable) -> Result<RetryHint, String> {
    match (&table.header, &table.message, table.unit) {
        (Some(header), None, unit) => Ok(RetryHint::Header {
            name: header_name(header)?,
            unit: unit.unwrap_or(Unit::Seconds),
        }),
        (None, Some(message), None) => RetryHint::in_message(message),
        (None, Some(_), Some(_)) => {
            Err("must not set `unit` with `message`; the placeholder names the unit".to_owned())
        }
        _ => Err("needs either `header` or `message`".to_owned()),
    }
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("invalid header name `{name}`"))
}
