//! Values of options: `NAME=VALUE`, and the id of a job.

use crate::watch::request::is_job_id;

/// Splits `NAME=VALUE` at the first `=`; the name must not be empty.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "must be NAME=VALUE".to_owned())
}

/// Checks the id of a job, before a service is asked for it.
pub(super) fn job_id(text: &str) -> Result<String, String> {
    if text.trim() != text {
        return Err("has blanks around it; give the id alone".to_owned());
    }
    if !is_job_id(text) {
        return Err(
            "must have 1 to 512 bytes, no control character, and not be `.` or `..`".to_owned(),
        );
    }
    Ok(text.to_owned())
}
