//! Reads any bytes as JSON, strictly and leniently: the result is a tree or a reason, never a
//! panic, and JSON without faults and without long digits is read as the bare parser reads it.
#![no_main]

use jobwatch::definition::body::{Format, parse, parse_beginning, parse_text, trimmed_text};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const CONTENT_TYPES: [Option<&str>; 4] = [
    None,
    Some("application/json; charset=utf-8"),
    Some("application/json; charset=ISO-8859-1"),
    Some("application/json; charset=shift_jis"),
];

fuzz_target!(|input: (u8, &[u8])| {
    let (number, body) = input;
    let content_type = CONTENT_TYPES[usize::from(number) % CONTENT_TYPES.len()];
    let parsed = parse(Format::Json, &[], content_type, body);
    let bare = serde_json::from_slice::<Value>(body);
    let is_long = |word: &[u8]| word.len() >= 19;
    let has_long_digits = body.split(|byte| !byte.is_ascii_digit()).any(is_long);
    if let (Ok(bare), false) = (&bare, has_long_digits) {
        let parsed = parsed.as_ref().expect("JSON");
        assert!(!parsed.is_lenient && &parsed.root == bare);
    }
    assert!(trimmed_text(content_type, body).len() <= 1024);
    assert!(parse_text(&String::from_utf8_lossy(body)).is_none() || !body.is_empty());
    let beginning = parse_beginning(Format::Json, &[], content_type, body);
    if let (Ok(parsed), Some(beginning)) = (parsed, beginning) {
        assert_eq!(parsed, beginning, "a whole document is its own beginning");
    }
});
