//! Conditions on the values of a selector.

use std::fmt;

use crate::definition::answer::Asked;
use crate::definition::naming::{Like, Text};
use crate::definition::number::Number;
use crate::definition::selector::{Selector, View};

/// The most levels of conditions within conditions.
const DEPTH_MAX: usize = 8;
/// The most values of each side of a comparison that are compared.
const COMPARED_MAX: usize = 1000;
/// The forms of a condition, for messages.
const ALLOWED: &str = "a value, or one of { in = […] }, { exists = true }, { not = … }, { like = \"…*\" }, { equals = \"$.…\" }, { less = … }, { greater = … }, { any = […] }, { all = […] }";

/// A condition on the values of a selector. If there are several values, one that satisfies
/// it is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// A value equals this text.
    Equals(Text),
    /// A value equals one of these texts.
    In(Vec<Text>),
    /// There is a value (true), or there is none (false).
    Exists(bool),
    /// The inner condition does not hold.
    Not(Box<Condition>),
    /// A value matches this pattern.
    Like(Like),
    /// A value compares so with the operand.
    Compare(Comparison, Operand),
    /// At least one of these conditions holds.
    Any(Vec<Condition>),
    /// Each of these conditions holds.
    All(Vec<Condition>),
}

/// A comparison by value: of numbers of any form and any size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The numbers are the same, or the texts are.
    Equal,
    /// The value is a smaller number.
    Less,
    /// The value is a greater number.
    Greater,
}

/// The other side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// A text or a number.
    Text(Text),
    /// Another value of the answer.
    Selector(Box<Selector>),
}

/// The values of a selector in one answer.
pub(super) struct Found<'a> {
    /// The scalars, in lower case if case does not count.
    pub(super) texts: Vec<String>,
    /// True if there is any value.
    pub(super) is_there: bool,
    /// The answer, in which operands select.
    pub(super) view: View<'a>,
    /// True if case does not count.
    pub(super) ignore_case: bool,
}

/// A value of a comparison, read once.
struct Compared<'a> {
    text: &'a str,
    number: Option<Number>,
}

impl<'a> Compared<'a> {
    /// Reads the first values of one side.
    fn read(texts: &'a [String]) -> Vec<Self> {
        let first = texts.iter().take(COMPARED_MAX);
        let read = first.map(|text| Self {
            text,
            number: Number::read(text),
        });
        read.collect()
    }
}

impl Comparison {
    /// True if one of the values compares so with one of the operands.
    fn holds_for_any(self, values: &[String], operands: &[String]) -> bool {
        let operands = Compared::read(operands);
        let values = Compared::read(values);
        let fits = |value| operands.iter().any(|operand| self.holds(value, operand));
        values.iter().any(fits)
    }

    fn holds(self, value: &Compared<'_>, operand: &Compared<'_>) -> bool {
        let numbers = value.number.as_ref().zip(operand.number.as_ref());
        match self {
            Self::Equal => numbers.map_or(value.text == operand.text, |(one, other)| one == other),
            Self::Less => numbers.is_some_and(|(one, other)| one < other),
            Self::Greater => numbers.is_some_and(|(one, other)| one > other),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Equal => "equals",
            Self::Less => "is less than",
            Self::Greater => "is greater than",
        }
    }
}

impl Operand {
    fn source(&self) -> &str {
        match self {
            Self::Text(text) => text.source(),
            Self::Selector(selector) => selector.source(),
        }
    }

    fn texts(&self, found: &Found<'_>) -> Vec<String> {
        match self {
            Self::Text(text) => {
                let text = text.fill(found.view.asked);
                text.into_iter().map(Into::into).collect()
            }
            Self::Selector(selector) => {
                let mut texts = selector.texts(found.view).0;
                if found.ignore_case {
                    for text in &mut texts {
                        *text = text.to_lowercase();
                    }
                }
                texts
            }
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |all: &[Self], word: &str| {
            let each: Vec<String> = all.iter().map(ToString::to_string).collect();
            format!("({})", each.join(word))
        };
        match self {
            Self::Equals(text) => write!(f, "is {}", text.source()),
            Self::In(texts) => {
                let sources: Vec<&str> = texts.iter().map(Text::source).collect();
                write!(f, "is one of {}", sources.join(", "))
            }
            Self::Exists(true) => f.write_str("is there"),
            Self::Exists(false) => f.write_str("is not there"),
            Self::Not(inner) => write!(f, "not ({inner})"),
            Self::Like(pattern) => write!(f, "is like {}", pattern.source()),
            Self::Compare(comparison, operand) => {
                write!(f, "{} {}", comparison.word(), operand.source())
            }
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

    /// Calls `visit` with this condition and each one within it.
    pub(super) fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        visit(self);
        match self {
            Self::Not(inner) => inner.walk(visit),
            Self::Any(all) | Self::All(all) => all.iter().for_each(|one| one.walk(visit)),
            _ => {}
        }
    }

    /// Returns the names of the params that the condition uses.
    pub(super) fn params(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.walk(&mut |one| match one {
            Self::Equals(text) | Self::Compare(_, Operand::Text(text)) => {
                names.extend(text.params());
            }
            Self::In(texts) => names.extend(texts.iter().flat_map(Text::params)),
            Self::Like(like) => names.extend(like.params()),
            _ => {}
        });
        names
    }

    /// Returns the selectors on the right side.
    pub(super) fn operands(&self) -> Vec<&Selector> {
        let mut selectors = Vec::new();
        self.walk(&mut |one| {
            if let Self::Compare(_, Operand::Selector(selector)) = one {
                selectors.push(&**selector);
            }
        });
        selectors
    }

    /// True if the condition holds only if there is a value.
    pub(super) fn demands_a_value(&self) -> bool {
        match self {
            Self::Equals(_)
            | Self::In(_)
            | Self::Like(_)
            | Self::Compare(..)
            | Self::Exists(true) => true,
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
            Self::Equals(text) => Self::Equals(text.in_lower_case()),
            Self::In(texts) => Self::In(texts.into_iter().map(Text::in_lower_case).collect()),
            Self::Like(like) => Self::Like(like.in_lower_case()),
            Self::Compare(comparison, Operand::Text(text)) => {
                Self::Compare(comparison, Operand::Text(text.in_lower_case()))
            }
            Self::Not(inner) => Self::Not(Box::new(inner.in_lower_case())),
            Self::Any(all) => Self::Any(each(all)),
            Self::All(all) => Self::All(each(all)),
            other @ (Self::Exists(_) | Self::Compare(..)) => other,
        }
    }

    /// True if the condition holds. One that names a fact which the watch does not have is
    /// false as a whole, also within `not`.
    pub(super) fn is_true(&self, found: &Found<'_>) -> bool {
        self.has_its_names(found.view.asked) && self.holds(found)
    }

    fn has_its_names(&self, asked: &Asked<'_>) -> bool {
        let mut has = true;
        self.walk(&mut |one| {
            has &= match one {
                Self::Equals(text) | Self::Compare(_, Operand::Text(text)) => {
                    text.fill(asked).is_some()
                }
                Self::In(texts) => texts.iter().all(|text| text.fill(asked).is_some()),
                Self::Like(like) => like.fill(asked).is_some(),
                _ => true,
            }
        });
        has
    }

    fn holds(&self, found: &Found<'_>) -> bool {
        let is = |text: &Text| {
            let wanted = text.fill(found.view.asked);
            wanted.is_some_and(|wanted| found.texts.iter().any(|text| *text == wanted))
        };
        match self {
            Self::Equals(text) => is(text),
            Self::In(texts) => texts.iter().any(is),
            Self::Exists(wanted) => found.is_there == *wanted,
            Self::Not(inner) => !inner.holds(found),
            Self::Like(like) => {
                let pattern = like.fill(found.view.asked);
                pattern.is_some_and(|pattern| found.texts.iter().any(|text| pattern.matches(text)))
            }
            Self::Compare(comparison, operand) => {
                comparison.holds_for_any(&found.texts, &operand.texts(found))
            }
            Self::Any(inner) => inner.iter().any(|one| one.holds(found)),
            Self::All(inner) => inner.iter().all(|one| one.holds(found)),
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
        return Text::read(&text).map(Condition::Equals);
    }
    let table = value
        .as_table()
        .filter(|table| table.len() == 1)
        .ok_or_else(|| format!("a condition is {ALLOWED}"))?;
    let (word, inner) = table
        .iter()
        .next()
        .expect("a table with one entry has a first");
    let compare = |comparison| operand(word, inner).map(|it| Condition::Compare(comparison, it));
    match word.as_str() {
        "in" => list(inner, |one| {
            let text = scalar(one).ok_or_else(|| "`in` lists values".to_owned())?;
            Text::read(&text)
        })
        .map(Condition::In),
        "exists" => inner
            .as_bool()
            .map(Condition::Exists)
            .ok_or_else(|| "`exists` is true or false".to_owned()),
        "not" => read_at(inner, depth + 1).map(|one| Condition::Not(Box::new(one))),
        "like" => {
            let text = inner.as_str();
            let text = text.ok_or_else(|| "`like` is a text, as \"ROLLBACK_*\"".to_owned())?;
            Like::read(text).map(Condition::Like)
        }
        "equals" => compare(Comparison::Equal),
        "less" => compare(Comparison::Less),
        "greater" => compare(Comparison::Greater),
        "any" => list(inner, |one| read_at(one, depth + 1)).map(Condition::Any),
        "all" => list(inner, |one| read_at(one, depth + 1)).map(Condition::All),
        other => Err(format!(
            "unknown condition `{other}`; a condition is {ALLOWED}"
        )),
    }
}

/// Reads the other side of a comparison. A text that begins with `$` or `@` is a selector.
fn operand(word: &str, value: &toml::Value) -> Result<Operand, String> {
    let text = scalar(value)
        .ok_or_else(|| format!("`{word}` is a value, or a selector as \"$.total\""))?;
    if text.starts_with(['$', '@']) {
        return Selector::compile(&text).map(|it| Operand::Selector(Box::new(it)));
    }
    let text = Text::read(&text)?;
    let is_number = text
        .literal()
        .is_none_or(|text| Number::read(text).is_some());
    if word != "equals" && !is_number {
        return Err(format!(
            "`{word}` compares numbers, and \"{}\" is not one",
            text.source()
        ));
    }
    Ok(Operand::Text(text))
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
