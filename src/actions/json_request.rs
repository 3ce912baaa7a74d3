//! Requests as JSON, read with each fault in plain words and with its path: bodies of the HTTP API, and
//! files of the drop folder.

use serde::de::DeserializeOwned;

use crate::suggest::did_you_mean;
use crate::watch::request::Fault;

/// Reads JSON. A fault has the path of the member (`labels.deploy`), or no path where the text
/// is not JSON.
pub(crate) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Fault> {
    // serde would take the elements of a list for the members, in their order.
    if json.trim_ascii_start().starts_with(b"[") {
        return Err(Fault::new("", "must be an object, not a list"));
    }
    if let Ok(value) = serde_json::from_slice(json) {
        return Ok(value);
    }
    // Paths take time, so they are found only where there is a fault.
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let parsed = serde_path_to_error::deserialize(&mut deserializer);
    let value = parsed.map_err(|error| {
        let path = error.path().to_string();
        fault(&path, error.inner())
    })?;
    let end = deserializer.end();
    end.map(|()| value).map_err(|error| fault(".", &error))
}

/// Words an error of serde, whose messages are for programmers.
fn fault(path: &str, error: &serde_json::Error) -> Fault {
    let path = match path {
        "." => "",
        path => path.strip_suffix(".?").unwrap_or(path),
    };
    if !error.is_data() {
        return Fault::new("", format!("is not JSON: {error}"));
    }
    let text = error.to_string();
    let text = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(text, _)| text);
    if let Some((name, known)) = named(text, "unknown field `") {
        return Fault::new(&below(path, name), unknown(name, known));
    }
    if let Some((name, _)) = named(text, "missing field `") {
        return Fault::new(&below(path, name), "is missing");
    }
    if let Some((name, _)) = named(text, "duplicate field `") {
        return Fault::new(&below(path, name), "is given twice");
    }
    if let Some((word, known)) = named(text, "unknown variant `") {
        let near = did_you_mean(word, quoted(known));
        return Fault::new(path, format!("`{word}` must be {}{near}", expected(known)));
    }
    let found = text
        .strip_prefix("invalid type: ")
        .or_else(|| text.strip_prefix("invalid value: "))
        .and_then(|text| text.rsplit_once(", expected "));
    match found {
        Some((found, wanted)) => Fault::new(
            path,
            format!("must be {}, not {}", plain(wanted), plain(found)),
        ),
        None => Fault::new(path, text),
    }
}

/// Splits "unknown field `x`, expected …" into `x` and the rest.
fn named<'a>(text: &'a str, begin: &str) -> Option<(&'a str, &'a str)> {
    text.strip_prefix(begin)?.split_once('`')
}

/// Returns the names that stand between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn unknown(name: &str, known: &str) -> String {
    let near = did_you_mean(name, quoted(known));
    let names: Vec<&str> = quoted(known).collect();
    match (near.is_empty(), names.as_slice()) {
        (false, _) => format!("is unknown{near}"),
        (true, []) => "is unknown".to_owned(),
        (true, names) => format!("is unknown; known are {}", names.join(", ")),
    }
}

fn expected(known: &str) -> &str {
    known.trim_start_matches(", expected ")
}

/// Names what serde wants in the words of JSON.
fn plain(wanted: &str) -> &str {
    if wanted.starts_with("struct ") || wanted == "a map" {
        "an object"
    } else if wanted == "a sequence" || wanted == "sequence" {
        "a list"
    } else if wanted == "u32" {
        "a whole number from 0 to 4294967295"
    } else {
        wanted
    }
}

fn below(path: &str, name: &str) -> String {
    let is_last = path == name || path.ends_with(&format!(".{name}"));
    match path {
        "" => name.to_owned(),
        path if is_last => path.to_owned(),
        path => format!("{path}.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::request::WatchRequest;

    fn fault_of(json: &str) -> (String, String) {
        let fault = parse::<WatchRequest>(json.as_bytes()).unwrap_err();
        (fault.field, fault.message)
    }

    #[test]
    fn a_fault_has_the_path_of_its_member_and_plain_words() {
        for (json, field, message) in [
            (
                r#"{"servce":"dcs","job_id":"j"}"#,
                "servce",
                "is unknown; did you mean `service`?",
            ),
            (r#"{"job_id":"j"}"#, "service", "is missing"),
            (
                r#"{"service":"dcs","service":"d"}"#,
                "service",
                "is given twice",
            ),
            (
                r#"{"service":"dcs","job_id":"j","labels":{"a":"1","a":"2"}}"#,
                "labels.a",
                "is given twice",
            ),
            (
                r#"{"service":"dcs","job_id":1}"#,
                "job_id",
                "must be a string, not integer `1`",
            ),
            (
                r#"{"service":"d","job_id":"j","labels":{"a":1}}"#,
                "labels.a",
                "must be a string, not integer `1`",
            ),
            (
                r#"{"service":"d","job_id":"j","labels":[]}"#,
                "labels",
                "must be an object, not a list",
            ),
            (
                r#"{"service":"d","job_id":"j","sinks":["a",null]}"#,
                "sinks[1]",
                "must be a string, not null",
            ),
            (
                r#"{"service":"d","job_id":"j","sinks":"a"}"#,
                "sinks",
                "must be a list, not string \"a\"",
            ),
            (
                r#"{"service":"d","job_id":"j","again":"yes"}"#,
                "again",
                "must be a boolean, not string \"yes\"",
            ),
            (
                r#"{"service":"d","job_id":"j","expect":"gon"}"#,
                "expect",
                "`gon` must be `gone`; did you mean `gone`?",
            ),
            ("[]", "", "must be an object, not a list"),
            ("1", "", "must be an object, not integer `1`"),
        ] {
            assert_eq!(
                fault_of(json),
                (field.to_owned(), message.to_owned()),
                "{json}"
            );
        }
        let (field, message) = fault_of(r#"{"service":"dcs","job_id":"j","xyzzy":1}"#);
        assert_eq!(field, "xyzzy");
        assert!(
            message.starts_with("is unknown; known are service, job_id, "),
            "{message}"
        );
    }

    #[test]
    fn text_that_is_not_json_says_where() {
        let twice = r#"{"service":"dcs","job_id":"j"} {}"#;
        for json in ["", "{", "{\"service\"}", twice, "\u{feff}{}", "{'a':1}"] {
            let (field, message) = fault_of(json);
            assert_eq!(field, "", "{json}");
            assert!(message.starts_with("is not JSON: "), "{json}: {message}");
        }
    }
}
