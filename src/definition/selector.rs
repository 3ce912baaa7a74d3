//! Selectors: JSONPath (RFC 9535) into an answer, compiled when the definition is loaded.
//!
//! Beside JSONPath there are words for other values, `@http`, `@status`, `@text` and
//! `@header:NAME`, and a form for JSON inside a string.

use std::borrow::Cow;

use http::HeaderName;
use serde_json::Value;
use serde_json_path::JsonPath;

use crate::definition::answer::{Answer, Asked};
use crate::definition::body;

/// The most selectors of one key.
const SELECTORS_MAX: usize = 16;
/// The longest selector, in bytes.
const SELECTOR_BYTES_MAX: usize = 1000;
/// The most levels of nested brackets: the parser of JSONPath is recursive.
const NESTING_MAX: usize = 32;
/// The selector of the HTTP status of the answer.
pub const HTTP: &str = "@http";
/// The selector of the status that `job.status` gave.
pub const STATUS: &str = "@status";

/// The selector of the body as text.
pub const TEXT: &str = "@text";
/// The beginning of the selector of a header.
pub const HEADER: &str = "@header:";

/// The input of selectors: an answer, a part of its body, and the status of the job.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The value that `$` stands for.
    pub root: &'a Value,
    /// The whole answer, for `@http`, `@text` and `@header:NAME`.
    pub answer: &'a Answer<'a>,
    /// The job that was asked for, for the placeholders of conditions.
    pub asked: &'a Asked<'a>,
    /// The status of the job, for `@status`; `None` before it was read.
    pub status: Option<&'a str>,
}

impl<'a> View<'a> {
    /// Returns a view of the same answer in which `$` is `root`.
    #[must_use]
    pub fn at(self, root: &'a Value) -> Self {
        Self { root, ..self }
    }
}

/// The selectors of one key, in the order in which they are tried.
#[derive(Debug, Clone, Default)]
pub struct Selectors(Vec<Selector>);

/// One compiled selector, with its text for messages.
#[derive(Debug, Clone)]
pub struct Selector {
    source: String,
    kind: Kind,
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Selector {}

#[derive(Debug, Clone)]
enum Kind {
    /// `$.a.b`: by far the most common form, and several times cheaper without the library.
    Members(Vec<String>),
    Path(Box<JsonPath>),
    Http,
    Status,
    Text,
    Header(HeaderName),
    /// A selector into JSON that stands in a string.
    InText {
        text: Box<Kind>,
        find: Box<Kind>,
    },
}

impl Selectors {
    /// Makes a list of these selectors, in their order.
    ///
    /// # Errors
    /// There are more than 16.
    pub fn new(selectors: Vec<Selector>) -> Result<Self, String> {
        if selectors.len() > SELECTORS_MAX {
            let count = selectors.len();
            return Err(format!(
                "{count} selectors; at most {SELECTORS_MAX} are allowed"
            ));
        }
        Ok(Self(selectors))
    }

    /// True if there are no selectors.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if one of these selects from the tree of the body.
    pub fn need_a_tree(&self) -> bool {
        self.0.iter().any(|selector| selector.kind.needs_a_tree())
    }

    /// True if there are selectors, and all of them select from the head of the answer.
    pub(super) fn ask_only_the_head(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(Selector::is_of_head)
    }

    /// Returns the first non-empty scalar that a selector yields, as text.
    pub fn first_text(&self, view: View<'_>) -> Option<String> {
        self.first(view).map(|(text, _)| text)
    }

    /// Returns the first non-empty scalar as text, and the selector that yields it.
    pub fn first(&self, view: View<'_>) -> Option<(String, &str)> {
        self.0
            .iter()
            .find_map(|selector| Some((selector.text(view)?, selector.source.as_str())))
    }

    /// Returns the first value that is not absent, `null` or `""`.
    pub fn first_value<'a>(&self, view: View<'a>) -> Option<Cow<'a, Value>> {
        self.0.iter().find_map(|selector| {
            if !selector.kind.is_of_body() {
                return selector.text(view).map(Value::String).map(Cow::Owned);
            }
            let nodes = selector.kind.nodes(view.root);
            let found = nodes.into_iter().find(|value| !is_absent(value));
            found.map(Cow::Borrowed)
        })
    }

    /// Returns the texts of all selectors, joined with `/`; `None` if one of them yields none.
    pub(super) fn all_joined(&self, view: View<'_>) -> Option<String> {
        let texts = self.0.iter().map(|selector| selector.text(view));
        let texts: Vec<String> = texts.collect::<Option<_>>()?;
        (!texts.is_empty()).then(|| texts.join("/"))
    }

    /// Returns the texts that the selectors yield, joined with `/`; `None` if there are none.
    pub fn joined_text(&self, view: View<'_>) -> Option<String> {
        let mut found = self.0.iter().filter_map(|selector| selector.text(view));
        let first = found.next()?;
        Some(found.fold(first, |joined, text| joined + "/" + &text))
    }

    /// Returns the selectors as they were written, separated by commas.
    pub fn sources(&self) -> String {
        let sources: Vec<&str> = self
            .0
            .iter()
            .map(|selector| selector.source.as_str())
            .collect();
        sources.join(", ")
    }

    /// Returns all values that the selectors yield, in their order.
    pub fn all<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        self.0
            .iter()
            .flat_map(|selector| selector.kind.nodes(root))
            .collect()
    }
}

impl Selector {
    /// Compiles one selector.
    ///
    /// # Errors
    /// It is not JSONPath, or could cost too much. The text names the place of a mistake.
    pub fn compile(source: &str) -> Result<Self, String> {
        Ok(Self {
            source: source.to_owned(),
            kind: Kind::compile(source)?,
        })
    }

    /// Compiles a selector into JSON that stands in a string.
    ///
    /// # Errors
    /// One of the two is not JSONPath.
    pub fn compile_in_text(text: &str, find: &str) -> Result<Self, String> {
        Ok(Self {
            source: format!("{text} as JSON: {find}"),
            kind: Kind::InText {
                text: Box::new(Kind::compile(text)?),
                find: Box::new(Kind::compile(find)?),
            },
        })
    }

    /// Returns the selector as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// True if it selects from the head of the answer: the HTTP status or a header.
    pub(super) fn is_of_head(&self) -> bool {
        matches!(self.kind, Kind::Http | Kind::Header(_))
    }

    /// True if it yields values of the tree of the body as they are.
    pub(super) fn is_in_tree(&self) -> bool {
        self.kind.is_of_body()
    }

    /// True if it selects from the tree of the body.
    pub fn needs_a_tree(&self) -> bool {
        self.kind.needs_a_tree()
    }

    /// Returns all values in the body that it yields.
    pub fn nodes<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        self.kind.nodes(root)
    }

    /// True if the selector is of the form `$.tasks[*]` and there is a list at `$.tasks`, which
    /// may be empty.
    pub fn has_its_list(&self, root: &Value) -> bool {
        let list = self.source.strip_suffix("[*]").map(Kind::compile);
        match list {
            Some(Ok(kind)) => kind.nodes(root).iter().any(|value| value.is_array()),
            _ => false,
        }
    }

    /// Returns the first non-empty scalar that it yields.
    pub(super) fn text(&self, view: View<'_>) -> Option<String> {
        self.kind.text(view)
    }

    /// Returns all non-empty scalars that it yields, and true if it yields any value at all.
    pub fn texts(&self, view: View<'_>) -> (Vec<String>, bool) {
        match &self.kind {
            Kind::Members(_) | Kind::Path(_) => {
                let nodes = self.kind.nodes(view.root);
                let is_there = nodes.iter().any(|value| !is_absent(value));
                let texts = nodes.into_iter().filter_map(scalar_text);
                (texts.map(Cow::into_owned).collect(), is_there)
            }
            Kind::Http | Kind::Status | Kind::Text | Kind::Header(_) | Kind::InText { .. } => {
                let text = self.text(view);
                let is_there = text.is_some();
                (text.into_iter().collect(), is_there)
            }
        }
    }
}

impl Kind {
    fn compile(source: &str) -> Result<Self, String> {
        check_cost(source)?;
        if let Some(members) = plain_members(source) {
            return Ok(Self::Members(members));
        }
        if let Some(name) = source.strip_prefix(HEADER) {
            return HeaderName::from_bytes(name.as_bytes())
                .map(Self::Header)
                .map_err(|_| format!("`{source}`: invalid header name `{name}`"));
        }
        match source {
            HTTP => Ok(Self::Http),
            STATUS => Ok(Self::Status),
            TEXT => Ok(Self::Text),
            word if word.starts_with('@') => Err(format!(
                "`{word}` is unknown; beside JSONPath there are {HTTP}, {STATUS}, {TEXT} and {HEADER}NAME"
            )),
            path => JsonPath::parse(path)
                .map(|path| Self::Path(Box::new(path)))
                .map_err(|error| format!("`{source}` is not JSONPath (RFC 9535): {error}")),
        }
    }

    fn nodes<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        match self {
            Self::Members(members) => walk(root, members).into_iter().collect(),
            Self::Path(path) => path.query(root).all(),
            Self::Http | Self::Status | Self::Text | Self::Header(_) | Self::InText { .. } => {
                Vec::new()
            }
        }
    }

    /// True if it yields values of the tree as they are.
    fn is_of_body(&self) -> bool {
        matches!(self, Self::Members(_) | Self::Path(_))
    }

    fn needs_a_tree(&self) -> bool {
        match self {
            Self::Members(_) | Self::Path(_) | Self::Status => true,
            Self::Http | Self::Text | Self::Header(_) => false,
            Self::InText { text, .. } => text.needs_a_tree(),
        }
    }

    fn text(&self, view: View<'_>) -> Option<String> {
        match self {
            Self::Members(members) => walk(view.root, members)
                .and_then(scalar_text)
                .map(Cow::into_owned),
            Self::Path(_) => {
                let nodes = self.nodes(view.root);
                nodes.into_iter().find_map(scalar_text).map(Cow::into_owned)
            }
            Self::Http => Some(view.answer.http_status.to_string()),
            Self::Text => {
                let text = body::trimmed_text(view.answer.content_type(), view.answer.body);
                (!text.is_empty()).then_some(text)
            }
            Self::Header(name) => view.answer.header(name.as_str()),
            Self::Status => view.status.map(str::to_owned),
            Self::InText { text, find } => {
                let inner = body::parse_text(&text.text(view)?)?;
                find.text(view.at(&inner))
            }
        }
    }
}

/// Refuses selectors that could cost too much: nesting that overflows the stack of the
/// parser, filters that walk the whole body for each of its nodes, and regular expressions,
/// which the body itself could supply.
fn check_cost(source: &str) -> Result<(), String> {
    if source.len() > SELECTOR_BYTES_MAX {
        return Err(format!(
            "the selector has more than {SELECTOR_BYTES_MAX} bytes"
        ));
    }
    let mut depth: usize = 0;
    for c in source.chars() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_MAX {
            return Err(format!(
                "brackets are nested more than {NESTING_MAX} levels deep"
            ));
        }
    }
    let Some((_, filter)) = source.split_once('?') else {
        return Ok(());
    };
    if filter.contains("..") {
        return Err(format!("`{source}`: a filter must not search with `..`"));
    }
    if filter.contains("match(") || filter.contains("search(") {
        return Err(format!(
            "`{source}`: match() and search() are not allowed; use a rule with `like`"
        ));
    }
    Ok(())
}

fn plain_members(text: &str) -> Option<Vec<String>> {
    let rest = text.strip_prefix("$.")?;
    let plain = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    rest.split('.')
        .map(|name| plain(name).then(|| name.to_owned()))
        .collect()
}

fn walk<'a>(root: &'a Value, members: &[String]) -> Option<&'a Value> {
    members.iter().try_fold(root, |value, name| match value {
        Value::Object(object) => object.get(name),
        _ => None,
    })
}

/// True for `null` and `""`, which count as absent everywhere: real RUNNING bodies have
/// `"end_time":""` where the documents show `null`.
fn is_absent(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}

/// Returns the text of a scalar. Scalars are compared by their text, so `1` equals `"1"`.
fn scalar_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(truth) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use serde_json::json;
    use std::sync::LazyLock;

    fn selectors(texts: &[&str]) -> Selectors {
        let compiled = texts.iter().map(|text| Selector::compile(text).unwrap());
        Selectors::new(compiled.collect()).unwrap()
    }

    fn view(root: &Value) -> View<'_> {
        static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
            HeaderMap::from_iter([(HeaderName::from_static("x-state"), " on ".parse().unwrap())])
        });
        static ANSWER: LazyLock<Answer<'static>> = LazyLock::new(|| Answer {
            http_status: 202,
            headers: &HEADERS,
            body: b" DONE \n",
            is_cut: false,
        });
        static ASKED: LazyLock<Asked<'static>> = LazyLock::new(Asked::any);
        View {
            root,
            answer: &ANSWER,
            asked: &ASKED,
            status: Some("RUNNING"),
        }
    }

    #[test]
    fn text_and_headers_are_selected() {
        let first = |text: &str| selectors(&[text]).first_text(view(&Value::Null));
        assert_eq!(first("@text"), Some("DONE".into()));
        assert_eq!(first("@header:X-State"), Some("on".into()));
        assert_eq!(first("@header:other"), None);
        assert!(
            Selector::compile("@headers:x")
                .unwrap_err()
                .contains("@header:NAME")
        );
    }

    #[test]
    fn first_non_empty_value_counts() {
        let body = json!({"a": "", "b": null, "c": {"d": 7}, "e": true});
        let first = |texts: &[&str]| selectors(texts).first_text(view(&body));
        assert_eq!(
            first(&["$.missing", "$.a", "$.b", "$.c.d"]),
            Some("7".into())
        );
        assert_eq!(first(&["$.e"]), Some("true".into()));
        assert_eq!(first(&["$.c"]), None);
        assert_eq!(first(&[]), None);
    }

    #[test]
    fn empty_elements_are_skipped() {
        let body = json!({"jobs": [{"why": null}, {"why": ""}, {"why": "disk"}]});
        let found = selectors(&["$.jobs[*].why"]);
        assert_eq!(
            found.first(view(&body)),
            Some(("disk".into(), "$.jobs[*].why"))
        );
    }

    #[test]
    fn several_status_fields_are_joined_with_slashes() {
        let body = json!({"state": "FINISHED", "result": "FAILED", "other": null});
        let joined = |texts: &[&str]| selectors(texts).joined_text(view(&body)).unwrap();
        assert_eq!(joined(&["$.state", "$.result"]), "FINISHED/FAILED");
        assert_eq!(joined(&["$.state", "$.other"]), "FINISHED");
        assert_eq!(joined(&["@http", "$.state"]), "202/FINISHED");
    }

    #[test]
    fn json_inside_a_string_is_read() {
        let body = json!({"note": "{\"message\":\"quota\"}", "plain": "no JSON"});
        let of = |text: &str| {
            let selector = Selector::compile_in_text(text, "$.message").unwrap();
            Selectors::new(vec![selector])
                .unwrap()
                .first_text(view(&body))
        };
        assert_eq!(of("$.note"), Some("quota".into()));
        assert_eq!(of("$.plain"), None);
        assert_eq!(of("$.missing"), None);
    }

    #[test]
    fn plain_members_and_jsonpath_select_the_same() {
        let body = json!({"a": {"b_1": {"c": "x"}}, "list": [1]});
        for text in ["$.a.b_1.c", "$.list.a", "$.a.b_1", "$.nothing"] {
            let by_hand = selectors(&[text]);
            assert!(matches!(by_hand.0[0].kind, Kind::Members(_)));
            let path = JsonPath::parse(text).unwrap();
            assert_eq!(by_hand.all(&body), path.query(&body).all());
        }
    }

    #[test]
    fn selector_that_could_cost_too_much_is_refused() {
        let deep = format!("$[?{}@.a{}]", "(".repeat(2000), ")".repeat(2000));
        let long = format!("$.{}", "a".repeat(2000));
        for (source, said) in [
            (
                format!("$[?{}@.a{}]", "(".repeat(100), ")".repeat(100)),
                "deep",
            ),
            (deep, "more than 1000 bytes"),
            (long, "more than 1000 bytes"),
            ("$..[?count($..*)<0]".to_owned(), "must not search"),
            ("$.a[?search(@.x, @.r)]".to_owned(), "not allowed"),
        ] {
            let error = Selector::compile(&source).unwrap_err();
            assert!(error.contains(said), "{source}: {error}");
        }
        assert!(
            Selector::compile("$.status.conditions[?@.type=='Failed' && @.status=='True'].message")
                .is_ok()
        );
    }

    #[test]
    fn selector_that_is_not_jsonpath_is_named() {
        let error = Selector::compile("$.a[").unwrap_err();
        assert!(error.contains("`$.a[` is not JSONPath"), "{error}");
    }
}
