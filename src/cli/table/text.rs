//! Text as a terminal shows it: its width, cuts, line breaks, and characters that must not
//! reach a terminal.
//!
//! The codes of colours (`ESC [ … m`) have no width. A wide character, as those of Chinese and
//! most emoji, has two columns; a combining mark has none.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const ESCAPE: char = '\u{1b}';
/// Joins two emoji to one.
const JOINER: char = '\u{200d}';

/// A piece of text: a code that only colours, or one character.
enum Piece<'a> {
    Code(&'a str),
    Char(char),
}

/// Splits a text into characters and the codes of colours.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        if let Some(length) = code_length(rest) {
            let (code, after) = rest.split_at(length);
            rest = after;
            return Some(Piece::Code(code));
        }
        rest = &rest[first.len_utf8()..];
        Some(Piece::Char(first))
    })
}

/// Returns the length of the colour code at the beginning of `text`, if one is there.
fn code_length(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    parameters[end..].starts_with('m').then_some(end + 3)
}

/// Returns the number of columns that a terminal needs for a text.
pub(crate) fn width(text: &str) -> usize {
    if !text.contains(ESCAPE) {
        return text.width();
    }
    let shown: String = pieces(text)
        .filter_map(|piece| match piece {
            Piece::Code(_) => None,
            Piece::Char(c) => Some(c),
        })
        .collect();
    shown.width()
}

/// Cuts a text at its end to `columns`, with `…` in place of the rest. Codes behind the cut are
/// kept, because one of them ends the colour.
pub(crate) fn clip(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut clipped = String::new();
    let mut shown = String::new();
    let mut is_cut = columns == 0;
    for piece in pieces(text) {
        match piece {
            Piece::Code(code) => clipped.push_str(code),
            Piece::Char(_) if is_cut => {}
            Piece::Char(c) => {
                shown.push(c);
                // One column is for the mark of the cut.
                if shown.width() < columns {
                    clipped.push(c);
                } else {
                    is_cut = true;
                    if clipped.ends_with(JOINER) {
                        clipped.pop();
                    }
                    clipped.push('…');
                }
            }
        }
    }
    clipped
}

/// Cuts a text in its middle, so that both of its ends stay; for ids that begin alike.
pub(crate) fn clip_middle(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let is_plain = !text.contains(ESCAPE);
    if columns < 4 || !is_plain {
        return clip(text, columns);
    }
    let tail_room = (columns - 1) / 2;
    let mut tail = text.len();
    for (at, _) in text.char_indices().rev() {
        if text[at..].width() > tail_room {
            break;
        }
        tail = at;
    }
    // A mark that belongs to the character before it would hang in the air.
    let mut tail = &text[tail..];
    while let Some(first) = tail.chars().next()
        && first.width().unwrap_or(0) == 0
    {
        tail = &tail[first.len_utf8()..];
    }
    let head = clip(text, columns - tail.width());
    format!("{head}{tail}")
}

/// Breaks a text into lines of at most `columns`, at blanks where there are some.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    if columns == 0 || width(text) <= columns {
        return vec![text.to_owned()];
    }
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("one line at least");
        let gap = usize::from(!line.is_empty());
        if width(line) + gap + width(word) <= columns {
            line.extend(std::iter::repeat_n(' ', gap));
            line.push_str(word);
        } else {
            if width(line) == 0 {
                lines.pop();
            }
            lines.extend(broken(word, columns));
        }
    }
    lines
}

/// Breaks a word that is longer than a line.
fn broken(word: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for piece in pieces(word) {
        let line = lines.last_mut().expect("one line at least");
        match piece {
            Piece::Code(code) => line.push_str(code),
            Piece::Char(c) => {
                line.push(c);
                if width(line) > columns {
                    line.pop();
                    lines.push(c.to_string());
                }
            }
        }
    }
    lines
}

/// Makes foreign text safe for a terminal: control characters, line separators and the
/// characters that change the direction of writing are replaced by U+FFFD.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(safe).collect()
}

/// As [`plain`], but colours stay.
pub(super) fn plain_but_colours(text: &str) -> String {
    let mut safe_text = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Code(code) => safe_text.push_str(code),
            Piece::Char(c) => safe_text.push(safe(c)),
        }
    }
    safe_text
}

fn safe(c: char) -> char {
    let is_direction = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_separator = matches!(c, '\u{2028}' | '\u{2029}');
    if c.is_control() || is_direction || is_separator {
        '\u{fffd}'
    } else {
        c
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_have_two_columns_and_marks_none() {
        for (text, columns) in [
            ("job", 3),
            ("任务", 4),
            ("e\u{301}", 1),
            ("👩\u{200d}🚀", 2),
            ("\u{1b}[31mfailed\u{1b}[0m", 6),
            ("\u{1b}[1;31mx\u{1b}[0m任", 3),
            ("مهمة", 4),
        ] {
            assert_eq!(width(text), columns, "{text}");
        }
    }

    #[test]
    fn a_cut_line_keeps_the_codes_that_end_its_colour() {
        assert_eq!(
            clip("\u{1b}[31mfailed\u{1b}[0m", 4),
            "\u{1b}[31mfai…\u{1b}[0m"
        );
        assert_eq!(clip("failed", 6), "failed");
        assert_eq!(clip("failed", 0), "");
    }

    #[test]
    fn a_cut_never_exceeds_its_columns_and_splits_no_character() {
        for text in [
            "任务失败了",
            "a任b务",
            "e\u{301}e\u{301}e\u{301}e\u{301}",
            "👩\u{200d}🚀👩\u{200d}🚀👩\u{200d}🚀",
            "plain text of some length",
            "\u{1b}[31m任务失败了\u{1b}[0m",
        ] {
            for columns in 0..12 {
                for cut in [clip(text, columns), clip_middle(text, columns)] {
                    assert!(width(&cut) <= columns, "{columns}: {cut:?}");
                    assert!(!cut.contains("\u{200d}…"), "{cut:?}");
                }
            }
        }
        assert_eq!(clip("任务失败了", 6), "任务…");
        assert_eq!(clip("e\u{301}e\u{301}e\u{301}", 2), "e\u{301}…");
    }

    #[test]
    fn an_id_keeps_both_ends() {
        assert_eq!(
            clip_middle("ff80808282c1a5b20182c1e3f4a50025", 9),
            "ff80…0025"
        );
        assert_eq!(clip_middle("short", 9), "short");
        assert_eq!(clip_middle("任务任务任务", 7), "任务…务");
    }

    #[test]
    fn long_text_is_wrapped_at_blanks_and_long_words_are_broken() {
        assert_eq!(
            wrap("no space left on disk", 10),
            ["no space", "left on", "disk"]
        );
        assert_eq!(wrap("a 0123456789ab c", 5), ["a", "01234", "56789", "ab c"]);
        assert_eq!(wrap("任务失败", 5), ["任务", "失败"]);
        assert_eq!(wrap("fits", 5), ["fits"]);
    }

    #[test]
    fn foreign_text_cannot_control_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(plain("\u{202e}evil\u{2069}"), "\u{fffd}evil\u{fffd}");
        assert_eq!(plain("\u{9b}2J"), "\u{fffd}2J");
        assert_eq!(
            plain_but_colours("\u{1b}[31mred\u{1b}[0m\u{1b}[2J\t"),
            "\u{1b}[31mred\u{1b}[0m\u{fffd}[2J\u{fffd}"
        );
    }
}
