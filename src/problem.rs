//! The types of problem documents (RFC 9457): one list, from which the errors of the API, the
//! rejections of the drop folder, the `OpenAPI` document and a test of docs/api.md derive.

use serde::Serialize;

/// A type of problem. Its name is a contract; its title and its meaning are for people.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// The last part of the `type`.
    pub(crate) name: &'static str,
    /// The `type` of the documents.
    pub(crate) uri: &'static str,
    pub(crate) title: &'static str,
    /// The statuses that it comes with; the first one is the usual one.
    pub(crate) statuses: &'static [u16],
    /// The cause, in a sentence for the reader of the documents.
    pub(crate) meaning: &'static str,
}

impl Problem {
    /// Returns the status that it usually comes with.
    pub(crate) fn status(&self) -> u16 {
        self.statuses.first().copied().unwrap_or(500)
    }
}

/// Declares the problems, in the order in which documents list them.
macro_rules! problems {
    ($($name:ident = $word:literal, $statuses:expr, $title:literal, $meaning:literal;)+) => {
        $(pub(crate) const $name: Problem = Problem {
            name: $word,
            uri: concat!("urn:jobwatch:problem:", $word),
            title: $title,
            statuses: &$statuses,
            meaning: $meaning,
        };)+

        /// All types of problems, in the order of the documents.
        pub(crate) const ALL: &[&Problem] = &[$(&$name),+];
    };
}

problems! {
    MALFORMED = "malformed", [400], "The request is malformed",
        "the query or the body has an unknown member or an invalid value; `errors` names it";
    BODY = "body", [413, 400], "The body cannot be read",
        "the body is larger than the call allows (413), or its transfer broke off (400)";
    UNAUTHORIZED = "unauthorized", [401], "A valid token is required",
        "the token is missing or unknown";
    FORBIDDEN = "forbidden", [403], "The request is not allowed",
        "the token may only read; or, without tokens, the request comes from a web page or names the daemon by a foreign host name";
    NO_SUCH_WATCH = "no-such-watch", [404], "Watch not found",
        "no watch matches the reference";
    AMBIGUOUS_REFERENCE = "ambiguous-reference", [409], "The reference is ambiguous",
        "the reference matches watches of several jobs; `matches` lists them";
    NO_EVIDENCE = "no-evidence", [404], "No evidence",
        "the watch exists, and no answer proved an outcome of it";
    NO_SUCH_GROUP = "no-such-group", [404], "Group not found",
        "no watch was submitted with this group";
    NO_SUCH_SERVICE = "no-such-service", [404], "Service not found",
        "no service has this name";
    NO_SUCH_DELIVERY = "no-such-delivery", [404], "Delivery not found",
        "no delivery has the id";
    NO_SUCH_ROUTE = "no-such-route", [404], "Path not found",
        "the API does not have this path";
    NO_SUCH_METHOD = "no-such-method", [405], "Method not allowed",
        "the path exists and does not support this method; `Allow` lists those that it does";
    EVENTS_PRUNED = "events-pruned", [410], "Events after the position are gone",
        "events after the position were deleted, because they are older than `store.keep`; `after=0` begins with the oldest event that is kept";
    TOO_SLOW = "too-slow", [408], "The request took too long",
        "the request was not completed within its time limit";
    NOT_DEAD = "not-dead", [409], "The delivery is not a dead letter",
        "only a dead letter is redriven without `force`";
    NO_SUCH_SINK = "no-such-sink", [409], "The sink is not configured",
        "the sink of the dead letters was removed from the configuration, so they are kept and cannot be sent";
    NO_HINTS = "no-hints", [409], "The service takes no hints",
        "the service has no `[services.NAME.hints]`";
    REFUSED_HINT = "refused-hint", [422], "The hint names no job",
        "the selector of the job id finds none in the hint";
    REFUSED_WATCH = "refused-watch", [422], "The watch was refused",
        "nothing was stored; `errors` lists every invalid member";
    NAME_IN_USE = "name-in-use", [409], "The name is in use",
        "only in `NAME.error` of the drop folder: another submission has this name, and its result is not written yet";
    TLS_ONLY = "tls-only", [400], "TLS is required",
        "the client speaks plain HTTP, and the port speaks TLS";
    UNAVAILABLE = "unavailable", [503], "Temporarily unavailable",
        "the watches are still being loaded, or the store failed; nothing was stored, try again after `Retry-After`";
}

/// Returns the problem of this name.
pub(crate) fn named(name: &str) -> Option<&'static Problem> {
    ALL.iter().copied().find(|problem| problem.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_found_by_its_name() {
        for problem in ALL {
            assert_eq!(
                problem.uri,
                format!("urn:jobwatch:problem:{}", problem.name)
            );
            assert_eq!(named(problem.name), Some(*problem), "{}", problem.name);
            assert!(!problem.statuses.is_empty(), "{}", problem.name);
        }
    }
}
