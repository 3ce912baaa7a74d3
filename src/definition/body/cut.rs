//! Closes the beginning of a JSON document, so that it is a document.

use crate::definition::body::json::string_length;

/// Returns `text` up to the last member or element that is whole, with the brackets closed that
/// are open there; `None` if there is no bracket, or if more follows after the document.
///
/// A number is whole only with the character after it, because more digits may have followed.
pub(super) fn close(text: &str) -> Option<String> {
    let mut closers = String::new();
    // The end of the text that is kept, in bytes. Each bracket moves it, so `closers` has the
    // brackets that are open there.
    let mut kept = 0;
    let mut is_value_next = false;
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        let mut length = 1;
        match byte {
            b'{' | b'[' => {
                is_value_next = *byte == b'[';
                closers.push(if is_value_next { ']' } else { '}' });
                kept = at + 1;
            }
            b'}' | b']' => {
                closers.pop()?;
                kept = at + 1;
                if closers.is_empty() {
                    let is_all = text[kept..].trim_ascii().is_empty();
                    return is_all.then(|| text.to_owned());
                }
            }
            b':' => is_value_next = true,
            b',' => {
                is_value_next = closers.ends_with(']');
                kept = at;
            }
            b'"' => {
                let Some(whole) = string_length(&text.as_bytes()[at..]) else {
                    break;
                };
                length = whole;
                if is_value_next {
                    kept = at + length;
                }
            }
            _ => {}
        }
        at += length;
    }
    let open: String = closers.chars().rev().collect();
    (!open.is_empty()).then(|| text[..kept].to_owned() + &open)
}
