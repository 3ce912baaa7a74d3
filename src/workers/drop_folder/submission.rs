//! The content of the files: the request, the link to its watch, and the reason of a rejection.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::actions::json_request::parse;
use crate::problem::{self, Problem};
use crate::watch::request::{Fault, WatchRequest};
use crate::watch::{Watch, WatchId};

/// The largest file that is taken, as the largest body of a request.
pub(super) const FILE_BYTES_MAX: usize = 64 * 1024;

/// A file that was read and not yet moved.
pub(super) struct Taken {
    /// The name of the file, without `.json`.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    /// The device and the number of the file: its writer may replace it.
    pub(super) identity: (u64, u64),
}

impl Taken {
    /// Returns the SHA-256 of the content.
    pub(super) fn hash(&self) -> String {
        let hash = Sha256::digest(&self.bytes);
        hash.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// `NAME.watch`: the watch of an accepted file. The members are a contract, and new ones may come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Link {
    pub(super) id: WatchId,
    service: String,
    job_id: String,
    /// The state when the file was accepted.
    state: String,
    /// The SHA-256 of the request, which recognises the same file after a crash.
    pub(super) request: String,
}

impl Link {
    pub(super) fn of(watch: &Watch, request: String) -> Self {
        Self {
            id: watch.id,
            service: watch.service.clone(),
            job_id: watch.job_id.clone(),
            state: watch.state.to_string(),
            request,
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("string keys only")
    }
}

/// `NAME.error`: a problem document (RFC 9457), of the types that the API uses.
#[derive(Debug)]
pub(super) struct Rejection {
    problem: &'static Problem,
    detail: String,
    errors: Vec<Fault>,
}

impl Rejection {
    fn of(problem: &'static Problem, detail: String) -> Self {
        Self {
            problem,
            detail,
            errors: Vec::new(),
        }
    }

    /// The file is not JSON, or one of its members cannot be read.
    fn unreadable(fault: Fault) -> Self {
        let subject = match fault.field.as_str() {
            "" => "the text".to_owned(),
            field => format!("`{field}`"),
        };
        let detail = format!(
            "cannot read the request in the file: {subject} {}",
            fault.message
        );
        let mut rejection = Self::of(&problem::MALFORMED, detail);
        if !fault.field.is_empty() {
            rejection.errors.push(fault);
        }
        rejection
    }

    pub(super) fn refused(errors: Vec<Fault>) -> Self {
        let detail = "nothing was stored; `errors` lists every invalid member".to_owned();
        Self {
            errors,
            ..Self::of(&problem::REFUSED_WATCH, detail)
        }
    }

    pub(super) fn name_in_use(name: &str, id: WatchId) -> Self {
        let detail = format!(
            "`{name}` is the name of another submission, and the result of its watch {id} is not written yet; choose another name"
        );
        Self::of(&problem::NAME_IN_USE, detail)
    }

    pub(super) fn watch_is_gone(id: WatchId) -> Self {
        let detail =
            format!("the database has no watch {id} with its end any more; submit the job again");
        Self::of(&problem::NO_SUCH_WATCH, detail)
    }

    /// Writes the reason on one line.
    pub(super) fn in_words(&self) -> String {
        if self.errors.is_empty() {
            return self.detail.clone();
        }
        let faults: Vec<String> = self.errors.iter().map(ToString::to_string).collect();
        faults.join("; ")
    }

    pub(super) fn document(&self) -> Value {
        let mut document = json!({
            "type": self.problem.uri, "title": self.problem.title,
            "status": self.problem.status(), "detail": self.detail,
        });
        if !self.errors.is_empty() {
            document["errors"] = json!(self.errors);
        }
        document
    }
}

/// Reads the request in a file.
pub(super) fn request_in(taken: &Taken) -> Result<WatchRequest, Rejection> {
    if taken.bytes.len() > FILE_BYTES_MAX {
        let detail = format!("the file has more than {FILE_BYTES_MAX} bytes");
        return Err(Rejection::of(&problem::BODY, detail));
    }
    parse(&taken.bytes).map_err(Rejection::unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection_of(text: &str) -> Value {
        let taken = Taken {
            name: "job".to_owned(),
            bytes: text.as_bytes().to_vec(),
            identity: (0, 0),
        };
        request_in(&taken).unwrap_err().document()
    }

    #[test]
    fn an_invalid_member_is_named_with_its_path() {
        let document = rejection_of(r#"{"service":"dcs","job_id":"j","labels":{"deploy":1}}"#);
        assert_eq!(document["type"], "urn:jobwatch:problem:malformed");
        assert_eq!(
            document["detail"],
            "cannot read the request in the file: `labels.deploy` must be a string, not integer `1`"
        );
        let fault =
            json!([{"field": "labels.deploy", "message": "must be a string, not integer `1`"}]);
        assert_eq!(document["errors"], fault);
    }

    #[test]
    fn a_file_that_is_not_json_says_so() {
        let document = rejection_of("{");
        let detail = document["detail"].as_str().unwrap();
        let begin = "cannot read the request in the file: the text is not JSON: ";
        assert!(detail.starts_with(begin), "{detail}");
        assert!(document.get("errors").is_none());
    }
}
