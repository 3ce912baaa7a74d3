//! Reads a definition file as it is written, and says what is wrong with its keys and types.

use crate::definition::file::File;
use crate::diagnostic::Diagnostic;
use crate::suggest;
use crate::tree::line::line_at;

/// The forms of `[pace] after`, which serde cannot name: it tries each in turn.
const PACE_ALLOWED: &str = "must be a selector in quotes, a table { at = …, unit = … } with the unit seconds, milliseconds, minutes or epoch, or a list of these";

/// The beginning of a message of serde about a key that it does not know.
const UNKNOWN: &str = "unknown field `";

/// The types of Rust in messages of serde, and the words for them.
const TYPES: [(&str, &str); 4] = [
    ("expected i64", "must be a whole number"),
    ("expected u32", "must be a whole number of at least 0"),
    ("expected u16", "must be a whole number of at least 0"),
    ("expected a boolean", "must be true or false"),
];

/// Reads the file.
///
/// # Errors
/// Names the line, the key and the mistake.
pub(super) fn read(origin: &str, text: &str) -> Result<File, Diagnostic> {
    let wrong = |key: &str, error: &toml::de::Error| {
        let line = error.span().map(|span| line_at(text, span.start));
        let message = match key {
            "pace.after" => PACE_ALLOWED.to_owned(),
            _ => in_our_words(error.message().trim()),
        };
        Diagnostic::error(origin, line, key, message)
    };
    let document = toml::Deserializer::parse(text).map_err(|error| wrong("", &error))?;
    serde_path_to_error::deserialize(document).map_err(|error| {
        let path = error.path().to_string();
        // The root has no name, and an unknown key is named by its message.
        let is_unnamed = path == "." || error.inner().message().contains(UNKNOWN);
        wrong(if is_unnamed { "" } else { &path }, error.inner())
    })
}

/// Returns a message of serde in the words of the messages about settings.
fn in_our_words(message: &str) -> String {
    if let Some((name, rest)) = message
        .strip_prefix(UNKNOWN)
        .and_then(|rest| rest.split_once('`'))
    {
        let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
        let suggestion = suggest::did_you_mean(name, known.iter().copied());
        let known = known.join(", ");
        return format!("unknown setting `{name}`{suggestion} (known here: {known})");
    }
    let typed = TYPES.iter().find(|(rust, _)| message.ends_with(rust));
    typed.map_or_else(
        || message.to_owned(),
        |(rust, words)| message.replace(rust, words),
    )
}
