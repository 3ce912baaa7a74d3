//! Rules, for APIs that report the state of a job in several fields.
//!
//! A rule holds if all its conditions hold. The first rule that holds decides; `[states]`
//! count only if none does.

use std::fmt;
use std::sync::Arc;

use crate::definition::condition::{Condition, Found};
use crate::definition::selector::{HTTP, Selector, View};
use crate::watch::observation::{JobState, Proof};

/// Conditions, and the state that they mean together.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The selectors with their conditions; all must hold.
    pub(crate) when: Vec<(Selector, Condition)>,
    /// The state of the job if they hold.
    pub(crate) outcome: JobState,
    /// True if case does not count; the conditions are then in lower case.
    pub(crate) ignore_case: bool,
    /// The rule as it stands in events and explanations.
    pub(crate) proof: Proof,
}

impl Rule {
    /// Makes the rule of this number, from 1.
    pub(super) fn new(
        number: usize,
        when: Vec<(Selector, Condition)>,
        outcome: JobState,
        ignore_case: bool,
    ) -> Self {
        let sources: Vec<&str> = when.iter().map(|(selector, _)| selector.source()).collect();
        let proof = Proof {
            selector: Arc::from(sources.join(", ")),
            rule: Arc::from(format!("rules: number {number}")),
            is_lenient: false,
        };
        Self {
            when,
            outcome,
            ignore_case,
            proof,
        }
    }

    /// True if all conditions hold for this answer.
    pub fn holds(&self, view: View<'_>) -> bool {
        self.when
            .iter()
            .all(|(selector, condition)| self.is_true(selector, condition, view))
    }

    /// True if all conditions on the head of the answer hold, and there is at least one.
    pub(super) fn head_holds(&self, view: View<'_>) -> bool {
        let mut of_head = self
            .when
            .iter()
            .filter(|(selector, condition)| is_of_head(selector, condition))
            .peekable();
        of_head.peek().is_some()
            && of_head.all(|(selector, condition)| self.is_true(selector, condition, view))
    }

    fn is_true(&self, selector: &Selector, condition: &Condition, view: View<'_>) -> bool {
        let (mut texts, is_there) = selector.texts(view);
        if self.ignore_case {
            for text in &mut texts {
                *text = text.to_lowercase();
            }
        }
        condition.is_true(&Found {
            texts,
            is_there,
            view,
            ignore_case: self.ignore_case,
        })
    }

    /// True if the rule asks only the HTTP status and headers; it then needs no body.
    pub(super) fn asks_only_the_head(&self) -> bool {
        !self.when.is_empty()
            && self
                .when
                .iter()
                .all(|(selector, condition)| is_of_head(selector, condition))
    }

    /// Returns the names of the params that the conditions use.
    pub(super) fn params(&self) -> impl Iterator<Item = &str> {
        self.when
            .iter()
            .flat_map(|(_, condition)| condition.params())
    }

    /// Returns all selectors, also those on the right side.
    pub(super) fn selectors(&self) -> impl Iterator<Item = &Selector> {
        self.when
            .iter()
            .flat_map(|(selector, condition)| std::iter::once(selector).chain(condition.operands()))
    }

    /// True if a condition demands a value that does not occur. Only a 2xx answer and one with
    /// a `claimed` HTTP status are read by rules.
    pub fn never_holds(&self, claimed: &[u16]) -> bool {
        let never = |selector: &Selector, text: Option<&str>| {
            text.is_some_and(|text| is_impossible(selector, text, claimed))
        };
        self.when
            .iter()
            .any(|(selector, condition)| match condition {
                Condition::Equals(text) => never(selector, text.literal()),
                Condition::In(texts) => texts.iter().all(|text| never(selector, text.literal())),
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

fn is_of_head(selector: &Selector, condition: &Condition) -> bool {
    selector.is_of_head() && condition.operands().iter().all(|it| it.is_of_head())
}

/// True if a selector never yields `text`: an empty text counts as absent.
fn is_impossible(selector: &Selector, text: &str, claimed: &[u16]) -> bool {
    let is_of_others = |n: u16| !(200..300).contains(&n) && !claimed.contains(&n);
    let is_other_http = || text.parse().is_ok_and(is_of_others);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::answer::{Answer, Asked};
    use crate::watch::{Labels, Params};
    use http::{HeaderMap, HeaderName};
    use serde_json::{Value, json};

    fn rule(when: &str) -> Rule {
        let table: toml::Table = toml::from_str(&format!("when = {{ {when} }}")).unwrap();
        let when = table["when"].as_table().unwrap();
        let when = when.iter().map(|(selector, condition)| {
            (
                Selector::compile(selector).unwrap(),
                Condition::read(condition).unwrap(),
            )
        });
        Rule::new(1, when.collect(), JobState::Failed, false)
    }

    fn holds(when: &str, body: &Value) -> bool {
        let labels = Labels::from([("deploy".to_owned(), "42".to_owned())]);
        let params = Params::from([("zone".to_owned(), "a*".to_owned())]);
        rule(when).holds(View {
            root: body,
            answer: &Answer {
                http_status: 200,
                headers: &HeaderMap::from_iter([(
                    HeaderName::from_static("x-state"),
                    "on".parse().unwrap(),
                )]),
                body: b"",
                is_cut: false,
            },
            asked: &Asked {
                labels: &labels,
                params: &params,
                ..Asked::job("j")
            },
            status: Some("CREATE_COMPLETE"),
        })
    }

    #[test]
    fn condition_compares_members_by_value() {
        let body = json!({"done": 10, "total": 10.0, "name": "b", "big": "12345678901234567890", "parts": [1, 12]});
        for (when, expected) in [
            (r#""$.done" = { equals = "$.total" }"#, true),
            (r#""$.done" = "10.0""#, false),
            (r#""$.done" = { less = "$.total" }"#, false),
            (r#""$.done" = { less = 11 }"#, true),
            (r#""$.done" = { greater = 9.5 }"#, true),
            (r#""$.big" = { greater = 12345678901234567 }"#, true),
            (r#""$.big" = { greater = "12345678901234567891" }"#, false),
            (r#""$.name" = { greater = 0 }"#, false),
            (r#""$.name" = { equals = "b" }"#, true),
            (r#""$.parts[*]" = { greater = "$.done" }"#, true),
            (r#""$.done" = { equals = "$.missing" }"#, false),
            (r#""$.done" = { not = { equals = "$.missing" } }"#, true),
            (r#""@header:x-state" = { equals = "on" }"#, true),
        ] {
            assert_eq!(holds(when, &body), expected, "{when}");
        }
    }

    #[test]
    fn condition_names_the_watch() {
        let body = json!({"deploy": "42", "zone": "a*", "other": "ab", "id": "j"});
        for (when, expected) in [
            (r#""$.deploy" = "{label.deploy}""#, true),
            (r#""$.deploy" = { not = "{label.deploy}" }"#, false),
            (r#""$.deploy" = { not = "{label.absent}" }"#, false),
            (r#""$.deploy" = { any = ["{label.absent}", "42"] }"#, false),
            (r#""$.deploy" = { not = "{run}" }"#, false),
            (r#""$.id" = { in = ["x", "{job_id}"] }"#, true),
            (r#""$.zone" = { like = "{param.zone}" }"#, true),
            (r#""$.other" = { like = "{param.zone}" }"#, false),
            (r#""$.deploy" = { equals = "{label.deploy}" }"#, true),
            (r#""$.deploy" = { less = "{label.absent}" }"#, false),
        ] {
            assert_eq!(holds(when, &body), expected, "{when}");
        }
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
            ("{ less = \"soon\" }", "compares numbers"),
            ("{ greater = [1] }", "or a selector"),
            ("\"{tag.x}\"", "unknown placeholder"),
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
