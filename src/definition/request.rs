//! The request for a job: the template of a definition, and its placeholders.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::definition::file::{Method, RequestTable};

/// The name of the placeholder for the job id.
pub const JOB_ID: &str = "job_id";
/// The name of the placeholder for the job ids of a batch, joined with `,`.
pub const JOB_IDS: &str = "job_ids";
/// The name of the placeholder for the job ids of a batch as a JSON array.
const JOB_IDS_JSON: &str = "job_ids:json";

/// All characters but the unreserved ones of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A compiled request with placeholders.
#[derive(Debug, Clone)]
pub struct RequestTemplate {
    method: Method,
    path: Template,
    query: Vec<(String, Template)>,
    headers: Vec<(HeaderName, Template)>,
    body: Option<Template>,
}

/// A request with its placeholders filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedRequest {
    /// The HTTP method: GET or POST.
    pub method: http::Method,
    /// Path and query, percent-encoded, beginning with `/`.
    pub path_and_query: String,
    /// The headers of the definition; the credential adds others.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body of a POST.
    pub body: Option<String>,
}

/// A placeholder without a value, or with a value that cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// Neither the service nor the watch has a value for the param.
    #[error("the param `{0}` has no value; give it in the service's `params` or with the watch")]
    Missing(String),
    /// The value would change the rest of the path.
    #[error(
        "the value of `{0}` would change the path: it contains a path step `.` or `..`, or a `?` before the end of the path"
    )]
    Elsewhere(String),
    /// The value has characters that a header cannot carry.
    #[error("the header `{0}` cannot carry the value of its placeholder")]
    Header(HeaderName),
}

impl RequestTemplate {
    pub(super) fn compile(table: &RequestTable) -> Result<Self, String> {
        if !table.path.starts_with('/') {
            return Err(format!(
                "request.path: `{}` must begin with `/`",
                table.path
            ));
        }
        if table.path.contains(['?', '#']) {
            return Err("request.path: write the query into `request.query`".to_owned());
        }
        let query = table
            .query
            .iter()
            .map(|(name, text)| Ok((name.clone(), Template::compile(text)?)))
            .collect::<Result<_, String>>()?;
        let headers = table
            .headers
            .iter()
            .map(|(name, text)| {
                let header = HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| format!("request.headers: invalid header name `{name}`"))?;
                Ok((header, Template::compile(text)?))
            })
            .collect::<Result<_, String>>()?;
        if table.body.is_some() && table.method == Method::Get {
            return Err("request.body: a GET has no body; use method = \"POST\"".to_owned());
        }
        let body = table.body.as_deref().map(Template::compile_body);
        let is_reserved = |part: &Part| matches!(part, Part::Reserved(_));
        if body
            .iter()
            .flat_map(|template| &template.parts)
            .any(is_reserved)
        {
            return Err("request.body: {+name} is allowed in the path only".to_owned());
        }
        Ok(Self {
            method: table.method,
            path: Template::compile_path(&table.path)?,
            query,
            headers,
            body,
        })
    }

    /// Returns the names of all placeholders, with repetitions.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        let query = self.query.iter().map(|(_, template)| template);
        let headers = self.headers.iter().map(|(_, template)| template);
        std::iter::once(&self.path)
            .chain(query)
            .chain(headers)
            .chain(&self.body)
            .flat_map(Template::placeholders)
    }

    /// Returns method and path as the definition writes them.
    pub fn shown(&self) -> String {
        format!("{} {}", self.method(), self.path.text)
    }

    /// Fills the placeholders; `value` returns the value for a name.
    ///
    /// # Errors
    /// Names the placeholder without a value, or the header that cannot carry a value.
    pub fn render<'a>(
        &self,
        value: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<RenderedRequest, RenderError> {
        self.render_for(&[], value)
    }

    /// Fills the placeholders of the request of a batch, with these job ids.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub(super) fn render_for<'a>(
        &self,
        job_ids: &[&str],
        value: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<RenderedRequest, RenderError> {
        if let Some(name) = self
            .path
            .placeholders()
            .find(|name| value(name).is_some_and(is_step))
        {
            return Err(RenderError::Elsewhere(name.to_owned()));
        }
        self.check_question_marks(&value)?;
        let mut path_and_query = self.path.render(&value, job_ids, percent_encoded)?;
        for (name, template) in &self.query {
            path_and_query.push(if path_and_query.contains('?') {
                '&'
            } else {
                '?'
            });
            path_and_query.push_str(&percent_encoded(name));
            path_and_query.push('=');
            path_and_query.push_str(&template.render(&value, job_ids, percent_encoded)?);
        }
        let headers = self
            .headers
            .iter()
            .map(|(name, template)| {
                let text = template.render(&value, job_ids, verbatim)?;
                HeaderValue::from_str(&text)
                    .map(|value| (name.clone(), value))
                    .map_err(|_| RenderError::Header(name.clone()))
            })
            .collect::<Result<_, _>>()?;
        let body = self.body.as_ref();
        let body = body.map(|template| template.render(&value, job_ids, json_escaped));
        Ok(RenderedRequest {
            method: self.method(),
            path_and_query,
            headers,
            body: body.transpose()?,
        })
    }

    /// Refuses a value with a query, except at the end of the path: elsewhere the query would cut
    /// off the rest of the path.
    fn check_question_marks<'a>(
        &self,
        value: &impl Fn(&str) -> Option<&'a str>,
    ) -> Result<(), RenderError> {
        let before_the_last = self
            .path
            .parts
            .split_last()
            .map_or(&[][..], |(_, others)| others);
        for part in before_the_last {
            if let Part::Reserved(name) = part
                && value(name).is_some_and(|value| value.contains('?'))
            {
                return Err(RenderError::Elsewhere(name.clone()));
            }
        }
        Ok(())
    }

    fn method(&self) -> http::Method {
        match self.method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
        }
    }
}

/// True if the value would be a step of the path: a URL parser takes dots for a step, in
/// every encoding.
fn is_step(value: &str) -> bool {
    matches!(value, "." | "..")
}

fn percent_encoded(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, RESERVED).into()
}

/// All characters but the unreserved and reserved ones of RFC 3986. `#` is encoded, since it
/// would begin a fragment; `%` is not, so that encoded characters stay as they are.
const NEITHER: &AsciiSet = &RESERVED
    .remove(b':')
    .remove(b'/')
    .remove(b'?')
    .remove(b'[')
    .remove(b']')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b'%');

fn kept_as_path<'a>(name: &str, value: &'a str) -> Result<Cow<'a, str>, RenderError> {
    let path = value.split('?').next().unwrap_or_default();
    let is_step = |step: &str| {
        let step = step.to_ascii_lowercase().replace("%2e", ".");
        step == "." || step == ".."
    };
    if path.split(['/', '\\']).any(is_step) {
        return Err(RenderError::Elsewhere(name.to_owned()));
    }
    Ok(utf8_percent_encode(value, NEITHER).into())
}

/// Escapes a text for the inside of a JSON string; the quotes are in the template.
fn json_escaped(text: &str) -> Cow<'_, str> {
    let quoted = serde_json::Value::from(text).to_string();
    Cow::Owned(quoted[1..quoted.len() - 1].to_owned())
}

fn verbatim(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

fn not_a_placeholder(text: &str) -> impl Fn(&str) -> Result<(), String> {
    move |rest| {
        Err(format!(
            "invalid placeholder `{{{rest}` in `{text}`: write {{name}} or {{+name}}, with letters, digits and `_`"
        ))
    }
}

fn placeholder(text: &str) -> Option<Part> {
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    match text.strip_prefix('+') {
        Some(name) if is_name(name) => Some(Part::Reserved(name.to_owned())),
        None if text == JOB_IDS => Some(Part::JobIds),
        None if text == JOB_IDS_JSON => Some(Part::JobIdsJson),
        None if is_name(text) => Some(Part::Placeholder(text.to_owned())),
        _ => None,
    }
}

#[derive(Debug, Clone)]
struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Literal(String),
    Placeholder(String),
    /// `{job_ids}`: the ids of a batch, joined with `,`.
    JobIds,
    /// `{job_ids:json}`: the ids of a batch as a JSON array.
    JobIdsJson,
    /// `{+name}`: reserved characters stay as they are (RFC 6570, section 3.2.3), for ids that
    /// are paths.
    Reserved(String),
}

impl Template {
    /// Compiles a path; only in a path may a value keep its slashes.
    fn compile_path(text: &str) -> Result<Self, String> {
        Self::split(text, not_a_placeholder(text))
    }

    /// Compiles a query or a header, in which every brace must belong to a placeholder.
    fn compile(text: &str) -> Result<Self, String> {
        let template = Self::split(text, not_a_placeholder(text))?;
        if template
            .parts
            .iter()
            .any(|part| matches!(part, Part::Reserved(_)))
        {
            return Err(format!("`{text}`: {{+name}} is allowed in the path only"));
        }
        Ok(template)
    }

    /// Compiles a body. A brace that begins no placeholder is text, since most braces are JSON's.
    /// Within a JSON string a doubled brace is one brace, so that GraphQL can be written:
    /// `"{{node(id: 1){{status}}}}"`.
    fn compile_body(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut is_string = false;
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let pair = ["{{", "}}"].into_iter().find(|pair| rest.starts_with(pair));
            let found = rest.strip_prefix('{').and_then(|after| {
                let (name, tail) = after.split_once('}')?;
                Some((placeholder(name)?, tail))
            });
            let taken = match (pair, found) {
                (Some(_), _) if is_string => {
                    literal.push(c);
                    2
                }
                (_, Some((part, tail))) => {
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(part);
                    rest.len() - tail.len()
                }
                _ => {
                    let escaped = rest[c.len_utf8()..]
                        .chars()
                        .next()
                        .filter(|_| is_string && c == '\\');
                    is_string ^= c == '"';
                    literal.push(c);
                    literal.extend(escaped);
                    c.len_utf8() + escaped.map_or(0, char::len_utf8)
                }
            };
            rest = &rest[taken..];
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Self {
            text: text.to_owned(),
            parts,
        }
    }

    fn split(text: &str, other_brace: impl Fn(&str) -> Result<(), String>) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            literal.push_str(before);
            let name = after
                .split_once('}')
                .map(|(name, tail)| (placeholder(name), tail));
            if let Some((Some(part), tail)) = name {
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(part);
                rest = tail;
            } else {
                other_brace(after)?;
                literal.push('{');
                rest = after;
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }

    fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(name) | Part::Reserved(name) => Some(name.as_str()),
            Part::JobIds => Some(JOB_IDS),
            Part::JobIdsJson => Some(JOB_IDS_JSON),
            Part::Literal(_) => None,
        })
    }

    fn render<'a>(
        &self,
        value: &impl Fn(&str) -> Option<&'a str>,
        job_ids: &[&str],
        encode: fn(&str) -> Cow<'_, str>,
    ) -> Result<String, RenderError> {
        let mut rendered = String::with_capacity(self.text.len() + 64);
        for part in &self.parts {
            match part {
                Part::Literal(literal) => rendered.push_str(literal),
                Part::JobIds => {
                    let each: Vec<Cow<'_, str>> = job_ids.iter().map(|id| encode(id)).collect();
                    rendered.push_str(&each.join(","));
                }
                Part::JobIdsJson => {
                    let array = serde_json::Value::from(job_ids.to_vec());
                    rendered.push_str(&array.to_string());
                }
                Part::Placeholder(name) => {
                    let value = value(name).ok_or_else(|| RenderError::Missing(name.clone()))?;
                    rendered.push_str(&encode(value));
                }
                Part::Reserved(name) => {
                    let value = value(name).ok_or_else(|| RenderError::Missing(name.clone()))?;
                    rendered.push_str(&kept_as_path(name, value)?);
                }
            }
        }
        Ok(rendered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn template(path: &str, query: &[(&str, &str)]) -> RequestTemplate {
        RequestTemplate::compile(&RequestTable {
            method: Method::Get,
            path: path.to_owned(),
            headers: BTreeMap::from([("content-type".into(), "application/json".into())]),
            query: query
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            body: None,
        })
        .unwrap()
    }

    #[test]
    fn id_that_is_a_path_is_kept_and_cannot_go_up() {
        let template = template("/v1/{+job_id}", &[]);
        let rendered = |id: &'static str| {
            template
                .render(move |_| Some(id))
                .map(|request| request.path_and_query)
        };
        assert_eq!(
            rendered("projects/p 1/operations/7?api=2#x").unwrap(),
            "/v1/projects/p%201/operations/7?api=2%23x"
        );
        for climbing in ["a/../b", "..", "a/%2E%2e/b", "./a", "a\\..\\b"] {
            assert_eq!(
                rendered(climbing),
                Err(RenderError::Elsewhere("job_id".into())),
                "{climbing}"
            );
        }
    }

    #[test]
    fn value_in_a_body_is_escaped_as_json() {
        let template = RequestTemplate::compile(&RequestTable {
            method: Method::Post,
            path: "/status".to_owned(),
            headers: BTreeMap::new(),
            query: BTreeMap::new(),
            body: Some(r#"{"jobs":["{job_id}"]}"#.to_owned()),
        });
        // The braces of JSON are text, not placeholders.
        let rendered = template.unwrap().render(|_| Some(r#"a"b\c"#)).unwrap();
        assert_eq!(rendered.body.unwrap(), r#"{"jobs":["a\"b\\c"]}"#);
    }

    #[test]
    fn doubled_braces_in_a_json_string_are_braces() {
        for (body, rendered) in [
            (
                r#"{"query":"{{node(id: \"{job_id}\"){{status}}}}"}"#,
                r#"{"query":"{node(id: \"j1\"){status}}"}"#,
            ),
            (r#"{"q":"query {{ job }}"}"#, r#"{"q":"query { job }"}"#),
            (r#"{"q":"{{{job_id}}}"}"#, r#"{"q":"{j1}"}"#),
            (r#"{"a":{"b":{}}}"#, r#"{"a":{"b":{}}}"#),
            (
                r#"{"a":{"b":{"c":"{job_id}"}}}"#,
                r#"{"a":{"b":{"c":"j1"}}}"#,
            ),
            (r#"{"ä":"\\","x":{"y":{}}}"#, r#"{"ä":"\\","x":{"y":{}}}"#),
        ] {
            let template = Template::compile_body(body);
            let filled = template.render(&|_| Some("j1"), &[], json_escaped);
            assert_eq!(filled.unwrap(), rendered, "{body}");
        }
    }

    #[test]
    fn job_id_cannot_leave_its_place_in_the_path() {
        let rendered = template("/v1/{project_id}/jobs/{job_id}", &[])
            .render(|name| match name {
                "job_id" => Some("a/../b?c#d e%2fé"),
                "project_id" => Some("p-1_~."),
                _ => None,
            })
            .unwrap();
        assert_eq!(
            rendered.path_and_query,
            "/v1/p-1_~./jobs/a%2F..%2Fb%3Fc%23d%20e%252f%C3%A9"
        );
    }

    #[test]
    fn query_in_an_id_is_accepted_at_the_end_of_the_path_only() {
        let middle = template("/job/{+job_id}/json", &[]);
        assert_eq!(
            middle.render(|_| Some("a?x=")),
            Err(RenderError::Elsewhere("job_id".into()))
        );
        let end = template("/{+job_id}", &[("zone", "z")])
            .render(|_| Some("a?x=1"))
            .unwrap();
        assert_eq!(end.path_and_query, "/a?x=1&zone=z");
    }

    #[test]
    fn id_of_dots_is_refused() {
        let template = template("/v1/{job_id}", &[]);
        for id in [".", ".."] {
            assert_eq!(
                template.render(|_| Some(id)),
                Err(RenderError::Elsewhere("job_id".into()))
            );
        }
    }

    #[test]
    fn query_is_encoded_and_header_is_not() {
        let rendered = template("/v3/jobs", &[("id", "{job_id}"), ("zone", "x")])
            .render(|_| Some("1&2=3"))
            .unwrap();
        assert_eq!(rendered.path_and_query, "/v3/jobs?id=1%262%3D3&zone=x");
        assert_eq!(rendered.headers[0].1, "application/json");
    }

    #[test]
    fn placeholder_without_a_value_is_named() {
        let error = template("/{project_id}/{job_id}", &[])
            .render(|name| (name == "job_id").then_some("x"))
            .unwrap_err();
        assert_eq!(error, RenderError::Missing("project_id".into()));
    }

    #[test]
    fn templates_that_cannot_work_are_refused() {
        assert!(
            Template::compile("{+a}")
                .unwrap_err()
                .contains("in the path only")
        );
        for text in ["/{job", "/{}", "/{a b}", "/{++a}"] {
            let error = Template::compile(text).unwrap_err();
            assert!(error.contains("invalid placeholder"), "{text}: {error}");
        }
    }
}
