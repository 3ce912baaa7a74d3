//! Values as cases expect them: equal to a scalar, or as a table of rules says.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use toml::Value as Toml;

/// The expectation for one value.
#[derive(Deserialize, Debug, Clone)]
#[serde(try_from = "Toml")]
pub(super) enum Wanted {
    Equal(Value),
    Ruled(Box<Rules>),
}

/// All of these hold.
#[derive(Deserialize, Debug, Default, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct Rules {
    /// The text, or the value as compact JSON, contains this.
    has: Option<String>,
    lacks: Option<String>,
    min: Option<f64>,
    max: Option<f64>,
    /// The least number of items of a list.
    items: Option<usize>,
    exists: Option<bool>,
    any: Option<Vec<Value>>,
    /// The same instant, to the millisecond.
    time: Option<Timestamp>,
}

impl TryFrom<Toml> for Wanted {
    type Error = String;

    fn try_from(value: Toml) -> Result<Self, String> {
        if let Toml::Table(table) = value {
            let rules = table
                .try_into()
                .map_err(|error: toml::de::Error| error.to_string())?;
            return Ok(Self::Ruled(Box::new(rules)));
        }
        serde_json::to_value(value)
            .map(Self::Equal)
            .map_err(|error| error.to_string())
    }
}

impl Wanted {
    pub(super) fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Equal(wanted) => wanted == value,
            Self::Ruled(rules) => rules.hold(value),
        }
    }

    /// As [`holds`](Self::holds), where a plain text must only be contained.
    pub(super) fn is_within(&self, value: &Value) -> bool {
        match self {
            Self::Equal(Value::String(text)) => shown(value).contains(text),
            other => other.holds(value),
        }
    }

    pub(super) fn shown(&self) -> String {
        match self {
            Self::Equal(value) => value.to_string(),
            Self::Ruled(rules) => rules.shown(),
        }
    }
}

impl Rules {
    fn hold(&self, value: &Value) -> bool {
        let text = shown(value);
        let number = value.as_f64();
        let items = value.as_array().map(Vec::len);
        self.has.as_ref().is_none_or(|part| text.contains(part))
            && self.lacks.as_ref().is_none_or(|part| !text.contains(part))
            && self
                .min
                .is_none_or(|min| number.is_some_and(|it| it >= min))
            && self
                .max
                .is_none_or(|max| number.is_some_and(|it| it <= max))
            && self
                .items
                .is_none_or(|least| items.is_some_and(|it| it >= least))
            && self.exists.is_none_or(|exists| exists != value.is_null())
            && self.any.as_ref().is_none_or(|any| any.contains(value))
            && self
                .time
                .is_none_or(|time| instant(value) == Some(time.as_millisecond()))
    }

    fn shown(&self) -> String {
        let rules = [
            self.has.as_ref().map(|it| format!("`{it}` in it")),
            self.lacks.as_ref().map(|it| format!("no `{it}` in it")),
            self.min.map(|it| format!("at least {it}")),
            self.max.map(|it| format!("at most {it}")),
            self.items.map(|it| format!("at least {it} items")),
            self.exists
                .map(|it| (if it { "a value" } else { "no value" }).to_owned()),
            self.any.as_ref().map(|it| format!("one of {it:?}")),
            self.time.map(|it| it.to_string()),
        ];
        rules.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The milliseconds since 1970 of a time in RFC 3339.
pub(super) fn instant(value: &Value) -> Option<i64> {
    let at: Timestamp = value.as_str()?.parse().ok()?;
    Some(at.as_millisecond())
}

/// The member at a path such as `data.stage.index`; null if it is absent.
pub(super) fn dig<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.')
        .fold(value, |value, name| value.get(name).unwrap_or(&Value::Null))
}
