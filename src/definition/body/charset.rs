//! The text of the bytes of a body.

use std::borrow::Cow;

use encoding_rs::{Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE};

/// The text of a body.
pub(super) struct Decoded<'a> {
    pub(super) text: Cow<'a, str>,
    /// True if some bytes are not of the charset; each such place is U+FFFD.
    pub(super) is_damaged: bool,
}

/// Returns the text of `body`, without a byte order mark.
///
/// The bytes come before the header, because servers name a charset that their programs do
/// not use: a byte order mark and the zeros of UTF-16 decide, then valid UTF-8 with a
/// character beyond ASCII. The charset of `content_type` is that of all other bodies.
pub(super) fn decode<'a>(content_type: Option<&str>, body: &'a [u8]) -> Decoded<'a> {
    if let Some(decoded) = decode_marked(body) {
        return decoded;
    }
    let charset = content_type.and_then(charset_of);
    let is_utf_8 = || !body.is_ascii() && std::str::from_utf8(body).is_ok();
    match charset {
        Some(charset) if !is_utf_8() => decode_as(charset, body),
        Some(_) | None => decode_as(UTF_8, body),
    }
}

/// Returns the text of a document that declares the charset `declared` within itself.
pub(super) fn decode_declared<'a>(declared: &'static Encoding, body: &'a [u8]) -> Decoded<'a> {
    decode_marked(body).unwrap_or_else(|| decode_as(declared, body))
}

/// Returns the charset of this name; `None` for UTF-16, because a body in UTF-16 shows it,
/// and programs of Windows declare it for bodies that are not.
pub(super) fn byte_charset(name: &str) -> Option<&'static Encoding> {
    Encoding::for_label(name.as_bytes())
        .filter(|charset| ![REPLACEMENT, UTF_16BE, UTF_16LE].contains(charset))
}

/// Returns the text of a body that shows its charset, by a mark or by the zeros of UTF-16: the
/// first character of JSON and of XML is ASCII.
fn decode_marked(body: &[u8]) -> Option<Decoded<'_>> {
    if let Some((charset, mark)) = Encoding::for_bom(body) {
        return Some(decode_as(charset, &body[mark..]));
    }
    utf_16_by_its_zeros(body).map(|charset| decode_as(charset, body))
}

/// Returns a body in UTF-16 as UTF-8, with a byte order mark, so that it is still read as lenient;
/// `None` for any other body.
pub(super) fn from_utf_16(body: &[u8]) -> Option<String> {
    let (charset, mark) = match Encoding::for_bom(body) {
        Some(found) => found,
        None => (utf_16_by_its_zeros(body)?, 0),
    };
    if charset == UTF_8 {
        return None;
    }
    let (text, _) = charset.decode_without_bom_handling(&body[mark..]);
    Some(format!("\u{feff}{text}"))
}

fn utf_16_by_its_zeros(body: &[u8]) -> Option<&'static Encoding> {
    match body {
        [0, 1..=u8::MAX, ..] => Some(UTF_16BE),
        [1..=u8::MAX, 0, ..] => Some(UTF_16LE),
        _ => None,
    }
}

fn decode_as<'a>(charset: &'static Encoding, body: &'a [u8]) -> Decoded<'a> {
    let (text, is_damaged) = charset.decode_without_bom_handling(body);
    Decoded { text, is_damaged }
}

fn charset_of(content_type: &str) -> Option<&'static Encoding> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        byte_charset(value.trim().trim_matches('"')).filter(|_| is_charset)
    })
}
