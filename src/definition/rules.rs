//! Rules, for APIs that report the state of a job in several fields.
//!
//! A rule holds if all its conditions hold. The first rule that holds decides; `[states]`
//! count only if none does.

use std::fmt;

use crate::definition::pattern::Pattern;
use crate::definition::selector::{HTTP, Selector, View};
use crate::watch::observation::JobState;

/// The most levels of conditions within conditions.
const DEPTH_MAX: usize = 8;

/// Conditions, and the state that they mean together.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The selectors with their conditions; all must hold.
    pub(crate) when: Vec<(Selector, Condition)>,
    /// The state of the job if they hold.
    pub(crate) outcome: JobState,
    /// True if case does not count; the conditions are then in lower case.
    pub(crate) ignore_case: bool,
}

/// A condition on the values of a selector. If there are several values, one that satisfies
/// it is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// A value equals this text.
    Equals(String),
    /// A value equals one of these texts.
    In(Vec<String>),
    /// There is a value (true), or there is none (false).
    Exists(bool),
    /// The inner condition does not hold.
    Not(Box<Condition>),
    /// A value matches this pattern.
    Like(Pattern),
    /// At least one of these conditions holds.
    Any(Vec<Condition>),
    /// Each of these conditions holds.
    All(Vec<Condition>),
}

impl Rule {
    /// True if all conditions hold for this answer.
    pub fn holds(&self, view: View<'_>) -> bool {
        self.when.iter().all(|(selector, condition)| {
            let (mut texts, is_there) = selector.texts(view);
            if self.ignore_case {
                for text in &mut texts {
                    *text = text.to_lowercase();
                }
            }
            condition.holds(&texts, is_there)
        })
    }

    /// True if a condition demands a value that does not occur.
    pub fn never_holds(&self) -> bool {
        self.when
            .iter()
            .any(|(selector, condition)| match condition {
                Condition::Equals(text) => is_impossible(selector, text),
                Condition::In(texts) => texts.iter().all(|text| is_impossible(selector, text)),
                _ => false,
            })
    }

    /// True if the rule holds only for answers that have a certain value.
    pub fn demands_something(&self) -> bool {
        self.when
            .iter()
            .any(|(_, condition)| condition.demands_a_value())
    }

    /// True if this rule holds for every answer for which `later` holds, so that `later` is never
    /// reached.
    pub fn covers(&self, later: &Self) -> bool {
        self.when.iter().all(|(selector, condition)| {
            later.when.iter().any(|(other, demanded)| {
                selector.source() == other.source() && condition == demanded
            })
        })
    }
}

/// True if a selector never yields `text`: an empty text counts as absent, and rules apply to
/// 2xx answers only.
fn is_impossible(selector: &Selector, text: &str) -> bool {
    let is_other_http = || text.parse().is_ok_and(|n: u16| !(200..300).contains(&n));
    text.is_empty() || (selector.source() == HTTP && is_other_http())
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when: Vec<String> = self
            .when
            .iter()
            .map(|(selector, condition)| format!("{} {condition}", selector.source()))
            .collect();
        let when = if when.is_empty() {
            "always".to_owned()
        } else {
            when.join(" and ")
        };
        write!(f, "{when} means {}", self.outcome.as_str())
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |all: &[Self], word: &str| {
            let each: Vec<String> = all.iter().map(ToString::to_string).collect();
            format!("({})", each.join(word))
        };
        match self {
            Self::Equals(text) => write!(f, "is {text}"),
            Self::In(texts) => write!(f, "is one of {}", texts.join(", ")),
            Self::Exists(true) => f.write_str("is there"),
            Self::Exists(false) => f.write_str("is not there"),
            Self::Not(inner) => write!(f, "not ({inner})"),
            Self::Like(pattern) => write!(f, "is like {}", pattern.source()),
            Self::Any(all) => f.write_str(&joined(all, " or ")),
            Self::All(all) => f.write_str(&joined(all, " and ")),
        }
    }
}

impl Condition {
    /// Reads a condition: a scalar, or a table with one of the known words.
    ///
    /// # Errors
    /// Names the mistake and the allowed forms.
    pub fn read(value: &toml::Value) -> Result<Self, String> {
        read_at(value, 0)
    }

    /// True if the condition holds only if there is a value.
    fn demands_a_value(&self) -> bool {
        match self {
            Self::Equals(_) | Self::In(_) | Self::Like(_) | Self::Exists(true) => true,
            Self::Exists(false) | Self::Not(_) => false,
            Self::Any(all) => all.iter().all(Self::demands_a_value),
            Self::All(all) => all.iter().any(Self::demands_a_value),
        }
    }

    /// Returns the condition in lower case, for texts in lower case.
    #[must_use]
    pub fn in_lower_case(self) -> Self {
        let each = |all: Vec<Self>| all.into_iter().map(Self::in_lower_case).collect();
        match self {
            Self::Equals(text) => Self::Equals(text.to_lowercase()),
            Self::In(texts) => Self::In(texts.iter().map(|text| text.to_lowercase()).collect()),
            Self::Like(pattern) => Self::Like(Pattern::new(&pattern.source().to_lowercase())),
            Self::Not(inner) => Self::Not(Box::new(inner.in_lower_case())),
            Self::Any(all) => Self::Any(each(all)),
            Self::All(all) => Self::All(each(all)),
            Self::Exists(wanted) => Self::Exists(wanted),
        }
    }

    fn holds(&self, texts: &[String], is_there: bool) -> bool {
        match self {
            Self::Equals(wanted) => texts.contains(wanted),
            Self::In(wanted) => texts.iter().any(|text| wanted.contains(text)),
            Self::Exists(wanted) => is_there == *wanted,
            Self::Not(inner) => !inner.holds(texts, is_there),
            Self::Like(pattern) => texts.iter().any(|text| pattern.matches(text)),
            Self::Any(inner) => inner.iter().any(|one| one.holds(texts, is_there)),
            Self::All(inner) => inner.iter().all(|one| one.holds(texts, is_there)),
        }
    }
}

fn read_at(value: &toml::Value, depth: usize) -> Result<Condition, String> {
    if depth == DEPTH_MAX {
        return Err(format!(
            "conditions are nested more than {DEPTH_MAX} levels deep"
        ));
    }
    if let Some(text) = scalar(value) {
        return Ok(Condition::Equals(text));
    }
    let allowed = "a value, or one of { in = […] }, { exists = true }, { not = … }, { like = \"…*\" }, { any = […] }, { all = […] }";
    let table = value
        .as_table()
        .filter(|table| table.len() == 1)
        .ok_or_else(|| format!("a condition is {allowed}"))?;
    let (word, inner) = table
        .iter()
        .next()
        .expect("a table with one entry has a first");
    match word.as_str() {
        "in" => list(inner, |one| {
            scalar(one).ok_or_else(|| "`in` lists values".to_owned())
        })
        .map(Condition::In),
        "exists" => inner
            .as_bool()
            .map(Condition::Exists)
            .ok_or_else(|| "`exists` is true or false".to_owned()),
        "not" => read_at(inner, depth + 1).map(|one| Condition::Not(Box::new(one))),
        "like" => inner
            .as_str()
            .map(|text| Condition::Like(Pattern::new(text)))
            .ok_or_else(|| "`like` is a text, as \"ROLLBACK_*\"".to_owned()),
        "any" => list(inner, |one| read_at(one, depth + 1)).map(Condition::Any),
        "all" => list(inner, |one| read_at(one, depth + 1)).map(Condition::All),
        other => Err(format!(
            "unknown condition `{other}`; a condition is {allowed}"
        )),
    }
}

fn list<T>(
    value: &toml::Value,
    read: impl Fn(&toml::Value) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let elements = value
        .as_array()
        .filter(|elements| !elements.is_empty())
        .ok_or_else(|| {
            "must be a list that is not empty; an empty one can never hold".to_owned()
        })?;
    elements.iter().map(read).collect()
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => serde_json::Number::from_f64(*number).map(|n| n.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn rule(when: &str) -> Rule {
        let table: toml::Table = toml::from_str(&format!("when = {{ {when} }}")).unwrap();
        let when = table["when"].as_table().unwrap();
        Rule {
            when: when
                .iter()
                .map(|(selector, condition)| {
                    (
                        Selector::compile(selector).unwrap(),
                        Condition::read(condition).unwrap(),
                    )
                })
                .collect(),
            outcome: JobState::Failed,
            ignore_case: false,
        }
    }

    fn holds(when: &str, body: &Value) -> bool {
        rule(when).holds(View {
            root: body,
            http_status: 200,
            status: Some("CREATE_COMPLETE"),
        })
    }

    #[test]
    fn every_form_of_condition() {
        let body = json!({"done": true, "code": 7, "none": null, "error": {"code": 1}, "tags": ["a", "b"]});
        for (when, expected) in [
            (r#""$.done" = true"#, true),
            (r#""$.done" = "true""#, true),
            (r#""$.code" = 7"#, true),
            (r#""$.code" = { in = [6, 7] }"#, true),
            (r#""$.code" = { in = [6] }"#, false),
            (r#""$.none" = { exists = false }"#, true),
            (r#""$.error" = { exists = true }"#, true),
            (r#""$.missing" = { exists = true }"#, false),
            (r#""$.code" = { not = 7 }"#, false),
            (r#""$.missing" = { not = 7 }"#, true),
            (r#""$.tags[*]" = "b""#, true),
            (r#""@status" = { like = "*_COMPLETE" }"#, true),
            (r#""@http" = 200"#, true),
            (r#""$.code" = { any = [1, { like = "7*" }] }"#, true),
            (
                r#""$.code" = { all = [{ exists = true }, { not = 8 }] }"#,
                true,
            ),
            (r#""$.done" = true, "$.code" = 8"#, false),
        ] {
            assert_eq!(holds(when, &body), expected, "{when}");
        }
    }

    #[test]
    fn invalid_condition_is_refused() {
        for (text, said) in [
            ("{ in = [] }", "can never hold"),
            ("{ is = 1 }", "unknown condition `is`"),
            ("{ in = [1], not = 2 }", "a condition is a value"),
            ("{ exists = 1 }", "true or false"),
            ("[1]", "a condition is a value"),
        ] {
            let table: toml::Table = toml::from_str(&format!("c = {text}")).unwrap();
            let error = Condition::read(&table["c"]).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn rule_covers_a_later_one_with_more_conditions() {
        let wide = rule(r#""$.a" = 1"#);
        assert!(wide.covers(&rule(r#""$.a" = 1, "$.b" = 2"#)));
        assert!(!wide.covers(&rule(r#""$.a" = 2"#)));
        assert!(!rule(r#""$.a" = 1, "$.b" = 2"#).covers(&wide));
    }
}
