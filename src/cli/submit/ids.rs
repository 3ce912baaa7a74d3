//! Job ids from lines of text.

/// One line of input, by its meaning.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A blank line, or a comment after `#`.
    Nothing,
    Id(&'a str),
    /// The reason why the line is not an id.
    Wrong(&'static str),
}

/// Reads a line that holds one id.
pub(super) fn line(text: &str) -> Line<'_> {
    let text = text.strip_suffix('\r').unwrap_or(text);
    let bare = text.trim();
    if bare.is_empty() || bare.starts_with('#') {
        Line::Nothing
    } else if bare.len() < text.len() {
        Line::Wrong("it has blanks around the id")
    } else if bare.chars().any(char::is_whitespace) {
        Line::Wrong("it has more than one word; give one id on each line")
    } else {
        Line::Id(bare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_id_or_nothing_or_wrong() {
        assert_eq!(line("ff80"), Line::Id("ff80"));
        assert_eq!(line("ff80\r"), Line::Id("ff80"));
        assert_eq!(line(""), Line::Nothing);
        assert_eq!(line("  "), Line::Nothing);
        assert_eq!(line("# jobs of today"), Line::Nothing);
        assert!(matches!(line(" ff80"), Line::Wrong(_)));
        assert!(matches!(line("ff80 \r"), Line::Wrong(_)));
        assert!(matches!(line("ff80 ff81"), Line::Wrong(_)));
    }
}
