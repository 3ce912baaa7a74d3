//! How a job is asked for: the request template of a definition.

use std::borrow::Cow;

use http::HeaderName;
use http::HeaderValue;
use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;

use crate::definition::language::Method;
use crate::definition::language::RequestTable;

/// The placeholder of the job's id.
pub const JOB_ID: &str = "job_id";

/// Everything but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A request with placeholders, compiled.
#[derive(Debug, Clone)]
pub struct RequestTemplate {
    method: Method,
    path: Template,
    query: Vec<(String, Template)>,
    headers: Vec<(HeaderName, Template)>,
}

/// A request with its placeholders filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedRequest {
    /// The HTTP method.
    pub method: http::Method,
    /// Path and query, percent-encoded, beginning with `/`.
    pub path_and_query: String,
    /// Headers of the definition; the credential adds its own.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// A placeholder that has no value, or a value that cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// Nobody gave the param.
    #[error("the param `{0}` has no value; give it in the service's `params` or with the watch")]
    Missing(String),
    /// A header cannot carry the value.
    #[error("the header `{0}` cannot carry the value of its placeholder")]
    Header(HeaderName),
}

impl RequestTemplate {
    pub(crate) fn compile(table: &RequestTable) -> Result<Self, String> {
        if !table.path.starts_with('/') {
            return Err(format!(
                "request.path: `{}` must begin with `/`",
                table.path
            ));
        }
        if table.path.contains(['?', '#']) {
            return Err("request.path: the query belongs into `request.query`".to_owned());
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
                    .map_err(|_| format!("request.headers: `{name}` is no header name"))?;
                Ok((header, Template::compile(text)?))
            })
            .collect::<Result<_, String>>()?;
        Ok(Self {
            method: table.method,
            path: Template::compile(&table.path)?,
            query,
            headers,
        })
    }

    /// The names of all placeholders, with repetitions.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        let query = self.query.iter().map(|(_, template)| template);
        let headers = self.headers.iter().map(|(_, template)| template);
        std::iter::once(&self.path)
            .chain(query)
            .chain(headers)
            .flat_map(Template::placeholders)
    }

    /// Method and path as the definition writes them.
    pub fn shown(&self) -> String {
        format!("{} {}", self.method(), self.path.text)
    }

    /// Fills the placeholders; `value` gives the value of each by its name.
    ///
    /// # Errors
    /// Names the placeholder that has no value, or the header that cannot carry it.
    pub fn render<'a>(
        &self,
        value: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<RenderedRequest, RenderError> {
        let mut path_and_query = self.path.render(&value, percent_encoded)?;
        for (n, (name, template)) in self.query.iter().enumerate() {
            path_and_query.push(if n == 0 { '?' } else { '&' });
            path_and_query.push_str(&percent_encoded(name));
            path_and_query.push('=');
            path_and_query.push_str(&template.render(&value, percent_encoded)?);
        }
        let headers = self
            .headers
            .iter()
            .map(|(name, template)| {
                let text = template.render(&value, verbatim)?;
                HeaderValue::from_str(&text)
                    .map(|value| (name.clone(), value))
                    .map_err(|_| RenderError::Header(name.clone()))
            })
            .collect::<Result<_, _>>()?;
        Ok(RenderedRequest {
            method: self.method(),
            path_and_query,
            headers,
        })
    }

    fn method(&self) -> http::Method {
        match self.method {
            Method::Get => http::Method::GET,
        }
    }
}

fn percent_encoded(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, RESERVED).into()
}

fn verbatim(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

/// Text with `{placeholders}`.
#[derive(Debug, Clone)]
struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Literal(String),
    Placeholder(String),
}

impl Template {
    fn compile(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            let (name, tail) = after
                .split_once('}')
                .ok_or_else(|| format!("request: `{text}` has a `{{` without its `}}`"))?;
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(format!(
                    "request: `{{{name}}}` in `{text}` is no placeholder; use letters, digits and `_`"
                ));
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            parts.push(Part::Placeholder(name.to_owned()));
            rest = tail;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }

    fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    fn render<'a>(
        &self,
        value: &impl Fn(&str) -> Option<&'a str>,
        encode: fn(&str) -> Cow<'_, str>,
    ) -> Result<String, RenderError> {
        let mut rendered = String::with_capacity(self.text.len() + 64);
        for part in &self.parts {
            match part {
                Part::Literal(literal) => rendered.push_str(literal),
                Part::Placeholder(name) => {
                    let value = value(name).ok_or_else(|| RenderError::Missing(name.clone()))?;
                    rendered.push_str(&encode(value));
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
        })
        .unwrap()
    }

    #[test]
    fn a_job_id_cannot_leave_its_place_in_the_path() {
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
    fn a_query_is_encoded_and_a_header_is_kept() {
        let rendered = template("/v3/jobs", &[("id", "{job_id}"), ("zone", "x")])
            .render(|_| Some("1&2=3"))
            .unwrap();
        assert_eq!(rendered.path_and_query, "/v3/jobs?id=1%262%3D3&zone=x");
        assert_eq!(rendered.headers[0].1, "application/json");
    }

    #[test]
    fn a_placeholder_without_a_value_is_named() {
        let error = template("/{project_id}/{job_id}", &[])
            .render(|name| (name == "job_id").then_some("x"))
            .unwrap_err();
        assert_eq!(error, RenderError::Missing("project_id".into()));
    }

    #[test]
    fn templates_that_cannot_work_are_refused() {
        for (text, said) in [
            ("/{job", "without its"),
            ("/{}", "no placeholder"),
            ("/{a b}", "no placeholder"),
        ] {
            let error = Template::compile(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
