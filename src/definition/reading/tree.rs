//! The body of an answer as a tree, as far as it can be read.

use serde_json::Value;

use crate::definition::Definition;
use crate::definition::answer::Answer;
use crate::definition::body::{self, Parsed};

/// The warning about a body that breaks the rules of its format.
pub(super) const LENIENT: &str =
    "the body is not valid in its format; it was read all the same (lenient)";

/// A body that was read, or the reason why it was not.
pub(super) enum Tree {
    /// The tree of the whole body.
    Read { root: Value, is_lenient: bool },
    /// The beginning of a body that is larger than the limit.
    Beginning { root: Value, is_lenient: bool },
    /// There is no tree, for this reason.
    Unread(String),
}

impl Tree {
    /// Reads the body of an answer that may speak of the job. Others are read as errors.
    pub(super) fn of(definition: &Definition, answer: &Answer<'_>) -> Self {
        let form = &definition.answer;
        if !form.claims(answer.http_status) {
            return Self::of_error(definition, answer);
        }
        let content_type = answer.content_type();
        if answer.is_cut {
            let read = body::parse_beginning(form.format, &form.lists, content_type, answer.body);
            return match read {
                Some(Parsed { root, is_lenient }) => Self::Beginning { root, is_lenient },
                None => Self::Unread(too_large(answer)),
            };
        }
        match body::parse(form.format, &form.lists, content_type, answer.body) {
            Ok(Parsed { root, is_lenient }) => Self::Read { root, is_lenient },
            Err(why) => Self::Unread(why),
        }
    }

    /// Reads an error, which may be XML or JSON in an API of the other format.
    pub(super) fn of_error(definition: &Definition, answer: &Answer<'_>) -> Self {
        match error_root(definition, answer) {
            Some(root) => Self::Read {
                root,
                is_lenient: false,
            },
            None => Self::Unread("the body is not readable".to_owned()),
        }
    }

    /// Returns the tree; `None` if there is none.
    pub(super) fn root(&self) -> Option<&Value> {
        match self {
            Self::Read { root, .. } | Self::Beginning { root, .. } => Some(root),
            Self::Unread(_) => None,
        }
    }

    pub(super) fn is_unread(&self) -> bool {
        matches!(self, Self::Unread(_))
    }

    /// True if the body breaks the rules of its format.
    pub(super) fn is_lenient(&self) -> bool {
        match self {
            Self::Read { is_lenient, .. } | Self::Beginning { is_lenient, .. } => *is_lenient,
            Self::Unread(_) => false,
        }
    }
}

/// Returns the tree of an error, in the format that its body has.
pub(super) fn error_root(definition: &Definition, answer: &Answer<'_>) -> Option<Value> {
    let content_type = answer.content_type();
    let lists = &definition.answer.lists;
    let own = definition.answer.format;
    let found = body::Format::of_answer(content_type, answer.body);
    if answer.is_cut {
        let read = body::parse_beginning(found, lists, content_type, answer.body);
        return read.map(|parsed| parsed.root);
    }
    let formats = [found, own, body::Format::Json];
    let formats = formats
        .iter()
        .filter(|format| **format != body::Format::Text);
    let mut tried = formats.map(|format| body::parse(*format, lists, content_type, answer.body));
    tried.find_map(Result::ok).map(|parsed| parsed.root)
}

/// Returns the message about a body that was not received whole.
pub(super) fn too_large(answer: &Answer<'_>) -> String {
    format!(
        "the body is larger than max_body, {} bytes",
        answer.body.len()
    )
}
