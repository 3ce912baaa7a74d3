//! Reads any bytes as XML: the result is a tree of bounded depth or a reason, never a panic.
#![no_main]

use jobwatch::definition::body::{Format, parse, parse_beginning};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const CONTENT_TYPES: [Option<&str>; 2] = [None, Some("text/xml; charset=ISO-8859-1")];

fuzz_target!(|input: (u8, &[u8])| {
    let (number, body) = input;
    let content_type = CONTENT_TYPES[usize::from(number) % CONTENT_TYPES.len()];
    let lists = ["task".to_owned()];
    let parsed = parse(Format::Xml, &lists, content_type, body);
    let beginning = parse_beginning(Format::Xml, &lists, content_type, body);
    for root in [&parsed, &beginning.ok_or_else(String::new)] {
        if let Ok(parsed) = root {
            assert_eq!(parsed.root.as_object().map(|root| root.len()), Some(1));
            assert!(depth(&parsed.root) <= 258, "128 elements, each in a list");
        }
    }
});

fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Array(values) => values.iter().map(depth).max(),
        Value::Object(members) => members.values().map(depth).max(),
        _ => return 0,
    };
    1 + inner.unwrap_or_default()
}
