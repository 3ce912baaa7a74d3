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

    /// Makes a pattern of the texts between its `*`; a `*` in one of them is text.
    pub(super) fn of(pieces: Vec<String>) -> Self {
        Self {
            source: pieces.join("*"),
            pieces,
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

    /// True if this pattern matches every text that `other` matches.
    ///
    /// It is enough to try one text: that of `other` with a character that occurs in neither for
    /// each `*`. Only a `*` of this pattern can match that character, and a `*` matches anything
    /// else in its place.
    pub fn contains(&self, other: &Self) -> bool {
        let is_used = |c: &char| self.source.contains(*c) || other.source.contains(*c);
        let unused = ('\u{e000}'..='\u{f8ff}').find(|c| !is_used(c));
        let Some(unused) = unused else {
            return self.pieces == other.pieces;
        };
        self.matches(&other.pieces.join(unused.to_string().as_str()))
    }

    /// True if this pattern contains `other`, and matches other texts too.
    pub fn is_wider_than(&self, other: &Self) -> bool {
        self.contains(other) && !other.contains(self)
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

    /// Returns every text of at most `length` of these characters.
    fn texts(length: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..length {
            last = last
                .iter()
                .flat_map(|text| ["a", "b", "z"].map(|c| format!("{text}{c}")))
                .collect();
            all.extend(last.clone());
        }
        all
    }

    #[test]
    fn narrower_pattern_is_recognised() {
        for (wide, narrow, is_wider) in [
            ("stopped/*", "stopped/WARNINGS:*", true),
            ("*", "OK*", true),
            ("error*", "*deleting", false),
            ("*deleting", "error*", false),
            ("a**", "a*", false),
            ("*_FAILED", "*_CREATE_FAILED", true),
            ("a*a", "a", false),
        ] {
            let (wide, narrow) = (Pattern::new(wide), Pattern::new(narrow));
            assert_eq!(wide.is_wider_than(&narrow), is_wider, "{wide:?} {narrow:?}");
        }
    }

    proptest! {
        /// Patterns of at most four letters: a text of six letters tells any two apart.
        #[test]
        fn containment_agrees_with_every_short_text(one in "[ab*]{0,4}", other in "[ab*]{0,4}") {
            let (wide, narrow) = (Pattern::new(&one), Pattern::new(&other));
            let all = texts(6);
            let mut matched = all.iter().filter(|text| narrow.matches(text));
            prop_assert_eq!(wide.contains(&narrow), matched.all(|text| wide.matches(text)));
        }

        #[test]
        fn text_matches_itself_with_any_part_as_star(text in "[a-c]{0,12}", from in 0_usize..12, to in 0_usize..12) {
            let (from, to) = (from.min(text.len()), to.min(text.len()));
            let (from, to) = (from.min(to), from.max(to));
            let pattern = format!("{}*{}", &text[..from], &text[to..]);
            prop_assert!(Pattern::new(&pattern).matches(&text));
        }
    }
}
