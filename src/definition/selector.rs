//! Selectors: `JSONPath` (RFC 9535) into an answer, compiled when the definition is loaded.

use serde_json::Value;
use serde_json_path::JsonPath;

/// The most selectors one key may list.
const SELECTORS_MAX: usize = 16;

/// An ordered list of selectors.
#[derive(Debug, Clone, Default)]
pub struct Selectors(Vec<Selector>);

#[derive(Debug, Clone)]
enum Selector {
    /// `$.a.b`: by far the most common, and several times cheaper walked by hand.
    Members(Vec<String>),
    Path(Box<JsonPath>),
}

impl Selectors {
    /// Compiles `texts`, in their order.
    ///
    /// # Errors
    /// Names the selector that is not `JSONPath`, and where in it the mistake stands.
    pub fn compile(texts: &[String]) -> Result<Self, String> {
        if texts.len() > SELECTORS_MAX {
            return Err(format!(
                "{} selectors; at most {SELECTORS_MAX} are allowed",
                texts.len()
            ));
        }
        texts
            .iter()
            .map(|text| Selector::compile(text))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The first non-empty scalar that a selector yields, as text.
    pub fn first_text(&self, root: &Value) -> Option<String> {
        self.0
            .iter()
            .find_map(|selector| selector.find(root, scalar_text))
    }

    /// The first value that is there: not missing, not `null`, not `""`.
    pub fn first_value<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        self.0
            .iter()
            .find_map(|selector| selector.find(root, |value| (!is_absent(value)).then_some(value)))
    }

    /// The text each selector yields, joined with `/`; `None` when none yields any.
    pub fn joined_text(&self, root: &Value) -> Option<String> {
        let mut found = self
            .0
            .iter()
            .filter_map(|selector| selector.find(root, scalar_text));
        let first = found.next()?;
        Some(found.fold(first, |joined, text| joined + "/" + &text))
    }

    /// Everything that the selectors yield, in their order.
    pub fn all<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        self.0
            .iter()
            .flat_map(|selector| selector.all(root))
            .collect()
    }
}

impl Selector {
    fn compile(text: &str) -> Result<Self, String> {
        if let Some(members) = plain_members(text) {
            return Ok(Self::Members(members));
        }
        JsonPath::parse(text)
            .map(|path| Self::Path(Box::new(path)))
            .map_err(|error| format!("`{text}` is not JSONPath (RFC 9535): {error}"))
    }

    fn find<'a, T>(&self, root: &'a Value, pick: impl Fn(&'a Value) -> Option<T>) -> Option<T> {
        match self {
            Self::Members(members) => walk(root, members).and_then(pick),
            Self::Path(path) => path.query(root).all().into_iter().find_map(pick),
        }
    }

    fn all<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        match self {
            Self::Members(members) => walk(root, members).into_iter().collect(),
            Self::Path(path) => path.query(root).all(),
        }
    }
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
    members.iter().try_fold(root, |value, name| value.get(name))
}

/// Missing, `null` and `""` are the same thing everywhere: real RUNNING bodies carry
/// `"end_time":""` where the documents show `null`.
fn is_absent(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}

/// Scalars compare by their text, whatever their JSON type.
fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn selectors(texts: &[&str]) -> Selectors {
        Selectors::compile(&texts.iter().map(|&t| t.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn the_first_that_yields_a_non_empty_value_counts() {
        let body = json!({"a": "", "b": null, "c": {"d": 7}, "e": true});
        assert_eq!(
            selectors(&["$.missing", "$.a", "$.b", "$.c.d"]).first_text(&body),
            Some("7".into())
        );
        assert_eq!(selectors(&["$.e"]).first_text(&body), Some("true".into()));
        assert_eq!(selectors(&["$.c"]).first_text(&body), None);
        assert_eq!(selectors(&[]).first_text(&body), None);
    }

    #[test]
    fn a_filter_skips_empty_elements() {
        let body = json!({"jobs": [{"why": null}, {"why": ""}, {"why": "disk"}]});
        assert_eq!(
            selectors(&["$.jobs[*].why"]).first_text(&body),
            Some("disk".into())
        );
    }

    #[test]
    fn several_status_fields_are_joined() {
        let body = json!({"state": "FINISHED", "result": "FAILED", "other": null});
        assert_eq!(
            selectors(&["$.state", "$.result"]).joined_text(&body),
            Some("FINISHED/FAILED".into())
        );
        assert_eq!(
            selectors(&["$.state", "$.other"]).joined_text(&body),
            Some("FINISHED".into())
        );
    }

    #[test]
    fn both_ways_to_walk_agree() {
        let body = json!({"a": {"b_1": {"c": "x"}}, "list": [1]});
        for text in ["$.a.b_1.c", "$.list.a", "$.a.b_1", "$.nothing"] {
            let by_hand = selectors(&[text]).0;
            assert!(matches!(by_hand[..], [Selector::Members(_)]));
            let path = JsonPath::parse(text).unwrap();
            assert_eq!(selectors(&[text]).all(&body), path.query(&body).all());
        }
    }

    #[test]
    fn a_selector_that_is_not_jsonpath_is_named() {
        let error = Selectors::compile(&["$.a[".to_owned()]).unwrap_err();
        assert!(error.contains("`$.a[` is not JSONPath"), "{error}");
    }
}
