//! `NAME=VALUE` as a value of an option.

/// Splits `NAME=VALUE` at the first `=`; the name must not be empty.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "must be NAME=VALUE".to_owned())
}
