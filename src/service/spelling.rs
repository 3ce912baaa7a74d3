//! Texts that JSON spells with escapes, so that a secret in them can be found.

/// Returns a body with its JSON escapes resolved; `None` if it has none. A backslash that begins
/// no escape stays as it is.
pub(super) fn unescaped(body: &[u8]) -> Option<String> {
    if !body.contains(&b'\\') {
        return None;
    }
    let text = String::from_utf8_lossy(body);
    let mut rest = &*text;
    // UTF-16, because an escape may be half of a character.
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    while let Some((before, after)) = rest.split_once('\\') {
        units.extend(before.encode_utf16());
        let (unit, length) = escape(after);
        units.push(unit);
        rest = &after[length..];
    }
    units.extend(rest.encode_utf16());
    Some(String::from_utf16_lossy(&units))
}

/// Returns the character of an escape, and the length of its text after the backslash.
fn escape(after: &str) -> (u16, usize) {
    let hexadecimal = after.strip_prefix('u').and_then(|digits| digits.get(..4));
    if let Some(Ok(unit)) = hexadecimal.map(|digits| u16::from_str_radix(digits, 16)) {
        return (unit, 5);
    }
    match after.bytes().next() {
        Some(kept @ (b'"' | b'\\' | b'/')) => (u16::from(kept), 1),
        Some(b'n') => (u16::from(b'\n'), 1),
        Some(b't') => (u16::from(b'\t'), 1),
        Some(b'r') => (u16::from(b'\r'), 1),
        _ => (u16::from(b'\\'), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_resolved() {
        for (body, text) in [
            (r#"{"a":"x\/y\u003d\n"}"#, "{\"a\":\"x/y=\n\"}"),
            (r"\ud83d\ude00 é \\u0041", "😀 é \\u0041"),
            (r"\u00 \q \", r"\u00 \q \"),
        ] {
            assert_eq!(unescaped(body.as_bytes()).as_deref(), Some(text), "{body}");
        }
        assert_eq!(unescaped(b"{}"), None);
    }
}
