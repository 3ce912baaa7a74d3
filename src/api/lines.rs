//! Splits a body that comes in pieces into numbered lines of limited length.

use axum::body::Bytes;
use bytes::{Buf, BytesMut};

/// The longest line, in bytes; as much as the body of a single submission.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024;

/// One line; its number counts from 1 and includes blank lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: u64,
    /// The text; `None` if it is longer than [`LINE_BYTES_MAX`].
    pub(super) text: Option<Bytes>,
}

/// The lines of a body; see the module.
#[derive(Debug, Default)]
pub(super) struct Lines {
    buffer: BytesMut,
    /// The part of the buffer that has no end of a line.
    searched: usize,
    number: u64,
    /// True within a line that is too long: the rest of it is dropped.
    is_skipping: bool,
}

impl Lines {
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// Returns the next whole line that is not blank.
    pub(super) fn next(&mut self) -> Option<Line> {
        loop {
            let Some(end) = memchr::memchr(b'\n', &self.buffer[self.searched..]) else {
                self.searched = self.buffer.len();
                self.drop_long();
                return None;
            };
            let text = self.buffer.split_to(self.searched + end);
            self.buffer.advance(1);
            self.searched = 0;
            if let Some(line) = self.line(text) {
                return Some(line);
            }
        }
    }

    /// Returns the last line of a body that ended properly, if no line break follows it.
    pub(super) fn last(&mut self) -> Option<Line> {
        let text = self.buffer.split();
        self.searched = 0;
        self.line(text)
    }

    /// Returns the number of the last line.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Keeps nothing of a line that is too long, except that it is.
    fn drop_long(&mut self) {
        if self.buffer.len() > LINE_BYTES_MAX {
            self.is_skipping = true;
            self.buffer.clear();
            self.searched = 0;
        }
    }

    fn line(&mut self, text: BytesMut) -> Option<Line> {
        self.number += 1;
        let number = self.number;
        if std::mem::take(&mut self.is_skipping) || text.len() > LINE_BYTES_MAX {
            return Some(Line { number, text: None });
        }
        let is_blank = text.iter().all(u8::is_ascii_whitespace);
        (!is_blank).then(|| Line {
            number,
            text: Some(text.freeze()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(pieces: &[&[u8]]) -> Vec<(u64, Option<String>)> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for piece in pieces {
            lines.push(piece);
            found.extend(std::iter::from_fn(|| lines.next()));
        }
        found.extend(lines.last());
        let text = |it: Bytes| String::from_utf8_lossy(&it).into_owned();
        found
            .into_iter()
            .map(|line| (line.number, line.text.map(text)))
            .collect()
    }

    #[test]
    fn blank_lines_are_counted_and_left_out() {
        let found = all(&[b"a\n\n  \r\nb", b"c\n", b"last"]);
        let expected = [(1, "a"), (4, "bc"), (5, "last")];
        let expected = expected.map(|(number, text)| (number, Some(text.to_owned())));
        assert_eq!(found, expected);
        assert!(all(&[b"\n", b""]).is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_dropped_alone() {
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        let found = all(&[&long, &long, b"\nshort\n", &long]);
        let expected = [(1, None), (2, Some("short".to_owned())), (3, None)];
        assert_eq!(found, expected);
        let longest = vec![b'x'; LINE_BYTES_MAX];
        assert!(all(&[&longest, b"\n"])[0].1.is_some());
    }

    proptest! {
        #[test]
        fn pieces_do_not_change_the_lines(text in "[a\n ]{0,60}", cuts in prop::collection::vec(0_usize..60, 0..9)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&bytes[from..cut]);
                from = cut;
            }
            pieces.push(&bytes[from..]);
            prop_assert_eq!(all(&pieces), all(&[bytes]));
        }
    }
}
