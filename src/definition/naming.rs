//! Texts of conditions that name the watch: `{label.NAME}`, `{param.NAME}`, `{job_id}` and
//! `{run}`.

use std::borrow::Cow;

use crate::definition::answer::Asked;
use crate::definition::pattern::Pattern;

/// The placeholders of conditions, for messages.
const ALLOWED: &str = "{label.NAME}, {param.NAME}, {job_id} or {run}";

/// A text with placeholders for facts of the watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    source: String,
    parts: Vec<Part>,
    /// True if case does not count; the literal parts are then in lower case.
    ignore_case: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Name(Name),
}

/// A fact of the watch.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Label(String),
    Param(String),
    JobId,
    Run,
}

impl Name {
    fn value<'a>(&self, asked: &Asked<'a>) -> Option<&'a str> {
        let value = match self {
            Self::Label(name) => asked.labels.get(name).map(String::as_str),
            Self::Param(name) => asked.params.get(name).map(String::as_str),
            Self::JobId => asked.job_id,
            Self::Run => asked.run,
        };
        value.filter(|value| !value.is_empty())
    }

    /// Reads the inside of the braces; `None` if it does not look like a name.
    fn read(inner: &str) -> Option<Result<Self, String>> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let named = |prefix| inner.strip_prefix(prefix).filter(|name| !name.is_empty());
        match inner {
            "job_id" => Some(Ok(Self::JobId)),
            "run" => Some(Ok(Self::Run)),
            _ if named("label.").is_some() => named("label.").map(|it| Ok(Self::Label(it.into()))),
            _ if named("param.").is_some() => named("param.").map(|it| Ok(Self::Param(it.into()))),
            _ if !inner.is_empty() && inner.chars().all(is_word) => Some(Err(format!(
                "unknown placeholder `{{{inner}}}`; a condition may use {ALLOWED}"
            ))),
            _ => None,
        }
    }
}

impl Text {
    /// Reads a text. Braces around anything but a name are text.
    ///
    /// # Errors
    /// A placeholder has an unknown name.
    pub fn read(source: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = source;
        while let Some((before, after)) = rest.split_once('{') {
            literal.push_str(before);
            let inner = after.split_once('}');
            if let Some((name, tail)) =
                inner.and_then(|(inner, tail)| Some((Name::read(inner)?, tail)))
            {
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(Part::Name(name?));
                rest = tail;
            } else {
                literal.push('{');
                rest = after;
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self {
            source: source.to_owned(),
            parts,
            ignore_case: false,
        })
    }

    /// Returns the text as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Returns the text if it has no placeholder.
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns the names of the params in it.
    pub fn params(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Name(Name::Param(name)) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Returns the text with its placeholders filled; `None` if one has no value.
    pub fn fill<'a>(&'a self, asked: &Asked<'a>) -> Option<Cow<'a, str>> {
        if let Some(literal) = self.literal() {
            return Some(Cow::Borrowed(literal));
        }
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => filled.push_str(text),
                Part::Name(name) => filled.push_str(&self.folded(name.value(asked)?)),
            }
        }
        Some(Cow::Owned(filled))
    }

    /// Returns the text for a comparison in which case does not count.
    #[must_use]
    pub fn in_lower_case(mut self) -> Self {
        self.ignore_case = true;
        for part in &mut self.parts {
            if let Part::Literal(text) = part {
                *text = text.to_lowercase();
            }
        }
        self
    }

    fn folded<'a>(&self, value: &'a str) -> Cow<'a, str> {
        if self.ignore_case {
            Cow::Owned(value.to_lowercase())
        } else {
            Cow::Borrowed(value)
        }
    }

    /// Returns the pieces between the `*` of the text; a `*` in a value stays a `*`.
    fn pieces(&self, asked: &Asked<'_>) -> Option<Vec<String>> {
        let mut pieces = vec![String::new()];
        for part in &self.parts {
            let last = pieces.last_mut().expect("there is a first piece");
            match part {
                Part::Name(name) => last.push_str(&self.folded(name.value(asked)?)),
                Part::Literal(text) => {
                    let mut split = text.split('*');
                    last.push_str(split.next().unwrap_or_default());
                    pieces.extend(split.map(str::to_owned));
                }
            }
        }
        Some(pieces)
    }
}

/// A pattern with `*` and placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Like {
    /// A pattern without a placeholder.
    Fixed(Pattern),
    /// A pattern that is filled for each answer.
    Named(Text),
}

impl Like {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A placeholder has an unknown name.
    pub fn read(source: &str) -> Result<Self, String> {
        let text = Text::read(source)?;
        Ok(match text.literal() {
            Some(_) => Self::Fixed(Pattern::new(source)),
            None => Self::Named(text),
        })
    }

    /// Returns the pattern as it was written.
    pub fn source(&self) -> &str {
        match self {
            Self::Fixed(pattern) => pattern.source(),
            Self::Named(text) => text.source(),
        }
    }

    /// Returns the names of the params in it.
    pub fn params(&self) -> impl Iterator<Item = &str> {
        let text = match self {
            Self::Fixed(_) => None,
            Self::Named(text) => Some(text),
        };
        text.into_iter().flat_map(Text::params)
    }

    /// Returns the pattern with its placeholders filled; `None` if one has no value.
    pub fn fill<'a>(&'a self, asked: &Asked<'_>) -> Option<Cow<'a, Pattern>> {
        match self {
            Self::Fixed(pattern) => Some(Cow::Borrowed(pattern)),
            Self::Named(text) => Some(Cow::Owned(Pattern::of(text.pieces(asked)?))),
        }
    }

    /// Returns the pattern for a comparison in which case does not count.
    #[must_use]
    pub fn in_lower_case(self) -> Self {
        match self {
            Self::Fixed(pattern) => Self::Fixed(Pattern::new(&pattern.source().to_lowercase())),
            Self::Named(text) => Self::Named(text.in_lower_case()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Labels;

    #[test]
    fn placeholder_is_filled_from_the_watch() {
        let labels = Labels::from([("deploy".to_owned(), "4*2".to_owned())]);
        let asked = Asked {
            labels: &labels,
            ..Asked::job("J")
        };
        let fill = |text: &str| Text::read(text).unwrap().fill(&asked).map(Cow::into_owned);
        assert_eq!(fill("{label.deploy}-{job_id}"), Some("4*2-J".into()));
        assert_eq!(fill("{label.other}"), None);
        assert_eq!(fill("{run}"), None);
        assert_eq!(fill("{\"a\":{}}"), Some("{\"a\":{}}".into()));
        let like = Like::read("{label.deploy}/*").unwrap();
        let pattern = like.fill(&asked).unwrap();
        assert!(pattern.matches("4*2/x") && !pattern.matches("4-2/x"));
    }

    #[test]
    fn unknown_placeholder_is_refused() {
        let error = Text::read("a{lable.x}").unwrap_err();
        assert!(
            error.contains("`{lable.x}`") && error.contains("{label.NAME}"),
            "{error}"
        );
    }
}
