//! The things that a case expects.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::value::Wanted;

/// Expectations for one watch.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForWatch {
    /// The state that it ends in, or one of several; `watching` if it must go on.
    pub(super) outcome: OneOrMore,
    /// The types of its events in order: `TYPE`, `TYPE+` once or more, `TYPE*` any number.
    pub(super) events: Option<Vec<String>>,
    /// Members of the data of the final event. A plain reason must be contained.
    pub(super) reason: Option<Wanted>,
    pub(super) code: Option<Wanted>,
    pub(super) status: Option<Wanted>,
    /// Seconds from submission to end.
    pub(super) took: Option<Span>,
    pub(super) polls: Option<Span>,
    /// Members of the final event.
    #[serde(default)]
    pub(super) event: BTreeMap<String, Wanted>,
    /// One event has all of these members.
    pub(super) some_event: Option<BTreeMap<String, Wanted>>,
    /// Members of `GET /v1/watches/{id}`.
    #[serde(default)]
    pub(super) view: BTreeMap<String, Wanted>,
}

/// Expectations for the requests that the stub got under one key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForRequests {
    pub(super) hits: Option<Span>,
    #[serde(default)]
    pub(super) gaps: Vec<Gap>,
    /// The body of the first.
    pub(super) body: Option<String>,
    /// Headers of the first.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Wanted>,
}

/// Texts that the log has, or lacks.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ForLog {
    pub(super) has: Vec<String>,
    pub(super) lacks: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub(super) fn list(&self) -> Vec<&str> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more.iter().map(String::as_str).collect(),
        }
    }
}

/// A range: `[least]` or `[least, most]`.
#[derive(Deserialize, Clone, Copy)]
#[serde(try_from = "Vec<f64>")]
pub(super) struct Span {
    least: f64,
    most: Option<f64>,
}

impl Span {
    pub(super) fn holds(self, value: f64) -> bool {
        value >= self.least && self.most.is_none_or(|most| value <= most)
    }

    pub(super) fn shown(self) -> String {
        match self.most {
            Some(most) => format!("{} to {most}", self.least),
            None => format!("at least {}", self.least),
        }
    }
}

impl TryFrom<Vec<f64>> for Span {
    type Error = String;

    fn try_from(limits: Vec<f64>) -> Result<Self, String> {
        match limits[..] {
            [least] => Ok(Self { least, most: None }),
            [least, most] => Ok(Self {
                least,
                most: Some(most),
            }),
            _ => Err("a range is [least] or [least, most]".to_owned()),
        }
    }
}

/// The seconds after request `number`: `[number, least]` or `[number, least, most]`.
#[derive(Deserialize, Clone, Copy)]
#[serde(try_from = "Vec<f64>")]
pub(super) struct Gap {
    pub(super) number: usize,
    pub(super) seconds: Span,
}

impl TryFrom<Vec<f64>> for Gap {
    type Error = String;

    fn try_from(limits: Vec<f64>) -> Result<Self, String> {
        let number = limits.first().copied().unwrap_or_default();
        if limits.is_empty() || number < 1.0 || number.fract() != 0.0 {
            return Err("a gap is [number, least] or [number, least, most]".to_owned());
        }
        let whole = format!("{number:.0}");
        Ok(Self {
            number: whole.parse().map_err(|_| format!("{whole} is too large"))?,
            seconds: limits[1..].to_vec().try_into()?,
        })
    }
}
