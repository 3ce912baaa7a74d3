//! Strict JSON in which integers of any length keep their digits.
//!
//! An integer beyond 64 bits would become a float and lose its last digits, which makes two
//! job ids one. It becomes a string instead: texts are compared, so `1` and `"1"` are equal
//! anyway. The feature `arbitrary_precision` of `serde_json` would do the same for the whole
//! program, at the price of an allocation for each number and of `1` and `1.0` being unequal.
//! Here a body pays one look at every nineteenth byte.

use serde_json::Value;

/// The least number of digits of an integer that may not fit into 64 bits.
const LONG_DIGITS: usize = 19;

/// Reads one JSON document, as the parser does but for long integers.
pub(super) fn strict(text: &[u8]) -> serde_json::Result<Value> {
    if has_long_digits(text) {
        return serde_json::from_slice(&quote_long_integers(text));
    }
    serde_json::from_slice(text)
}

/// True if [`LONG_DIGITS`] digits stand in a row, in a string or not.
fn has_long_digits(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(window) = rest.get(..LONG_DIGITS) {
        match window.iter().rposition(|byte| !byte.is_ascii_digit()) {
            // The run cannot begin before the byte after the last one that is not a digit.
            Some(at) => rest = &rest[at + 1..],
            None => return true,
        }
    }
    false
}

/// Returns `text` with quotes around each integer that does not fit into 64 bits. Text that is
/// not JSON stays so.
fn quote_long_integers(text: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(text.len() + text.len() / LONG_DIGITS * 2);
    let mut rest = text;
    while let Some(first) = rest.first() {
        let (token, after) = rest.split_at(match first {
            b'"' => string_length(rest).unwrap_or(rest.len()),
            b'-' | b'0'..=b'9' => number_length(rest),
            _ => 1,
        });
        if is_long_integer(token) && !is_before_colon(after) {
            quoted.push(b'"');
            quoted.extend_from_slice(token);
            quoted.push(b'"');
        } else {
            quoted.extend_from_slice(token);
        }
        rest = after;
    }
    quoted
}

/// Returns the length of the string at the beginning of `text`, with its quotes; `None` if it
/// does not end.
pub(super) fn string_length(text: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    let end = text.iter().skip(1).position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    });
    end.map(|at| at + 2)
}

fn number_length(text: &[u8]) -> usize {
    text.iter()
        .position(|byte| !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
        .unwrap_or(text.len())
}

fn is_long_integer(token: &[u8]) -> bool {
    let digits = token.strip_prefix(b"-").unwrap_or(token);
    if digits.len() < LONG_DIGITS || digits[0] == b'0' || !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let token = std::str::from_utf8(token).unwrap_or_default();
    token.parse::<u64>().is_err() && token.parse::<i64>().is_err()
}

/// True if a number before `text` would stand in the place of a name, where only a string may.
fn is_before_colon(text: &[u8]) -> bool {
    text.trim_ascii_start().first() == Some(&b':')
}
