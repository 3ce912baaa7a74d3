//! Text patterns with `*`, for statuses, codes and messages. There is no other syntax, so
//! that authors of definitions need not know a dialect.

/// A text in which each `*` stands for any number of characters, also none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    source: String,
    pieces: Vec<String>,
}

impl Pattern {
    /// Reads a pattern. Every text is a valid one.
    pub fn new(source: &str) -> Self {
        Self {
            source: source.to_owned(),
            pieces: source.split('*').map(str::to_owned).collect(),
        }
    }

    /// True if `source` contains a `*`.
    pub fn is_pattern(source: &str) -> bool {
        source.contains('*')
    }

    /// Returns the pattern as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// True if the whole `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        let (first, rest) = self
            .pieces
            .split_first()
            .expect("splitting a text gives at least one piece");
        let Some(mut left) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        let Some((last, middle)) = rest.split_last() else {
            return left.is_empty();
        };
        for piece in middle {
            let Some(at) = left.find(piece.as_str()) else {
                return false;
            };
            left = &left[at + piece.len()..];
        }
        left.ends_with(last.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn star_matches_any_characters() {
        for (pattern, text, matches) in [
            ("CREATE_FAILED", "CREATE_FAILED", true),
            ("CREATE_FAILED", "CREATE_FAILED2", false),
            ("*_FAILED", "CREATE_FAILED", true),
            ("*_FAILED", "FAILED", false),
            ("error*", "error_deleting", true),
            ("error*", "error", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("*ab*ab", "ab", false),
            ("*", "", true),
            ("", "x", false),
        ] {
            assert_eq!(
                Pattern::new(pattern).matches(text),
                matches,
                "{pattern} {text}"
            );
        }
    }

    proptest! {
        #[test]
        fn text_matches_itself_with_any_part_as_star(text in "[a-c]{0,12}", from in 0_usize..12, to in 0_usize..12) {
            let (from, to) = (from.min(text.len()), to.min(text.len()));
            let (from, to) = (from.min(to), from.max(to));
            let pattern = format!("{}*{}", &text[..from], &text[to..]);
            prop_assert!(Pattern::new(&pattern).matches(&text));
        }
    }
}
