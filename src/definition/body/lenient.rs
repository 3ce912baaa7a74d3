//! Makes strict JSON of the faults that services have in their JSON, and of no others.
//!
//! The result goes to the same parser. A text with any other fault, two documents or half a
//! document stay as they are, and the parser refuses them.

/// Prefixes that keep a browser from running JSON as a script.
const GUARDS: [&str; 2] = [")]}'", "while(1);"];
/// Words of JavaScript for numbers that JSON does not have.
const NOT_NUMBERS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// Returns `text` without a guard, with `null` for numbers that are none, and with strings in
/// which control characters, lone surrogates and bad escapes are written as JSON wants them.
pub(super) fn sanitise(text: &str) -> String {
    let mut rest = without_guard(text);
    let mut out = String::with_capacity(rest.len() + rest.len() / 8);
    while let Some(at) = rest.find(['"', 'N', 'I', '-']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(inside) = rest.strip_prefix('"') {
            out.push('"');
            rest = sanitise_string(inside, &mut out);
        } else if let Some(after) = NOT_NUMBERS.iter().find_map(|word| rest.strip_prefix(word)) {
            out.push_str("null");
            rest = after;
        } else {
            let (one, after) = rest.split_at(1);
            out.push_str(one);
            rest = after;
        }
    }
    out + rest
}

fn without_guard(text: &str) -> &str {
    let text = text.trim_start_matches([' ', '\t', '\r', '\n']);
    match GUARDS.iter().find_map(|guard| text.strip_prefix(guard)) {
        Some(rest) => rest.strip_prefix(',').unwrap_or(rest),
        None => text,
    }
}

/// Writes the string that begins `text` to `out`, with its closing quote, and returns the rest.
fn sanitise_string<'a>(text: &'a str, out: &mut String) -> &'a str {
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '\\' || c < ' ') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix('"') {
            out.push('"');
            return after;
        }
        rest = if rest.starts_with('\\') {
            sanitise_escape(rest, out)
        } else {
            let (control, after) = rest.split_at(1);
            push_control(control.as_bytes()[0], out);
            after
        };
    }
    out.push_str(rest);
    ""
}

/// Writes the escape of a control character. Without `format!`, which would be most of the
/// cost of a body that has many.
fn push_control(control: u8, out: &mut String) {
    let digit = |number: u8| char::from(b"0123456789abcdef"[usize::from(number & 0xf)]);
    out.push_str("\\u00");
    out.push(digit(control >> 4));
    out.push(digit(control));
}

/// Writes the escape that begins `text`, and returns the rest. A backslash that begins no
/// escape stands for itself.
fn sanitise_escape<'a>(text: &'a str, out: &mut String) -> &'a str {
    let length = match text.as_bytes().get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
        Some(b'u') => match (
            code_unit(text),
            code_unit(text.get(6..).unwrap_or_default()),
        ) {
            (None, _) => 0,
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                out.push(char::REPLACEMENT_CHARACTER);
                return &text[6..];
            }
            (Some(_), _) => 6,
        },
        _ => 0,
    };
    if length == 0 {
        out.push_str("\\\\");
        return &text[1..];
    }
    out.push_str(&text[..length]);
    &text[length..]
}

/// Returns the number of the escape `\uXXXX` that begins `text`.
fn code_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u16::from_str_radix(digits, 16).ok())?
}
